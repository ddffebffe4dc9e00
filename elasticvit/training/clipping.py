"""Adaptive gradient clipping (Brock et al., "High-Performance Large-Scale Image Recognition
Without Normalization", ICML 2021, section 4).

The same values as timm's `adaptive_clip_grad`, whose five passes over all weights and gradients
become three: a supernet has the weights of its largest architecture, whatever a step trains.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

LEAST_NORM = 1e-3  # of a unit's weights: those that start at zero may move
LEAST_GRADIENT = 1e-6


def clip_gradients(parameters: Iterable[nn.Parameter], factor: float) -> None:
    """Scale every unit's gradient, in place, so that its norm is at most `factor` times the norm
    of the unit's weights.

    A unit is a row of a matrix, a filter of a convolution, or the whole of a vector.

    Args:
        parameters: Parameters; those without a gradient are left out.
        factor: Greatest norm of a gradient, relative to that of the weights.
    """
    used = [p for p in parameters if p.grad is not None]
    if not used:
        return
    with torch.no_grad():
        gradients = [p.grad for p in used if p.grad is not None]
        scales, norms = _unit_norms([p.detach() for p in used]), _unit_norms(gradients)
        torch._foreach_clamp_min_(scales, LEAST_NORM)
        torch._foreach_mul_(scales, factor)
        torch._foreach_clamp_min_(norms, LEAST_GRADIENT)
        torch._foreach_div_(scales, norms)
        torch._foreach_clamp_max_(scales, 1.0)
        for gradient, scale in zip(gradients, scales, strict=True):
            gradient.mul_(scale)


def _unit_norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Norm of each unit, in a shape that multiplies the tensor."""
    return [
        torch.linalg.vector_norm(t, dim=tuple(range(1, t.ndim)), keepdim=True)
        if t.ndim > 1
        else torch.linalg.vector_norm(t)
        for t in tensors
    ]
