"""Size of the file that an architecture is exported as, without building it."""

from __future__ import annotations

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import StageTables
from elasticvit.kernel_tensors import FLOAT_BYTES, MB, KernelTensors
from elasticvit.kernels import Kernel
from elasticvit.space import SearchSpace

# what TFLite's schema takes besides the floats, fitted to files of all presets
CONSTANT_BYTES = 122  # tensor, buffer and alignment of a constant
OPERATOR_BYTES = 75  # an operator and the tensor of its output
FILE_BYTES = 700  # version, signature, operator codes
CONVERTER_BYTES = 40_000  # of the converter's notes and longer names; 30,000 to 34,000 were seen


class SizeCost:
    """Size of the float32 TFLite file in MB of 1,000,000 bytes.

    Every constant of the exported graph takes four bytes a float: norms are fused into the layers
    after them, and attention's position bias is stored for each pair of tokens. To this is added
    what the file says of each constant and operator, at their mean sizes. Files of format
    `tflite` differ from the price by less than 0.1 %; those of the converter litert-torch are
    larger, and stay under the upper bound.

    Args:
        space: The space.
    """

    unit, name = "MB of file", "file size"

    def __init__(self, space: SearchSpace) -> None:
        self._tables = StageTables(
            space, lambda kernels: np.array([kernel_bytes(k) for k in kernels]) / MB
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
        return self.price(batch) + CONVERTER_BYTES / MB


def kernel_bytes(kernel: Kernel) -> int:
    """Bytes that a kernel adds to a file."""
    tensors = KernelTensors.of(kernel)
    operators = len(tensors.steps) + tensors.reshapes
    floats = FLOAT_BYTES * sum(tensors.constants)
    return floats + CONSTANT_BYTES * len(tensors.constants) + OPERATOR_BYTES * operators
