"""Size of the file that an architecture is exported as, without building it."""

from __future__ import annotations

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import StageTables
from elasticvit.kernel_tensors import KernelTensors
from elasticvit.kernels import Kernel
from elasticvit.space import SearchSpace

FLOAT_BYTES = 4
MB = 1e6  # bytes
# what TFLite's schema takes besides the floats, fitted to files of all presets
CONSTANT_BYTES = 122  # tensor, buffer and alignment of a constant
OPERATOR_BYTES = 75  # an operator and the tensor of its output
FILE_BYTES = 700  # version, signature, operator codes


class SizeCost:
    """Size of the float32 TFLite file in MB of 1,000,000 bytes.

    Every constant of the exported graph takes four bytes a float: norms are fused into the layers
    after them, and attention's position bias is stored for each pair of tokens. To this is added
    what the file says of each constant and operator, at their mean sizes. The files of
    `tflite-direct` differ from the sum by less than 0.1 %.

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

    def upper(self, batch: ArchBatch) -> None:
        """None: the error is too small to matter."""


def kernel_bytes(kernel: Kernel) -> int:
    """Bytes that a kernel adds to a file."""
    tensors = KernelTensors.of(kernel)
    operators = len(tensors.steps) + tensors.reshapes
    floats = FLOAT_BYTES * sum(tensors.constants)
    return floats + CONSTANT_BYTES * len(tensors.constants) + OPERATOR_BYTES * operators
