"""The two judges of a search in a supernet: one for all that it looks at, one for its finalists."""

from __future__ import annotations

import numpy as np
import torch

from elasticvit.cost import MacsCost
from elasticvit.nn.supernet import Supernet
from elasticvit.searching.evaluate import Spread, SupernetEvaluator
from elasticvit.searching.judgement_store import JudgementStore
from elasticvit.searching.judging_sizes import THOROUGH_FACTOR, Sizes, quick_gmacs
from elasticvit.training.data import ImageData

SAMPLES = 1000  # architectures that tell what is typical of a space
THOROUGH_RECALIBRATION = 256  # images at least: the chosen subnet keeps these statistics


def make_judges(
    supernet: Supernet,
    data: ImageData,
    macs_m: float,
    *,
    torch_device: torch.device,
    store: JudgementStore | None = None,
    spread: Spread | None = None,
) -> tuple[SupernetEvaluator, SupernetEvaluator]:
    """What judges with few images while a search looks around, and with many at its end.

    Args:
        supernet: Trained supernet.
        data: Data set that it was trained on.
        macs_m: Millions of multiply-accumulates of a typical architecture under the caps.
        torch_device: Torch device to run on.
        store: Keeps judgements for later searches.
        spread: Runs several architectures at the same time; by default one after the other.
    """
    space = supernet.space
    every = MacsCost(space).price(space.sample(SAMPLES, np.random.default_rng(0)))
    space_macs_m = float(np.median(every))
    gmacs = quick_gmacs(torch_device)
    quick = Sizes.within(gmacs, macs_m, data, space_macs_m=space_macs_m)
    thorough = Sizes.within(
        gmacs * THOROUGH_FACTOR,
        macs_m,
        data,
        space_macs_m=space_macs_m,
        fewest_recalibration=THOROUGH_RECALIBRATION,
    )
    one, other = (
        SupernetEvaluator(
            supernet, data, sizes, torch_device=torch_device, store=store, spread=spread
        )
        for sizes in (quick, thorough)
    )
    return one, other
