"""Size of the file that an architecture is exported as, without building it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import StageTables
from elasticvit.kernel_tensors import FLOAT_BYTES, MB, Constant, KernelTensors, Role
from elasticvit.kernels import Kernel
from elasticvit.precisions import FP16, FP32, INT8, INT8_FULL, check_precision, in_words
from elasticvit.space import SearchSpace

# what TFLite's schema takes besides the values, fitted to files of all presets
CONSTANT_BYTES = 122  # tensor, buffer and alignment of a constant
OPERATOR_BYTES = 75  # an operator and the tensor of its output
FILE_BYTES = 700  # version, signature, operator codes
CHANNEL_BYTES = 12  # scale and zero point of a channel of a constant in 8 bits
LARGE = 256  # values of a constant that is no weight from which on it is stored in 16 bits


@dataclass(frozen=True, kw_only=True)
class Stored:
    """How a precision stores a model; `export.precision` has the reasons.

    Attributes:
        bytes_each: Bytes of a value, by what the constant is; 4 of those that are not named.
        scaled: The constants that have a scale for each channel.
        added: Bytes added for each layer whose weights are changed: what the file says of them, and
            of the operators that bring weights or activations back to floats.
        own_bias: Whether layers that share their weights have a bias each; in `int8-full` it is in
            units of the layer's activations.
        large: Bytes of a value of a large constant that is no weight.
        named: Most bytes that the converter's notes and longer names take; up to three quarters of
            them were seen.
    """

    bytes_each: Mapping[Role, int]
    scaled: frozenset[Role] = frozenset()
    added: int = 0
    own_bias: bool = False
    large: int = 2
    named: int = 40_000


_WEIGHTS: tuple[Role, ...] = ("dense", "depthwise", "image")
STORED: Mapping[str, Stored] = {
    FP32: Stored(bytes_each={}, large=FLOAT_BYTES),
    FP16: Stored(bytes_each=dict.fromkeys(_WEIGHTS, 2), added=90, named=80_000),
    INT8: Stored(bytes_each={"dense": 1}, scaled=frozenset({"dense"}), added=34, named=50_000),
    INT8_FULL: Stored(
        bytes_each=dict.fromkeys(_WEIGHTS, 1),
        scaled=frozenset({*_WEIGHTS, "bias"}),
        added=298,
        own_bias=True,
    ),
}


class SizeCost:
    """Size of the TFLite file of a precision in MB of 1,000,000 bytes.

    Every constant of the exported graph takes the bytes that the precision stores it in: norms are
    fused into the layers after them, and attention's position bias is stored for each pair of
    tokens. To this is added what the file says of each constant and operator, at their mean sizes.
    Files of format `tflite` differ from the price by less than 0.1 %; those of the converter
    litert-torch are larger by their names, and stay under the upper bound.

    Args:
        space: The space.
        precision: The precision.

    Raises:
        SettingError: There is no such precision.
    """

    unit = "MB of file"

    def __init__(self, space: SearchSpace, precision: str = FP32) -> None:
        check_precision(precision)
        self.name = f"file size{in_words(precision)}"
        self._named = STORED[precision].named
        self._tables = StageTables(
            space, lambda kernels: np.array([kernel_bytes(k, precision) for k in kernels]) / MB
        )

    def price(self, batch: ArchBatch) -> FloatArray:
        """MB of the file, shape (n,).

        Raises:
            ArchError: an architecture outside the space.
        """
        return self._tables.sum(batch) + FILE_BYTES / MB

    def upper(self, batch: ArchBatch) -> FloatArray:
        """MB that the file has at most, whichever of the two writes it, shape (n,). Raises as
        `price` does."""
        return self.price(batch) + self._named / MB


def kernel_bytes(kernel: Kernel, precision: str = FP32) -> int:
    """Bytes that a kernel adds to a file of a precision."""
    tensors, stored = KernelTensors.of(kernel), STORED[precision]
    operators = len(tensors.steps) + tensors.reshapes
    constants = sum(_constant_bytes(constant, stored) for constant in tensors.constants)
    return constants + OPERATOR_BYTES * operators


def _constant_bytes(constant: Constant, stored: Stored) -> int:
    if constant.role == "other" and constant.values >= LARGE:
        return CONSTANT_BYTES + stored.large * constant.values
    size = CONSTANT_BYTES + stored.bytes_each.get(constant.role, FLOAT_BYTES) * constant.values
    if constant.role in stored.scaled:
        size += CHANNEL_BYTES * constant.outputs
    if constant.role == "bias":
        return size * (constant.sharing if stored.own_bias else 1)
    return size + (stored.added * constant.sharing if constant.role in stored.bytes_each else 0)
