"""Compares the gradients of pairs of subnets every so many steps while a training runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import CostModel
from elasticvit.training.data import ImageData
from elasticvit.training.diagnosis import gradient_cosines
from elasticvit.training.diagnosis_table import ACROSS, GOOD, RANDOM, DiagnosisRow
from elasticvit.training.levels import Levels
from elasticvit.training.sampling.reservoir import Reservoir
from elasticvit.training.step_table import StepTable

if TYPE_CHECKING:
    from elasticvit.training.stopwatch import StepTimes
    from elasticvit.training.trainer import Trainer

A_LEVEL = 2  # subnets of each level among those of all levels
WITHIN = 3  # good subnets, and random ones, of the one level that is looked into
MOST_IMAGES = 64  # of the batch
DRAWS = 12  # at a level, until that many different subnets are found
SEED = 0xD1A6


class DiagnosisWatch:
    """Writes cosines of gradients to a table; an `Observer` of a trainer.

    Each time pairs are compared over all levels, and within one level, which is the next one from
    time to time: pairs of good subnets and pairs of random ones. All are run on the same images
    of the training part, which never change.

    Args:
        every: Number of steps between two diagnoses.
        data: The data set.
        cost: Cost that the complexity levels are measured in.
        levels: The complexity levels.
        table: Table that the cosines are appended to.
        good: The best subnets that are known of a level, best first; fewer than two if none are.
    """

    def __init__(
        self,
        every: int,
        data: ImageData,
        cost: CostModel,
        levels: Levels,
        table: StepTable[DiagnosisRow],
        good: Callable[[int], Sequence[Arch]],
    ) -> None:
        self.every, self.data, self.cost, self.levels = every, data, cost, levels
        self.table, self.good = table, good

    def after_step(self, trainer: Trainer, times: StepTimes) -> None:
        """Compare gradients if it is time to."""
        if trainer.step % self.every == 0:
            self.diagnose(trainer)

    def diagnose(self, trainer: Trainer) -> None:
        """Compare gradients now.

        Raises:
            FileError: The table cannot be written.
        """
        space, step = trainer.info.space, trainer.step
        rng = np.random.default_rng([trainer.info.seed, step, SEED])
        reservoir = Reservoir(space, self.cost, self.levels, rng)

        def drawn(level: int, count: int) -> list[Arch]:
            return list(dict.fromkeys(reservoir.draw(level, DRAWS)))[:count]

        level = (step // self.every) % len(self.levels)
        across = [space.smallest, space.largest]
        for i in range(len(self.levels)):
            across += drawn(i, A_LEVEL)
        groups = (
            (ACROSS, None, list(dict.fromkeys(across))),
            (GOOD, level, list(self.good(level))[:WITHIN]),
            (RANDOM, level, drawn(level, WITHIN)),
        )
        images, labels = next(
            iter(
                self.data.loader(
                    "train",
                    resolution=max(space.choices[0]),
                    batch_size=min(MOST_IMAGES, self.data.info.train_images),
                    shuffle=True,
                    seed=trainer.info.seed,
                )
            )
        )
        device = trainer.ranks.device
        images, labels = images.to(device), labels.to(device)
        for pair, of, archs in groups:
            if len(archs) > 1:
                cosines = gradient_cosines(trainer.supernet, images, labels, archs)
                self.table.add(self._rows(step, pair, of, archs, cosines))

    def _rows(
        self, step: int, pair: str, level: int | None, archs: Sequence[Arch], cosines: Any
    ) -> Iterator[dict[str, object]]:
        """The rows of all pairs whose cosine is a number."""
        costs = self.cost.price(ArchBatch.of(archs))
        for i, j in combinations(range(len(archs)), 2):
            if math.isfinite(cosines[i, j]):
                yield {
                    "step": step,
                    "pair": pair,
                    "level": level,
                    "arch_a": str(archs[i]),
                    "arch_b": str(archs[j]),
                    "cost_a": repr(float(costs[i])),
                    "cost_b": repr(float(costs[j])),
                    "cost_unit": self.levels.unit,
                    "cosine": f"{cosines[i, j]:.6f}",
                }
