"""How long a training will take on this machine: expected from its cheapest level, then from the
steps that it takes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.training.probe import Probe, probe
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.sampling.walk import mean_over_rest, visits
from elasticvit.training.subnet_threads import dearest_draw
from elasticvit.training.trainer import Trainer

REMEMBERED = 25  # steps of a level whose median counts
GAIN = 0.8  # time grows by this power of MACs: wide layers use a machine better (measured)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Expected duration of a training.

    Attributes:
        step_s: Seconds a step at each complexity level that was met, by the level's index.
        mean_step_s: Expected seconds a step over all levels.
        steps: Number of steps of the whole run.
        memory_bytes: Estimate of the most memory that training needs; None if there is none.
        level_s: Expected seconds a step at each level; empty if only their mean is known.
        shares: How often each of them is visited, in any proportion.
        grow: Share of the training after which all levels are in.
    """

    step_s: Mapping[int, float]
    mean_step_s: float
    steps: int
    memory_bytes: int | None = None
    level_s: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    grow: float = 0.0

    def total_s(self, done: int = 0) -> float:
        """Seconds for the steps that are left."""
        mean_s = self.mean_step_s
        if self.level_s and done < self.steps:
            mean_s = mean_over_rest(self.level_s, self.shares, self.grow, done / self.steps)
        return (self.steps - done) * mean_s


class Forecaster:
    """Expects what steps take: levels that were met by their own steps, the others by their
    multiply-accumulates.

    Args:
        probe: What passes at the cheapest level took.
        macs_m: Multiply-accumulates of a step at each level, in millions an image.
        batch_size: Images a step, on this process.
        steps: Number of steps of the whole run.
        shares: How often the walk visits each level, in any proportion; empty: equally often.
        grow: Share of the training after which all levels are in.
    """

    def __init__(
        self,
        probe: Probe,
        macs_m: list[float],
        batch_size: int,
        steps: int,
        shares: Sequence[float] = (),
        grow: float = 0.0,
    ) -> None:
        self._shares = tuple(shares) or (1.0,) * len(macs_m)
        self._grow = grow
        self._steps, self._memory = steps, probe.memory_bytes
        fixed_s = probe.fixed_s + probe.loading_s
        self._expected_s = [
            fixed_s + batch_size * probe.image_s * (macs / macs_m[0]) ** GAIN for macs in macs_m
        ]
        self._times: dict[int, list[float]] = {}

    def add(self, level: int, seconds: float) -> bool:
        """Take note of a step at a level; whether it is the first one there, or there are twice
        as many steps as at the last time that this was true."""
        self._times.setdefault(level, []).append(seconds)
        count = sum(map(len, self._times.values()))
        return len(self._times[level]) == 1 or count & (count - 1) == 0

    def forecast(self) -> Forecast:
        """What is expected now: a step takes the mean over the levels, weighted by how often the
        walk visits each."""
        met = {
            level: statistics.median(times[-REMEMBERED:])
            for level, times in sorted(self._times.items())
        }
        expected_s = sum(self._expected_s[level] for level in met)
        factor = sum(met.values()) / expected_s if met else 1.0
        levels_s = [met.get(i, factor * s) for i, s in enumerate(self._expected_s)]
        return Forecast(
            step_s=met or {0: self._expected_s[0]},
            mean_step_s=float(np.average(levels_s, weights=self._shares)),
            steps=self._steps,
            memory_bytes=self._memory,
            level_s=tuple(levels_s),
            shares=self._shares,
            grow=self._grow,
        )


def forecast(trainer: Trainer, sampler: Sampler) -> Forecaster:
    """A forecaster of a training that is about to begin or to go on.

    Args:
        trainer: The trainer; it is left as it was.
        sampler: A sampler that is not the trainer's.
    """
    cost = MacsCost(trainer.info.space)
    dearest = dearest_draw(trainer, sampler)
    draws = [sampler.draw_at(level) for level in range(len(sampler.levels))]
    macs_m = [
        float(cost.price(ArchBatch.of([*draw.archs, *draw.students])).sum()) for draw in draws
    ]
    return Forecaster(
        probe(trainer, draws[0], dearest),
        macs_m,
        -(-trainer.config.batch_size // trainer.ranks.count),
        trainer.steps,
        tuple(visits(sampler.levels.values, trainer.config.level_bias)),
        trainer.config.grow,
    )
