"""Number of parameters of an architecture, without building it."""

from __future__ import annotations

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import StageTables
from elasticvit.kernels import (
    FFN,
    QK_DIM,
    SE_RATIO,
    Attention,
    Downsample,
    FirstConv,
    Head,
    Kernel,
    MBConv,
)
from elasticvit.space import SearchSpace


class ParameterCost:
    """Parameters in millions, as torch counts those of the subnet.

    Attention's position bias has an entry for each head and pair of tokens, as the exported file
    has it too; so parameters grow with the resolution.

    Args:
        space: The space.
    """

    unit, name = "M parameters", "parameters"

    def __init__(self, space: SearchSpace) -> None:
        self._tables = StageTables(
            space, lambda kernels: np.array([kernel_parameters(k) for k in kernels]) / 1e6
        )

    def price(self, batch: ArchBatch) -> FloatArray:
        """Millions of parameters, shape (n,).

        Raises:
            ArchError: an architecture outside the space.
        """
        return self._tables.sum(batch)

    def upper(self, batch: ArchBatch) -> None:
        """None: the count is exact."""


def kernel_parameters(kernel: Kernel) -> int:
    """Number of parameters of a kernel."""
    match kernel:
        case FirstConv():
            return 9 * kernel.cin * kernel.cout + 2 * kernel.cout
        case Downsample():
            return kernel_parameters(kernel.as_mbconv)
        case MBConv():
            inner = kernel.inner
            count = kernel.cin * inner + 2 * inner if kernel.expansion > 1 else 0
            count += kernel.kernel**2 * inner + 2 * inner + inner * kernel.cout + 2 * kernel.cout
            if kernel.se:
                squeezed = inner // SE_RATIO
                count += 2 * inner * squeezed + squeezed + inner
            return count + _shortcut(kernel)
        case Attention():
            values = kernel.heads * kernel.v_dim
            count = 2 * kernel.width + kernel.width * (2 * kernel.heads * QK_DIM + values)
            count += 9 * values + values * kernel.width + kernel.width
            return count + kernel.heads * kernel.size**4  # the position bias, pair by pair
        case FFN():
            norm, inner = 2 * kernel.width, kernel.inner
            return norm + 2 * kernel.width * inner + inner + kernel.width
        case Head():
            inner = kernel.inner
            count = kernel.width * inner + 3 * inner
            count += inner * kernel.hidden + kernel.hidden
            return count + kernel.hidden * kernel.classes + kernel.classes
    raise TypeError(f"{type(kernel).__name__} is not a kernel kind")


def _shortcut(kernel: MBConv) -> int:
    return kernel.cin * kernel.cout if kernel.cin != kernel.cout else 0
