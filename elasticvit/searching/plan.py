"""How large a search this machine can afford, decided and reported before it starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.searching.config import MOST_EVALUATIONS, EvolutionConfig

if TYPE_CHECKING:
    from elasticvit.searching.evaluate import SupernetEvaluator

DEFAULT_BUDGET_S = 3 * 60.0
USUAL = 260  # evaluations of a guided search without a budget, and half as many a further goal
SOUND = 130  # evaluations that a search without a budget gets on slow machines as well
SOUND_EVOLUTION = 320  # the same for the paper's evolution
SOUND_BUDGET_S = 15 * 60.0  # as long as they take no longer than this
FINALISTS = 16
FEWEST_FINALISTS = 4
FINALISTS_SHARE = 0.25  # of the time, at most
TIMED = 3  # architectures that are evaluated to learn how long one takes
LONGEST_GENERATIONS = 40


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """Size of a search and how long it will take.

    Attributes:
        config: Size of the evolution.
        finalists: Number of architectures that are judged again at the end.
        evaluation_s: Seconds for one architecture.
        after_s: Seconds for the finalists and the test.
        deadline_s: Seconds after which the evolution stops; None without a budget.
    """

    config: EvolutionConfig
    finalists: int
    evaluation_s: float
    after_s: float
    deadline_s: float | None

    def left(self, evaluated: int = 0) -> int:
        """Number of architectures that are still to be evaluated, at most.

        Args:
            evaluated: Number that an earlier session has evaluated.
        """
        return max(self.config.evaluations - evaluated, 0)

    def evolution_s(self, evaluated: int = 0) -> float:
        """Expected seconds for the architectures that are left, without a time budget."""
        return self.left(evaluated) * self.evaluation_s

    def total_s(self, evaluated: int = 0) -> float:
        """Expected seconds for what is left of the search, finalists and test among it."""
        evolution_s = self.evolution_s(evaluated)
        if self.deadline_s is not None:
            evolution_s = min(evolution_s, self.deadline_s)
        return evolution_s + self.after_s


def time_evaluation(evaluator: SupernetEvaluator, typical: ArchBatch) -> float:
    """Seconds to evaluate one architecture, beside those that run at the same time: the median over
    a few that differ in load.

    Each is run once before the clock, which reads the images of its resolution.
    """
    seconds = []
    for row in np.linspace(0, len(typical) - 1, min(TIMED, len(typical))).astype(int):
        run = partial(evaluator.run, typical[int(row)])
        run()
        start = time.perf_counter()
        if evaluator.spread is None:
            run()
        else:
            evaluator.spread.at_once(run)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def make_plan(
    *,
    evaluation_s: float,
    finalist_s: float,
    test_s: float,
    goals: int = 1,
    evaluations: int | None = None,
    population: int | None = None,
    generations: int | None = None,
    config: EvolutionConfig | None = None,
    budget_s: float | None = None,
) -> SearchPlan:
    """The largest search that fits.

    Sizes that the user names are kept. What is not named comes from the budget. Without a
    budget it comes from a few minutes, or from a quarter of an hour on a machine so slow that a
    few minutes make no sound search. A search is guided by an accuracy predictor unless a size of
    the paper's evolution is named.

    Args:
        evaluation_s: Seconds to evaluate one architecture.
        finalist_s: Seconds to judge one finalist.
        test_s: Seconds for the test.
        goals: Number of goals.
        evaluations: Number of architectures that the user named.
        population, generations: Sizes of the paper's evolution that the user named.
        config: Size of an interrupted search, in place of all others.
        budget_s: Seconds for everything.
    """
    all_s = budget_s if budget_s is not None else DEFAULT_BUDGET_S
    payable = int(FINALISTS_SHARE * all_s / max(finalist_s, 1e-9))
    finalists = min(max(payable, FEWEST_FINALISTS), FINALISTS)
    after_s = finalists * finalist_s + test_s
    usable_s = max(all_s - after_s, 0.0)
    affordable = usable_s / evaluation_s
    if budget_s is None:
        sound = SOUND if population is None and generations is None else SOUND_EVOLUTION
        affordable = max(affordable, min(sound, SOUND_BUDGET_S / evaluation_s))
    if config is not None:
        pass
    elif population is None and generations is None:
        if evaluations is not None:
            config = EvolutionConfig.guided_by(evaluations)
        else:
            if budget_s is None:
                affordable = min(affordable, USUAL * (1 + goals) / 2)
            config = EvolutionConfig.guided_within(affordable, goals)
    elif population is not None and generations is not None:
        config = EvolutionConfig.of(population, generations)
    elif population is not None:
        rounds = int((affordable - population) / (4 * population))
        most = min(LONGEST_GENERATIONS, (MOST_EVALUATIONS // population - 1) // 4)
        config = EvolutionConfig.of(population, min(max(rounds, 2), most))
    else:
        assert generations is not None
        parents = int(affordable / (1 + 4 * generations))
        most = min(64, MOST_EVALUATIONS // (1 + 4 * generations))
        config = EvolutionConfig.of(min(max(parents, 4), most), generations)
    return SearchPlan(
        config=config,
        finalists=finalists,
        evaluation_s=evaluation_s,
        after_s=after_s,
        deadline_s=None if budget_s is None else usable_s,
    )
