"""Which architectures a search judges next, when an accuracy predictor chooses them.

Judging one architecture takes a fraction of a second or more, predicting one some microseconds. So
the predictor is fitted to everything that was judged so far, and an evolution runs on what it
predicts, under the hard caps, as long as it likes. The next ones to be judged are those with the
highest upper confidence bound; each chosen one lowers the uncertainty of those like it before the
next is chosen (GP-BUCB: Desautels, Krause and Burdick, JMLR 15, 2014), so that a round's
architectures differ. At the end of a search the bound gives way to the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import kendalltau  # type: ignore[import-untyped]

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.searching.accuracy_predictor import AccuracyPredictor, ArchFeatures
from elasticvit.searching.archive import Archive
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.goal import Goal, Goals
from elasticvit.searching.winner import Agreement
from elasticvit.space import SearchSpace

BOLDNESS = (1.5, 0.0)  # standard deviations that are added to the mean, at the start and the end
SCREENED = 1000  # architectures of a generation on the predictor
GENERATIONS = 8  # on the predictor
ELITE = 64  # of them that are bred from
CANDIDATES = 400  # over all goals, among which a round's architectures are chosen
Errors = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, kw_only=True, eq=False)
class Guide:
    """Chooses the architectures of each round of a search (`evolve`'s `propose`).

    Attributes:
        space: The space that is searched.
        goals: The goals of the search.
        config: Size of the search.
        errors: Standard errors of accuracies, shape (n,), from the accuracies, shape (n,).
    """

    space: SearchSpace
    goals: Goals
    config: EvolutionConfig
    errors: Errors

    @cached_property
    def features(self) -> ArchFeatures:
        """Features of the space."""
        return ArchFeatures(self.space)

    def __call__(self, archive: Archive, rng: np.random.Generator) -> ArchBatch:
        """The architectures of the next round; fewer than wanted, or none, when there are no
        others under the caps.

        Args:
            archive: Everything that was judged before.
            rng: Random generator.
        """
        predictor = self.fit(archive, rng)
        boldness = self.boldness(archive, BOLDNESS)
        each = max(CANDIDATES // len(self.goals), 2 * self.config.children)
        found = [self._screen(predictor, goal, archive, boldness, each, rng) for goal in self.goals]
        candidates = found[0].concat(*found[1:]).unique()
        if not len(candidates):
            return candidates
        order = rng.permutation(len(self.goals))
        return self._choose(predictor, candidates, [self.goals[i] for i in order], boldness)

    def boldness(self, archive: Archive, ends: tuple[float, float]) -> float:
        """Standard deviations that are added to the mean: from one number at the start of the
        search to another at its end."""
        left = max(1 - len(archive.archs) / self.config.evaluations, 0.0)
        return ends[1] + (ends[0] - ends[1]) * left

    def fit(self, archive: Archive, rng: np.random.Generator) -> AccuracyPredictor:
        """The predictor that everything that was judged so far gives."""
        return AccuracyPredictor.fit(
            self.features,
            archive.archs,
            archive.accuracy,
            self.errors(archive.accuracy),
            rng=rng,
        )

    def foreseen(self, archive: Archive, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """What each architecture of the rounds was predicted by those before it, and judged at."""
        predicted = []
        for born in range(1, int(archive.born.max(initial=0)) + 1):
            before = archive.rows(archive.born < born)
            batch = archive.archs.take(archive.born == born)
            if len(batch):
                predicted.append(self.fit(before, rng).predict(batch)[0])
        judged = archive.accuracy[archive.born > 0]
        return (np.concatenate(predicted) if predicted else np.empty(0)), judged

    def _screen(
        self,
        predictor: AccuracyPredictor,
        goal: Goal,
        archive: Archive,
        boldness: float,
        count: int,
        rng: np.random.Generator,
    ) -> ArchBatch:
        """The most promising architectures under a goal's caps that were not judged before."""
        keeping = archive.archs.take(goal.loads(archive.archs) <= 1)
        pool = keeping.concat(self.space.sample(SCREENED, rng)).unique()
        pool = pool.take(goal.loads(pool) <= 1)
        for _ in range(GENERATIONS):
            pool = self._best(predictor, pool, boldness, max(4 * ELITE, 2 * count))
            parents = pool.take(slice(0, ELITE))
            if not len(parents):
                break
            pool = pool.concat(self.children(parents, goal, rng)).unique()
        pool = without(pool, archive.archs)
        return self._best(predictor, pool, boldness, count)

    def children(
        self, parents: ArchBatch, limits: Goal | Goals, rng: np.random.Generator
    ) -> ArchBatch:
        """Mutations and crossovers of random parents that keep the caps of a goal, or of any."""
        first, second = (parents.take(rng.integers(len(parents), size=SCREENED)) for _ in range(2))
        children = self.space.mutate(first, rng, 0.1).concat(
            self.space.crossover(first, second, rng)
        )
        return children.take(limits.loads(children) <= 1)

    def _best(
        self, predictor: AccuracyPredictor, pool: ArchBatch, boldness: float, count: int
    ) -> ArchBatch:
        mean, deviation = predictor.predict(pool)
        return pool.take(np.argsort(-(mean + boldness * deviation), kind="stable")[:count])

    def _choose(
        self,
        predictor: AccuracyPredictor,
        candidates: ArchBatch,
        goals: Sequence[Goal],
        boldness: float,
    ) -> ArchBatch:
        """One architecture after the other for each goal in turn, by the upper confidence bound."""
        mean, covariance = predictor.joint(candidates)
        keeps = np.array([goal.loads(candidates) <= 1 for goal in goals])
        noise = predictor.own_variance + 1e-9
        free = np.ones(len(candidates), dtype=bool)
        chosen: list[int] = []
        for turn in range(self.config.children):
            allowed = keeps[turn % len(goals)] & free
            if not allowed.any():
                continue
            bound = mean + boldness * np.sqrt(np.maximum(np.diag(covariance), 0.0))
            best = int(np.argmax(np.where(allowed, bound, -np.inf)))
            chosen.append(best)
            free[best] = False
            column = covariance[:, best]
            covariance = covariance - np.outer(column, column) / (column[best] + noise)
        return candidates.take(np.array(chosen, dtype=np.int64))


def agreement_of(predicted: FloatArray, judged: FloatArray) -> Agreement | None:
    """How well architectures were ranked before they were judged (`Guide.foreseen`): Kendall's tau;
    None if there are too few."""
    if len(judged) < 3:
        return None
    tau = float(kendalltau(predicted, judged).statistic)
    return Agreement(tau=0.0 if np.isnan(tau) else tau, archs=len(judged))


def without(batch: ArchBatch, others: ArchBatch) -> ArchBatch:
    """The architectures of a batch that are not among others."""
    known = {row.tobytes() for row in others.genes}
    return batch.take(np.array([row.tobytes() not in known for row in batch.genes], dtype=bool))
