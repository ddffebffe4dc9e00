"""Which architectures a search for a whole front judges next.

Goals that span a range of a cost (`Goals.front`) are not searched one by one: what counts is the
area under the front of everything that was judged. The accuracy predictor's joint distribution is
drawn from, and the next one to be judged is the one that adds most to the area, in the mean over
the draws; what it adds in each draw is kept when the one after it is chosen, so that a round's
architectures differ (noisy expected hypervolume improvement, the cost being known: Daulton,
Balandat and Bakshy, NeurIPS 2021). Exploration needs no schedule of its own: what may turn out well
in some draws adds to the area in these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky  # type: ignore[import-untyped]

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.searching.accuracy_predictor import AccuracyPredictor
from elasticvit.searching.archive import Archive
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.goal import Goals
from elasticvit.searching.guided import (
    CANDIDATES,
    ELITE,
    GENERATIONS,
    SCREENED,
    Errors,
    Guide,
    without,
)
from elasticvit.searching.pareto import first_layers
from elasticvit.space import SearchSpace

BOLDNESS = (1.5, 0.5)  # as of `guided`, of the candidates: at the start and the end
DRAWS = 128  # of the predictor's joint distribution
STEPS = 64  # of the cost, at which the area is summed up
COMPARED = 128  # judged architectures that candidates are compared with, at most
JITTER = 1e-6  # of the mean variance


@dataclass(frozen=True, kw_only=True, eq=False)
class FrontGuide(Guide):
    """Chooses the architectures of each round of a search for a front; attributes as of `Guide`.

    The first cap's cost is the axis, and the others are the same for all goals.
    """

    def __call__(self, archive: Archive, rng: np.random.Generator) -> ArchBatch:
        """The architectures of the next round; fewer than wanted, or none, when there are no
        others under the caps.

        Args:
            archive: Everything that was judged before.
            rng: Random generator.
        """
        predictor = self.fit(archive, rng)
        boldness = self.boldness(archive, BOLDNESS)
        candidates = self._candidates(predictor, archive, boldness, rng)
        if not len(candidates):
            return candidates
        return self._add_most(predictor, archive, candidates, rng)

    def _candidates(
        self,
        predictor: AccuracyPredictor,
        archive: Archive,
        boldness: float,
        rng: np.random.Generator,
    ) -> ArchBatch:
        """Architectures that were not judged before, on the first layers of the front of upper
        confidence bound against cost: an evolution on what is predicted."""
        most = max(CANDIDATES, 2 * self.config.children)
        pool = archive.archs.concat(self._sample(rng)).unique()
        for _ in range(GENERATIONS):
            pool = self._promising(predictor, pool, boldness, max(4 * ELITE, most))
            parents = pool.take(slice(0, 2 * ELITE))
            if not len(parents):
                break
            pool = pool.concat(self.children(parents, self.goals, rng)).unique()
        return self._promising(predictor, without(pool, archive.archs), boldness, most)

    def _sample(self, rng: np.random.Generator) -> ArchBatch:
        drawn = self.space.sample(SCREENED, rng)
        return drawn.take(self.goals.loads(drawn) <= 1)

    def _promising(
        self, predictor: AccuracyPredictor, pool: ArchBatch, boldness: float, count: int
    ) -> ArchBatch:
        mean, deviation = predictor.predict(pool)
        points = np.stack([self._costs(pool), -(mean + boldness * deviation)], axis=1)
        return pool.take(first_layers(points, count))

    def _costs(self, batch: ArchBatch) -> FloatArray:
        return self.goals[0].caps[0].bound(batch)

    def _add_most(
        self,
        predictor: AccuracyPredictor,
        archive: Archive,
        candidates: ArchBatch,
        rng: np.random.Generator,
    ) -> ArchBatch:
        """One candidate after the other by what it is expected to add to the area."""
        mean, _ = predictor.predict(archive.archs)
        points = np.stack([self._costs(archive.archs), -mean], axis=1)
        judged = archive.archs.take(first_layers(points, COMPARED))
        both = judged.concat(candidates)
        costs, draws = self._costs(both), _draws(predictor, both, rng)
        top = max(float(costs.max()), *(goal.caps[0].target for goal in self.goals))
        edges = np.linspace(costs.min(), top, STEPS + 1)
        # an architecture counts from the first step that it is cheap enough for
        steps, widths = edges[:-1], np.diff(edges) / (top - edges[0] or 1.0)
        known, new = draws[: len(judged)], draws[len(judged) :]
        best = np.stack([known[costs[: len(judged)] <= step].max(0, initial=known.min())
                         for step in steps])  # fmt: skip
        cheap = costs[len(judged) :, None] <= steps
        free = np.ones(len(candidates), dtype=bool)
        chosen: list[int] = []
        for _ in range(min(self.config.children, len(candidates))):
            gain = np.zeros(len(candidates))
            for step, width in enumerate(widths):
                rows = np.flatnonzero(cheap[:, step] & free)
                gain[rows] += width * np.maximum(new[rows] - best[step], 0.0).mean(1)
            row = int(np.argmax(np.where(free, gain, -1.0)))
            chosen.append(row)
            free[row] = False
            best[cheap[row]] = np.maximum(best[cheap[row]], new[row])
        return candidates.take(np.array(chosen, dtype=np.int64))


def _draws(predictor: AccuracyPredictor, batch: ArchBatch, rng: np.random.Generator) -> FloatArray:
    """Draws of the true accuracies of n architectures together, shape (n, `DRAWS`)."""
    mean, covariance = predictor.joint(batch)
    covariance[np.diag_indices(len(mean))] += max(
        JITTER * float(np.trace(covariance)) / len(mean), 1e-12
    )
    half = cholesky(covariance, lower=True)
    draws: FloatArray = mean[:, None] + half @ rng.standard_normal((len(mean), DRAWS))
    return draws


def guide_of(*, space: SearchSpace, goals: Goals, config: EvolutionConfig, errors: Errors) -> Guide:
    """What chooses the architectures of a search; arguments as the attributes of `Guide`."""
    kind = FrontGuide if goals.front else Guide
    return kind(space=space, goals=goals, config=config, errors=errors)
