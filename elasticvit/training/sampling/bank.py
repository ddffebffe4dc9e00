"""Memory banks: good subnets of each complexity level (ElasticViT, section 4.2).

A bank holds subnets with their losses. A subnet that is new to it enters while there is room, or
when its loss is below the worst one, which it replaces.

A bank of the paper holds 150 subnets, or 50 from 500 million multiply-accumulates on, which are
the upper four of its eight levels. So the upper half of any levels has a third of the size. A
bank is used once more than half of it is filled, which takes the paper less than a thousandth
of its 600 epochs. A short training draws so few subnets a level that such banks would never be
filled: there a bank holds a twentieth of the subnets that the level is expected to draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from elasticvit.arch import Arch

FULL_SIZE = 150
UPPER_SIZE = 50  # in the upper half of the levels
LEAST_SIZE = 4
DRAWN_SHARE = 0.05  # of the subnets that a level draws in the whole training


def bank_sizes(levels: int, draws: int) -> tuple[int, ...]:
    """Size of the bank of each level.

    Args:
        levels: Number of levels.
        draws: Number of sampled subnets of the whole training, over all levels.
    """
    most = max(LEAST_SIZE, round(DRAWN_SHARE * draws / levels))
    return tuple(
        min(FULL_SIZE if 2 * level < levels else UPPER_SIZE, most) for level in range(levels)
    )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A subnet that is remembered.

    Attributes:
        arch: The architecture.
        loss: Mean cross entropy when it was evaluated last.
        judged: Number of steps that were done then.
    """

    arch: Arch
    loss: float
    judged: int


class Bank:
    """The subnets that one complexity level remembers, each once.

    Args:
        size: Greatest number of them.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: dict[Arch, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    @property
    def ready(self) -> bool:
        """Whether more than half of it is filled, from where on it is used."""
        return 2 * len(self) > self.size

    @property
    def best(self) -> Arch | None:
        """The architecture of the least loss; None if it is empty."""
        return min(self, key=_rank).arch if self._entries else None

    def offer(self, entry: Entry) -> bool:
        """Take a subnet in if there is room or it is better than the worst one, which leaves;
        one that is there already gets the new loss.

        Returns:
            Whether it is in the bank now.
        """
        if entry.arch not in self._entries and len(self) == self.size:
            worst = max(self, key=_rank)
            if entry.loss >= worst.loss:
                return False
            del self._entries[worst.arch]
        self._entries[entry.arch] = entry
        return True

    def judge(self, arch: Arch, loss: float, step: int) -> None:
        """Replace the loss of a subnet that is in the bank; it is forgotten if that is not finite.

        Args:
            arch: Its architecture.
            loss: The new loss.
            step: Number of steps that are done.
        """
        if math.isfinite(loss):
            self._entries[arch] = replace(self._entries[arch], loss=loss, judged=step)
        else:
            del self._entries[arch]

    def draw(self, rng: np.random.Generator) -> Arch:
        """An architecture with probability proportional to exp(-loss)."""
        entries = list(self)
        losses = np.array([entry.loss for entry in entries])
        weights = np.exp(losses.min() - losses)
        return entries[int(rng.choice(len(entries), p=weights / weights.sum()))].arch

    def put(self, entries: Sequence[Entry]) -> None:
        """Replace the content."""
        self._entries = {entry.arch: entry for entry in entries}


class Banks:
    """The banks of all levels, and how far training is.

    Attributes:
        steps: Number of steps whose losses were learnt from.
        earned: Work that upkeep may still do; see `upkeep.Upkeep`.

    Args:
        sizes: Size of the bank of each level.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._banks = tuple(Bank(size) for size in sizes)
        self.steps, self.earned = 0, 0.0

    def __len__(self) -> int:
        return len(self._banks)

    def __getitem__(self, level: int) -> Bank:
        return self._banks[level]

    def __iter__(self) -> Iterator[Bank]:
        return iter(self._banks)


def _rank(entry: Entry) -> tuple[float, tuple[int, ...]]:
    """What entries are compared by; equal losses are told apart by the architecture, so that
    every process finds the same."""
    return entry.loss, entry.arch.genes
