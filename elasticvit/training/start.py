"""Where training starts: whether the memory is enough, initial weights, and which of them decay."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from elasticvit.block_options import BlockOptions
from elasticvit.errors import SpaceError
from elasticvit.nn import Supernet
from elasticvit.nn.blocks import Downsample, FirstConv, MBConv
from elasticvit.nn.initial import initialise
from elasticvit.space import SearchSpace

__all__ = ["check_memory", "initialise", "parameter_groups"]

CONVOLUTIONAL = (FirstConv, MBConv, Downsample)
COPIES = 5  # weights, gradients, two moments of the optimiser, moving average


def memory_bytes() -> int:
    """Bytes of memory that this computer has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_memory(space: SearchSpace, options: BlockOptions) -> None:
    """Check that the supernet of a space can be trained here, before it is made.

    Raises:
        SpaceError: Its weights, with what training adds for each, need more than all memory.
    """
    with torch.device("meta"):
        weights = sum(p.numel() for p in Supernet(space, options).parameters())
    needed, there = 4 * COPIES * weights, memory_bytes()
    if needed > there:
        raise SpaceError(
            f"search space {space.name}: its supernet has {weights / 1e6:,.0f} million weights; "
            f"training takes {needed / 1e9:,.1f} GB for them alone, and this computer has "
            f"{there / 1e9:,.1f} GB: choose a space of smaller widths and expansions",
            settings=["space"],
        )


def parameter_groups(
    supernet: Supernet,
    weight_decay: float,
    *,
    decay_convs: bool = True,
    decay_position_bias: bool = False,
) -> list[dict[str, Any]]:
    """Weights with decay, and those without: norms and biases, and by choice others.

    Args:
        supernet: The supernet.
        weight_decay: Weight decay of the weights that have one.
        decay_convs: Whether the first convolution, MBConv and downsampling blocks decay.
        decay_position_bias: Whether position biases decay.
    """
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for block in supernet.blocks.values():
        convolutional = isinstance(block, CONVOLUTIONAL)
        for name, parameter in block.named_parameters():
            if name.endswith("position_bias"):
                decays = decay_position_bias
            else:
                decays = parameter.ndim > 1 and (decay_convs or not convolutional)
            (decayed if decays else free).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
