"""Summary of a trained supernet: accuracies of a few subnets, and a suggested target latency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.errors import EvitError
from elasticvit.flows.train_result import SubnetAccuracy
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.nn import Supernet
    from elasticvit.training.data import ImageData
    from elasticvit.training.sampling.protocol import Sampler

SUMMARY_IMAGES = 1024
RECALIBRATION_IMAGES = 512
SUGGESTION_SAMPLE = 1000  # architectures whose median latency is suggested


def summary_images(images: ImageData) -> int:
    """Number of held-out images that the accuracies are of."""
    return min(SUMMARY_IMAGES, images.info.search_images)


def subnet_accuracies(
    supernet: Supernet, images: ImageData, sampler: Sampler
) -> tuple[SubnetAccuracy, ...]:
    """Accuracies of a small, a middle and a large subnet on the part that is held out to choose
    by.

    Args:
        supernet: The trained supernet.
        images: The data set that it was trained on.
        sampler: A sampler that has drawn nothing yet.

    Raises:
        CheckpointError: Logits are not numbers, since the training diverged.
    """
    from elasticvit.searching.evaluate import Sizes, SupernetEvaluator

    values, unit = sampler.levels.values, sampler.levels.unit
    middle, last = len(values) // 2, len(values) - 1
    archs = {
        "smallest": supernet.space.smallest,
        f"at {values[middle]:g} {unit}": sampler.draw_at(middle).archs[0],
        f"at {values[last]:g} {unit}": sampler.draw_at(last).archs[0],
    }
    if supernet.space.size() == 1:
        archs = {"subnet": supernet.space.smallest}
    evaluator = SupernetEvaluator(
        supernet,
        images,
        Sizes(
            recalibration_images=min(RECALIBRATION_IMAGES, images.info.train_images),
            search_images=summary_images(images),
        ),
    )
    batch = ArchBatch.of(list(archs.values()))
    macs, accuracies = MacsCost(supernet.space).price(batch), evaluator(batch)
    return tuple(
        SubnetAccuracy(name=name, arch=arch, macs_m=float(macs_m), accuracy=float(accuracy))
        for (name, arch), macs_m, accuracy in zip(archs.items(), macs, accuracies, strict=True)
    )


def suggested_target_ms(workspace: Workspace, space: SearchSpace) -> float | None:
    """Median latency of a space on the device that was profiled last, to two digits; None if no
    device was profiled, or its predictor cannot price the space.

    Args:
        workspace: The workspace with the predictors.
        space: The space of the run, with the data set's number of classes.
    """
    device = workspace.device()
    if device is None:
        return None
    from predictors.predictor import load_device_predictor

    try:
        cost = load_device_predictor(workspace, device).cost(space)
        prices = cost.price(space.sample(SUGGESTION_SAMPLE, np.random.default_rng(0)))
    except EvitError:  # a suggestion must not spoil a training that is done
        return None
    return float(f"{float(np.median(prices)):.2g}")
