"""Kernels, and chains of them, as TFLite models in the precision that they are deployed in.

They are float32 kernel models that are taken to their precision by what takes exported models there
(`export.precision`), so that what is timed is what is deployed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from elasticvit.arrays import Float32Array
from elasticvit.kernels import Kernel
from elasticvit.precisions import FP32
from export.kernel_models import input_shape, kernel_model

SEED = 0  # of calibration inputs


def kernel_models_in(precision: str) -> Callable[[Sequence[Kernel]], bytes]:
    """What makes the TFLite model of a chain of kernels in a precision, with random weights.

    Activations are calibrated by random inputs: their ranges do not change the time of a run.
    """
    if precision == FP32:
        return kernel_model

    def build(kernels: Sequence[Kernel]) -> bytes:
        from export.precision import CALIBRATED, in_precision

        model = kernel_model(kernels)
        inputs = _inputs(kernels[0]) if precision in CALIBRATED else None
        return in_precision(model, precision, inputs)

    return build


def _inputs(kernel: Kernel) -> list[Float32Array]:
    """As many random inputs of a kernel as a calibration needs."""
    from export.precision import LEAST_CALIBRATION

    rng, shape = np.random.default_rng(SEED), input_shape(kernel)
    return [rng.standard_normal(shape, dtype=np.float32) for _ in range(LEAST_CALIBRATION)]
