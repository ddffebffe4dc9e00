"""How long a training will take on this machine, from steps that were really run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from elasticvit.training.trainer import Trainer

BUDGET_S = 6.0  # more steps are timed while this lasts
MAX_ROUNDS = 4


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Expected duration of a training.

    Attributes:
        step_s: Seconds a step at each complexity level that was timed, by the level's index.
        mean_step_s: Expected seconds a step over all levels.
        steps: Number of steps of the whole run.
    """

    step_s: Mapping[int, float]
    mean_step_s: float
    steps: int

    def total_s(self, done: int = 0) -> float:
        """Seconds for the steps that are left."""
        return (self.steps - done) * self.mean_step_s


def forecast(trainer: Trainer) -> Forecast:
    """Time whole steps at the lowest, the middle and the highest level.

    The level walk visits all levels equally often, so the mean over the levels, interpolated
    between the timed ones, is what a step takes on average.

    Args:
        trainer: A trainer of its own, which the steps change.
    """
    levels = trainer.sampler.levels
    timed = sorted({0, len(levels) // 2, len(levels) - 1})
    batch = next(iter(trainer.loader))
    seconds: dict[int, list[float]] = {level: [] for level in timed}
    trainer.step_at(batch, trainer.sampler.draw_at(timed[0]))  # the first step allocates
    started_s = time.monotonic()
    for _ in range(MAX_ROUNDS):
        for level in timed:
            draw = trainer.sampler.draw_at(level)
            before_s = time.monotonic()
            trainer.step_at(batch, draw)
            seconds[level].append(time.monotonic() - before_s)
        if trainer.ranks.any(time.monotonic() - started_s > BUDGET_S):  # all leave together
            break
    step_s = {level: float(np.median(times)) for level, times in seconds.items()}
    values = [levels.values[level] for level in timed]
    mean_s = float(np.mean(np.interp(levels.values, values, list(step_s.values()))))
    return Forecast(
        step_s=step_s,
        mean_step_s=mean_s + _loading_s(trainer),
        steps=trainer.steps,
    )


def _loading_s(trainer: Trainer) -> float:
    """Seconds to make a batch."""
    batches = iter(trainer.loader)
    next(batches)
    started_s = time.monotonic()
    count = sum(1 for _, _ in zip(range(3), batches, strict=False))
    return (time.monotonic() - started_s) / max(count, 1)
