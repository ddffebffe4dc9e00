"""Ranges of activations, from images, for models whose activations are stored in 8 bits.

The range of a tensor is from the smallest to the largest value that it takes over all calibration
images. (The quantiser's own default, a moving average of each image's extremes, cuts off what lies
beyond the typical image. With the shipped CIFAR-10 weights that costs six to nine points of
accuracy, where the extremes cost less than can be measured.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from elasticvit.arrays import Float32Array
from elasticvit.errors import ExportError
from elasticvit.precisions import INT8_FULL
from elasticvit.reading import Whole
from export.inspect import operator_name

CALIBRATED = (INT8_FULL,)  # precisions that need calibration images
LEAST_IMAGES = 16  # fewer give ranges that other images exceed
IMAGES = 256  # of an export
RULE = "from the smallest to the largest value over all images"
_OUT_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # of the weights
_STEPS, _WEIGHT_STEPS = 255, 127  # of activations and of weights, which are symmetric
_LARGEST_SUM = 2**30  # half of what 32 bits hold

Ranges = dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How the ranges of a model's activations were found.

    Attributes:
        images: Number of images.
        part: Part of the data set that they are from.
        seed: Random seed of their choice.
        rule: The range of a tensor, in words.
    """

    images: Whole
    part: Literal["train"] = "train"
    seed: int = 0
    rule: str = RULE


def check_images(
    images: Sequence[Float32Array] | None, shape: tuple[int, ...], precision: str
) -> list[Float32Array]:
    """Calibration images that fit a model.

    Args:
        images: The images; None for none.
        shape: Shape of the model's input.
        precision: The precision that needs them.

    Raises:
        ExportError: They are too few, have another shape or type, or are not finite.
    """
    count = 0 if images is None else len(images)
    if images is None or count < LEAST_IMAGES:
        raise ExportError(
            f"precision {precision} needs at least {LEAST_IMAGES} calibration images, there are "
            f"{count}; take a data set with more training images, or precision int8, which needs "
            "none",
            settings=["precision"],
        )
    for number, image in enumerate(images, 1):
        if image.shape != shape or image.dtype != np.float32:
            raise ExportError(
                f"calibration image {number} is {image.dtype} of shape {image.shape}; the model "
                f"takes float32 of shape {shape}",
                settings=["precision"],
            )
        if not np.isfinite(image).all():
            raise ExportError(
                f"calibration image {number} holds values that are not finite; look at the data "
                "set's training images",
                settings=["precision"],
            )
    return list(images)


def activation_ranges(
    model: Any, data: bytes, recipe: Any, signature: tuple[str, str], images: list[Float32Array]
) -> Ranges:
    """Smallest and largest value of each activation that a recipe quantises, by tensor name.

    Args:
        model: The float32 model as the schema's object; weights are changed where they must be.
        data: The same model as a file.
        recipe: The quantiser's `RecipeManager`.
        signature: Names of the model's signature and of its input.
        images: Inputs of the model.
    """
    from ai_edge_quantizer.calibrator import CalibrationMode, Calibrator
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    calibrator = Calibrator(
        bytearray(data),
        num_threads=1,
        mode=CalibrationMode.CALIBRATION_PROFILER_BASED,
        qsv_update_func=min_max_update,
    )
    name, entry = signature
    calibrator.calibrate({name: [{entry: image} for image in images]}, recipe)
    ranges: Ranges = calibrator.get_model_qsvs()
    _fit(ranges, model)
    return ranges


def _fit(ranges: Ranges, model: Any) -> None:
    """Make ranges and weights such that 8 bits can hold them.

    The sums of a layer come in steps of the input's step times the weights', and fail in two
    cases. An output that is constant, such as a squeeze layer whose ReLUs are never active, would
    get much finer steps than the sums: no image gains by it, and XNNPACK crashes where they are
    finer by 256; its range is widened. A channel whose weights are nearly zero would get sums so
    fine that its bias does not fit into 32 bits; its first weight is raised.
    """
    graph = model.subgraphs[0]
    names = [tensor.name.decode() for tensor in graph.tensors]
    for operator in graph.operators:
        kind = operator_name(model, operator)
        given, found = (ranges.get(names[t]) for t in (operator.inputs[0], operator.outputs[0]))
        if kind not in _OUT_AXES or not given or not found:
            continue
        buffer = model.buffers[graph.tensors[operator.inputs[1]].buffer]
        if buffer.data is None:
            continue
        shape = tuple(int(n) for n in graph.tensors[operator.inputs[1]].shape)
        weights = buffer.data.view(np.float32).reshape(shape).copy()
        channels = np.moveaxis(weights, _OUT_AXES[kind], 0)
        width = _width(given)
        bias = operator.inputs[2] if len(operator.inputs) > 2 else -1
        if bias >= 0 and width > 0:
            values = model.buffers[graph.tensors[bias].buffer].data
            if values is not None:
                _raise_idle(channels, np.abs(values.view(np.float32)), width / _STEPS)
                buffer.data = weights.reshape(-1).view(np.uint8)
        missing = width * float(np.abs(weights).max()) / _WEIGHT_STEPS - _width(found)
        if missing > 0:
            found["max"] = np.maximum(found["max"], 0) + np.float32(missing)


def _raise_idle(channels: Any, bias: Any, step: float) -> None:
    """Raise the first weight of channels whose bias has no room in their sums.

    What is added changes an output by at most 3e-5 of its bias.

    Args:
        channels: Weights (out, ...), a view that is written to.
        bias: Absolute biases (out,).
        step: Step of the input.
    """
    least = bias * np.float32(_WEIGHT_STEPS / (step * _LARGEST_SUM))
    axes = tuple(range(1, channels.ndim))
    idle = np.abs(channels).max(axis=axes) < least
    place = (slice(None), *(0,) * (channels.ndim - 1))
    first = channels[place]
    first[idle] = least[idle]


def _width(found: dict[str, Any]) -> float:
    """Width of a range, which always holds zero."""
    return float(max(np.max(found["max"]), 0.0) - min(np.min(found["min"]), 0.0))
