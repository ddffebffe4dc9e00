"""Keeps the losses in memory banks up to date with the weights, at a bounded cost.

The paper evaluates all banks anew on the first batch of an epoch, and the bank of the current
level after each of its first three quarters. That is the schedule here. But an epoch of a small
data set has fewer steps than there are subnets in the banks, so the work is bounded: every step
earns a tenth of the multiply-accumulates of its forward passes, every evaluation spends its own,
and one that cannot be paid for yet is put off. The subnets whose losses are oldest come first. What
was earned and not spent is kept, up to the work of evaluating all that is remembered once. With
the paper's banks, levels, batch and ImageNet's epochs everything is always paid for: its schedule
takes 9.6 % of the forward passes at 64 images an evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import CostModel
from elasticvit.nn import Supernet
from elasticvit.nn.checkpointing import frozen_statistics
from elasticvit.training.ranks import Ranks
from elasticvit.training.sampling.bank import Bank, Banks, Entry
from elasticvit.training.sampling.draw import Draw

IMAGES = 64  # most images of an evaluation
SHARE = 0.1  # of the work of the forward passes of training
QUARTERS = 4

Judge = Callable[[Sequence[Arch], Tensor, Tensor], list[float]]


def judged(
    supernet: Supernet, ranks: Ranks, archs: Sequence[Arch], images: Tensor, labels: Tensor
) -> list[float]:
    """Cross entropy of each architecture on the first `IMAGES` images, averaged over the ranks.

    Batch norms normalise by the batch, as in training; no statistic, gradient or weight is touched.

    Args:
        supernet: The supernet, in training mode.
        ranks: This process among those that train together.
        archs: The architectures, the same on all ranks.
        images: Normalised images (B, 3, R, R), not mixed.
        labels: Labels (B,).
    """
    if not archs:
        return []
    images, labels = images[:IMAGES], labels[:IMAGES]
    with torch.no_grad(), frozen_statistics(supernet):
        losses = [F.cross_entropy(supernet(images, arch), labels).float() for arch in archs]
    means: list[float] = ranks.average(torch.stack(losses)).tolist()
    return means


class Upkeep:
    """Evaluates what memory banks hold anew.

    Args:
        banks: The memory banks.
        macs: Multiply-accumulates of architectures, which work is measured in.
        judge: Losses of architectures on images and labels.
        epoch_steps: Number of steps of an epoch.
        images: Images a step and rank, the same number on all ranks, whose shares of a batch may
            differ by one: all of them must evaluate the same subnets.
    """

    def __init__(
        self, banks: Banks, macs: CostModel, judge: Judge, *, epoch_steps: int, images: int
    ) -> None:
        self.banks, self.macs, self.judge = banks, macs, judge
        self.epoch_steps, self.images = epoch_steps, images
        self._quarters = {epoch_steps * i // QUARTERS - 1 for i in range(1, QUARTERS)}

    def after(self, step: int, draw: Draw, images: Tensor, labels: Tensor) -> int:
        """What a step earns, and the evaluations that are due after it.

        Args:
            step: Index of the step.
            draw: What it ran.
            images: Its normalised images (B, 3, R, R), not mixed.
            labels: Their labels (B,).

        Returns:
            Number of subnets that were evaluated.
        """
        ran = ArchBatch.of([*draw.archs, *draw.students])
        self.banks.earned += SHARE * self.images * float(self.macs.price(ran).sum())
        due = self._due(step, draw.level)
        if not due:
            return 0
        return self._evaluate(due, images, labels)

    def _due(self, step: int, level: int) -> list[tuple[Bank, Entry]]:
        """What is to be evaluated after a step, the oldest loss first."""
        batch = step % self.epoch_steps
        if batch == 0 and step > 0:
            banks = list(self.banks)
        elif batch in self._quarters:
            banks = [self.banks[level]]
        else:
            return []
        due = [(bank, entry) for bank in banks for entry in bank]
        return sorted(due, key=lambda pair: (pair[1].judged, pair[1].arch.genes))

    def _evaluate(self, due: list[tuple[Bank, Entry]], images: Tensor, labels: Tensor) -> int:
        count = min(self.images, IMAGES)
        work = count * self.macs.price(ArchBatch.of([entry.arch for _, entry in due]))
        spent = np.cumsum(work)
        paid = int(np.searchsorted(spent, self.banks.earned, side="right"))
        due = due[:paid]
        losses = self.judge([entry.arch for _, entry in due], images[:count], labels[:count])
        for (bank, entry), loss in zip(due, losses, strict=True):
            bank.judge(entry.arch, loss, self.banks.steps)
        self.banks.earned -= float(spent[paid - 1]) if paid else 0.0
        held = [entry.arch for bank in self.banks for entry in bank]
        most = count * float(self.macs.price(ArchBatch.of(held)).sum()) if held else 0.0
        self.banks.earned = min(self.banks.earned, most)
        return paid
