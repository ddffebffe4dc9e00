"""Peak memory of an architecture's activations, without building it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import StageTables
from elasticvit.kernel_tensors import KernelTensors
from elasticvit.kernels import FirstConv, Kernel
from elasticvit.space import SearchSpace

FLOAT_BYTES = 4
MB = 1e6  # bytes


class PeakTables(StageTables):
    """Largest cost of a kernel over architectures of a space, by table look-up."""

    join = np.maximum

    @staticmethod
    def block(costs: Iterable[float]) -> float:
        return max(costs, default=0.0)

    @staticmethod
    def repeats(depths: FloatArray) -> FloatArray:
        return np.minimum(depths - 1, 1)

    def peak(self, batch: ArchBatch) -> FloatArray:
        """Largest cost of a kernel of every architecture, shape (n,); raises `ArchError` outside
        the space."""
        return self.sum(batch)


class MemoryCost:
    """Peak memory of activations in MB of 1,000,000 bytes, for an image at a time.

    The model: the exported float32 graph runs operator by operator, in the order of the file. While
    one runs, memory holds its output and every tensor that it or a later operator reads; the image
    stays to the end, as the application owns it. Reshapes are views, no other operator writes over
    what it reads, and memory that is free is used again without gaps. Weights, and what a runtime
    packs or keeps for itself, are not among it.

    This is the least that an interpreter of the file needs: LiteRT's arena, without delegates, is
    as large to the byte for most architectures, and larger by up to a fifth where its planner
    leaves gaps. Delegates such as XNNPACK plan memory of their own.

    Args:
        space: The space.
    """

    unit, name = "MB of activations", "peak memory"

    def __init__(self, space: SearchSpace) -> None:
        self._tables = PeakTables(
            space, lambda kernels: np.array([kernel_peak(k) for k in kernels]) * FLOAT_BYTES / MB
        )
        self._pixel = space.layout.in_channels * FLOAT_BYTES / MB

    def price(self, batch: ArchBatch) -> FloatArray:
        """MB of activations at the peak, shape (n,).

        Raises:
            ArchError: an architecture outside the space.
        """
        peak = self._tables.peak(batch)
        return peak + self._pixel * batch.genes[:, 0].astype(np.float64) ** 2

    def upper(self, batch: ArchBatch) -> None:
        """None: the model has no error that is known of."""


def kernel_peak(kernel: Kernel) -> int:
    """Floats that must be kept at once while a kernel runs, without the image: it stays while all
    kernels run."""
    return KernelTensors.of(kernel).peak(with_input=not isinstance(kernel, FirstConv))
