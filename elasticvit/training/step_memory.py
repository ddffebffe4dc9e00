"""How much memory a training step needs: expected from a forward pass of a few images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from elasticvit.arch import Arch
from elasticvit.nn.checkpointing import frozen_statistics
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.step_side_by_side import most_waiting
from elasticvit.training.trainer import Trainer

FEWEST = 2  # images that a batch norm needs
STATES = 3  # copies of the weights that training adds: gradients and the optimiser's two moments


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """What the memory of a training step is made of, in bytes.

    Attributes:
        held: What the process holds before the first step.
        weights: The weights of the supernet.
        kept: What each subnet of a step keeps for its backward pass, the smallest first.
    """

    held: int
    weights: int
    kept: tuple[int, ...]

    def total(self, parallel: int = 1) -> int:
        """Bytes of a step of which so many subnets run at the same time, each with gradients of
        its own."""
        gradients = 0 if parallel == 1 else min(len(self.kept) - 1, most_waiting(parallel) + 1)
        return self.held + (STATES + gradients) * self.weights + sum(self.kept[-parallel:])


def step_memory(trainer: Trainer, dearest: Draw) -> StepMemory | None:
    """What a step at the highest level needs, on the CPU with all that the process holds; None if
    it cannot be estimated.

    Args:
        trainer: The trainer; it is left as it was.
        dearest: Subnets of the highest complexity level.
    """
    device, config = trainer.ranks.device, trainer.config
    if device.type == "cuda":
        held = int(torch.cuda.memory_allocated(device))
    else:
        held = _resident_bytes() or 0
    if not held:
        return None
    weights = sum(p.numel() * p.element_size() for p in trainer.supernet.parameters())
    channels, side = trainer.info.space.layout.in_channels, max(trainer.info.space.choices[0])
    few = torch.zeros(FEWEST, channels, side, side, device=device)
    subnets = (*dearest.archs, *dearest.students)
    with frozen_statistics(trainer.supernet):
        of_few = {arch: _kept_bytes(trainer, few, arch) for arch in dict.fromkeys(subnets)}
    images = -(-config.batch_size // (trainer.ranks.count * config.accumulate))
    kept = sorted(of_few[arch] * images // FEWEST for arch in subnets)
    return StepMemory(held=held, weights=weights, kept=tuple(kept))


def _kept_bytes(trainer: Trainer, images: Tensor, arch: Arch) -> int:
    """Bytes that a forward pass keeps for the backward pass, weights left out."""
    kept = {p.untyped_storage().data_ptr(): 0 for p in trainer.supernet.parameters()}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept.setdefault(storage.data_ptr(), storage.nbytes())
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor)
    with hooks, trainer.engine.precision.autocast():
        logits = trainer.supernet(images, arch)
    total = sum(kept.values())
    del logits
    return total


def _resident_bytes() -> int | None:
    """Memory that the process holds now; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
