"""The size of an evolution."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from elasticvit.errors import TargetError

ROUNDS = 16  # of a guided search, each of which fits the accuracy predictor anew
FEWEST_FIRST, MOST_FIRST = 12, 96  # first architectures of a guided search
FEWEST_EACH = 6  # architectures of a round
MOST_GUIDED = 1_030  # a tenth of the paper's 10,304
FEWEST_GUIDED = 32
SMALLEST_SCALE = 2.0**-7
MOST_EVALUATIONS = 100_000  # ten times the paper's; all are kept in memory and in the state's file


@dataclass(frozen=True, kw_only=True)
class EvolutionConfig:
    """Size of an evolution; the defaults are the paper's (ElasticViT, ICCV 2023).

    Attributes:
        population: Number of parents of each generation, and of architectures in the initial one.
        crossover, mutation: Number of children of either kind in a generation.
        generations: Number of generations after the initial population.
        mutation_rate: Probability that a gene is drawn anew in a mutation.
        guided: Whether the children are chosen by an accuracy predictor (`searching.guided`)
            instead of bred from parents.
        at_once: Number of architectures handed to the evaluator in one call; between calls a
            search reports, saves and may be stopped. Does not change what is found.

    Raises:
        TargetError: a size that is not positive, or more than `MOST_EVALUATIONS` evaluations.
    """

    population: int = 64
    crossover: int = 128
    mutation: int = 128
    generations: int = 40
    mutation_rate: float = 0.1
    guided: bool = False
    at_once: int = 8

    def __post_init__(self) -> None:
        sizes = {
            "population": self.population,
            "generations": self.generations,
            "children": self.children,
            "at_once": self.at_once,
        }
        for name, size in sizes.items():
            if size < 1:
                raise TargetError(f"search with {name} {size}; at least 1 is needed")
        if min(self.crossover, self.mutation) < 0 or not 0 < self.mutation_rate <= 1:
            raise TargetError(
                f"search with {self.crossover} crossovers, {self.mutation} mutations of rate "
                f"{self.mutation_rate}; counts from 0 and a rate from above 0 to 1 are needed"
            )
        if self.evaluations > MOST_EVALUATIONS:
            raise TargetError(
                f"search with population {self.population:,} and {self.generations:,} generations "
                f"of {self.children:,} children: {self.evaluations:,} evaluations; "
                f"at most {MOST_EVALUATIONS:,} are possible, so name less of either",
                settings=("population", "generations"),
            )

    @property
    def children(self) -> int:
        """Number of children of a generation."""
        return self.crossover + self.mutation

    @property
    def evaluations(self) -> int:
        """Evaluations of a whole search; fewer when a space is used up."""
        return self.population + self.generations * self.children

    @property
    def sizes(self) -> dict[str, Any]:
        """What decides the result of a search, by name: everything but `at_once`."""
        return {name: value for name, value in asdict(self).items() if name != "at_once"}

    @classmethod
    def of(cls, population: int, generations: int) -> EvolutionConfig:
        """The paper's proportions for another population: twice as many of each child."""
        return cls(
            population=population,
            crossover=2 * population,
            mutation=2 * population,
            generations=generations,
        )

    @classmethod
    def guided_by(cls, evaluations: int, *, at_once: int = 8) -> EvolutionConfig:
        """A search that is guided by an accuracy predictor: a quarter of the evaluations spread
        over the space under the caps, the others chosen in at most `ROUNDS` rounds."""
        first = min(max(evaluations // 4, min(evaluations, FEWEST_FIRST)), MOST_FIRST)
        rest = max(evaluations - first, 1)
        each = max(-(-rest // ROUNDS), min(rest, FEWEST_EACH))
        rounds = max(rest // each, 1)
        return cls(
            population=max(evaluations - rounds * each, 1),
            crossover=each,
            mutation=0,
            generations=rounds,
            guided=True,
            at_once=at_once,
        )

    @classmethod
    def guided_within(cls, evaluations: float, goals: int = 1) -> EvolutionConfig:
        """The largest guided search of a ladder of sizes that needs at most so many evaluations;
        the top is a tenth of the paper's evaluations."""
        size = MOST_GUIDED
        while size > FEWEST_GUIDED * goals and size > evaluations:
            size //= 2
        return cls.guided_by(max(size, FEWEST_GUIDED))

    @classmethod
    def within(cls, evaluations: float) -> EvolutionConfig:
        """The largest of a ladder of sizes that needs at most so many evaluations.

        The top is the paper's; each step down halves the evaluations, taking equal shares
        from population and generations. The steps are coarse so that one machine gets the
        same size, and so the same result, every time.
        """
        scale = 1.0
        while scale > SMALLEST_SCALE and cls._scaled(scale).evaluations > evaluations:
            scale /= 2
        return cls._scaled(scale)

    @classmethod
    def _scaled(cls, scale: float) -> EvolutionConfig:
        root = math.sqrt(scale)
        return cls.of(max(4, round(64 * root)), max(2, round(40 * root)))
