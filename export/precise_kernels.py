"""Kernels, and chains of them, as TFLite models in the precision that they are deployed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from elasticvit.kernels import Kernel
from elasticvit.precisions import FP32
from export.kernel_models import kernel_model


def kernel_models_in(precision: str) -> Callable[[Sequence[Kernel]], bytes]:
    """What makes the TFLite model of a chain of kernels in a precision, with random weights; see
    `kernel_model`."""
    if precision == FP32:
        return kernel_model
    from export.written_precision import write_in

    return partial(kernel_model, change=write_in(precision))
