"""Draws from what was good before: exploitation of ElasticViT's performance-aware sampling
(section 4.2).

The paper exploits with probability 0.2 at first, and 0.15 more at every hundredth of its 600
epochs. Here it is at every sixth of the training, however long that is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from elasticvit.arch import Arch
from elasticvit.cost import CostModel
from elasticvit.space import SearchSpace
from elasticvit.training.levels import Levels
from elasticvit.training.sampling.bank import Banks, Entry
from elasticvit.training.sampling.draw import Choice, Draw
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.sampling.state import (
    BankEntry,
    BanksState,
    SamplerState,
    check_genes,
    damaged,
    restore_rng,
    rng_json,
)

START, RISE, PARTS = 0.2, 0.15, 6
STREAM = 1  # tells the random generator from that of the sampler within


def exploitation(share: float) -> float:
    """Probability that a subnet is drawn from the bank of its level.

    Args:
        share: Share of the training that is done.
    """
    return min(1.0, START + RISE * int(PARTS * share))


class BankSampler:
    """Replaces draws of another sampler by subnets of memory banks; a `Sampler`.

    Subnets that are drawn from a bank are not offered to it again: their losses are brought up to
    date by `upkeep.Upkeep`.

    Args:
        inner: The sampler within, which explores.
        sizes: Size of the bank of each level.
        space: The search space.
        cost: Cost that the complexity levels are measured in.
        seed: Random seed of the draws from the banks.
    """

    def __init__(
        self,
        inner: Sampler,
        sizes: Sequence[int],
        space: SearchSpace,
        cost: CostModel,
        *,
        seed: int,
    ) -> None:
        self.inner, self.space, self.cost = inner, space, cost
        self.rng = np.random.default_rng([seed, STREAM])
        self.banks = Banks(sizes)

    @property
    def levels(self) -> Levels:
        return self.inner.levels

    def draw(self, share: float = 0.0) -> Draw:
        """The next step's subnets; raises as `Sampler.draw` does."""
        draw = self.inner.draw(share)
        bank = self.banks[draw.level]
        if not bank.ready:
            return draw
        archs: list[Arch] = []
        chosen: list[Choice] = []
        for arch, how in zip(draw.archs, draw.chosen, strict=True):
            exploits = self.rng.random() < exploitation(share)
            archs.append(bank.draw(self.rng) if exploits else arch)
            chosen.append("bank" if exploits else how)
        return replace(draw, archs=tuple(archs), chosen=tuple(chosen))

    def draw_at(self, level: int) -> Draw:
        """Random subnets of a level; raises as `Sampler.draw_at` does."""
        return self.inner.draw_at(level)

    def learn(self, draw: Draw, losses: Sequence[float]) -> None:
        """Offer the explored subnets to the bank of their level; losses that are not finite are
        left out."""
        self.inner.learn(draw, losses)
        self.banks.steps += 1
        for arch, how, loss in zip(draw.archs, draw.chosen, losses, strict=True):
            if how not in ("bank", "fixed") and math.isfinite(loss):
                entry = Entry(arch=arch, loss=loss, judged=self.banks.steps)
                self.banks[draw.level].offer(entry)

    def state(self) -> SamplerState:
        """State of the sampler within, with the banks and their random generator."""
        entries = tuple(
            tuple(BankEntry(genes=e.arch.genes, loss=e.loss, judged=e.judged) for e in bank)
            for bank in self.banks
        )
        banks = BanksState(
            rng=rng_json(self.rng),
            steps=self.banks.steps,
            earned=self.banks.earned,
            entries=entries,
        )
        state = self.inner.state()
        return SamplerState(
            values=state.values, level=state.level, rng=state.rng, kept=state.kept, banks=banks
        )

    def restore(self, state: SamplerState) -> None:
        """Go on from a state; raises as `Sampler.restore` does.

        Subnets whose cost has left the band of their level are forgotten. A state without banks
        leaves them empty.
        """
        self.inner.restore(state)
        banks = state.banks
        if banks is None:
            return
        if len(banks.entries) != len(self.banks):
            raise damaged(f"{len(banks.entries)} memory banks; there are {len(self.banks)} levels")
        found = [self._within(level, entries) for level, entries in enumerate(banks.entries)]
        restore_rng(self.rng, banks.rng, "sampler.banks.rng")
        for bank, entries in zip(self.banks, found, strict=True):
            bank.put(entries)
        self.banks.steps, self.banks.earned = banks.steps, banks.earned

    def _within(self, level: int, entries: Sequence[BankEntry]) -> list[Entry]:
        """The entries of a level's bank whose cost is within the band."""
        batch = check_genes([e.genes for e in entries], self.space, self.banks[level].size)
        if not entries:
            return []
        if len(batch.unique()) < len(batch):
            raise damaged("a memory bank with an architecture twice")
        low, high = self.levels.band(level)
        return [
            Entry(arch=arch, loss=entry.loss, judged=entry.judged)
            for arch, entry, price in zip(batch, entries, self.cost.price(batch), strict=True)
            if low <= price <= high
        ]
