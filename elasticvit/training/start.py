"""What a training starts with: the supernet, if memory is enough, and what moves its weights."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import nn

from elasticvit.block_options import BlockOptions
from elasticvit.errors import SpaceError
from elasticvit.nn import Supernet
from elasticvit.nn.blocks import Downsample, FirstConv, MBConv
from elasticvit.nn.initial import initialise
from elasticvit.space import SearchSpace
from elasticvit.training.config import TrainConfig

CONVOLUTIONAL = (FirstConv, MBConv, Downsample)
CONTAINER_LIMITS = tuple(  # of control groups, versions 2 and 1
    Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory/memory.limit_in_bytes")
)
COPIES = 5  # weights, gradients, two moments of the optimiser, moving average


def computer_bytes() -> int:
    """Bytes of memory that this computer has, or that a container may use of it."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # there is no such file, or it says `max`
            there = min(there, int(path.read_text()))
    return there


def check_memory(space: SearchSpace, options: BlockOptions) -> None:
    """Check that the supernet of a space can be trained here, before it is made.

    Raises:
        SpaceError: Its weights, with what training adds for each, need more than all memory.
    """
    with torch.device("meta"):
        weights = sum(p.numel() for p in Supernet(space, options).parameters())
    needed, there = 4 * COPIES * weights, computer_bytes()
    if needed > there:
        raise SpaceError(
            f"search space {space.name}: its supernet has {weights / 1e6:,.0f} million weights; "
            f"training takes {needed / 1e9:,.1f} GB for them alone, and this computer has "
            f"{there / 1e9:,.1f} GB: choose a space of smaller widths and expansions",
            settings=["space"],
        )


def make_supernet(space: SearchSpace, options: BlockOptions, seed: int) -> Supernet:
    """A supernet with initial weights, in the memory of the CPU, its filters channels-last.

    Args:
        space: The search space.
        options: Variants of the blocks.
        seed: Random seed of the weights.

    Raises:
        SpaceError: Its weights, with what training adds for each, need more than all memory.
    """
    check_memory(space, options)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        supernet = initialise(Supernet(space, options))
    return supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def make_optimiser(supernet: Supernet, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW with the weight decays of the settings."""
    groups = parameter_groups(
        supernet,
        config.weight_decay,
        decay_convs=config.decay_convs,
        decay_position_bias=config.decay_position_bias,
    )
    return torch.optim.AdamW(groups, lr=config.lr, fused=True)


def make_schedule(
    optimiser: torch.optim.Optimizer, config: TrainConfig, steps: int
) -> CosineLRScheduler:
    """Learning rates of each step: a warm-up, a cosine, and the lowest one for what is left."""
    return CosineLRScheduler(
        optimiser,
        t_initial=max(1, steps - round(config.final_share * steps)),
        lr_min=config.min_lr,
        warmup_t=max(1, round(config.warmup_share * steps)),
        warmup_lr_init=config.warmup_start * config.lr,
        warmup_prefix=False,
        t_in_epochs=False,
    )


def make_average(supernet: Supernet, config: TrainConfig, steps: int) -> ModelEmaV3:
    """The moving average of the weights; its window is a share of all steps."""
    decay = min(config.ema_limit, 1 - 1 / max(2.0, config.ema_share * steps))
    return ModelEmaV3(supernet, decay=decay, use_warmup=True)


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
