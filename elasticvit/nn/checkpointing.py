"""Activation checkpointing of a block: less memory in training for one more forward pass.

The forward pass that backward repeats sees the batch a second time. It must not move the
running statistics of the batch norms a second time, so it runs with a momentum of 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from elasticvit.nn.layers import ElasticBatchNorm


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Within the context, batch norms in training mode leave their running statistics as they
    are and still normalise by the batch."""
    norms = [m for m in module.modules() if isinstance(m, ElasticBatchNorm)]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def checkpointed(block: nn.Module, x: Tensor) -> Tensor:
    """The block's output; its inner activations are calculated again in the backward pass.

    Outputs, gradients and running statistics are those of calling the block directly.
    """
    result: Tensor = checkpoint(
        block,
        x,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), frozen_statistics(block)),
    )
    return result
