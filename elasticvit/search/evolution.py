"""Evolution over batches of architectures, under hard caps.

The loop is the paper's (ElasticViT, ICCV 2023: population 64, 128 crossovers and 128
mutations a generation, 40 generations). A cap is never exceeded: children over it are thrown
away before they are evaluated, and pricing is so cheap that drawing more of them costs
nothing beside one evaluation. No architecture is evaluated twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import FloatArray
from elasticvit.errors import CheckpointError, TargetError
from elasticvit.search.archive import Archive, SearchState, best_first
from elasticvit.search.caps import Cap, fingerprint, initial_population, loads
from elasticvit.search.pareto import ranks
from elasticvit.space import SearchSpace

Accuracy = Callable[[ArchBatch], FloatArray]
Row = tuple[int, ...]
BREED_ROUNDS = 12  # drawings for one generation's children; each asks for four times the need
SMALLEST_SCALE = 2.0**-7
SAVE_EVERY_S = 5.0  # inside a generation


@dataclass(frozen=True, kw_only=True)
class EvolutionConfig:
    """Size of a search; the defaults are the paper's.

    Attributes:
        population: parents of each generation, and architectures in the initial one.
        crossover, mutation: children a generation of either kind.
        generations: after the initial population.
        mutation_rate: chance of each gene to be redrawn.
        at_once: architectures handed to the evaluator in one call; between calls a search
            reports, saves and may be stopped. Does not change what is found.

    Raises:
        TargetError: a size that is not positive.
    """

    population: int = 64
    crossover: int = 128
    mutation: int = 128
    generations: int = 40
    mutation_rate: float = 0.1
    at_once: int = 8

    def __post_init__(self) -> None:
        sizes = {
            "population": self.population,
            "generations": self.generations,
            "children": self.crossover + self.mutation,
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

    @property
    def evaluations(self) -> int:
        """Evaluations of a whole search; fewer when a space is used up."""
        return self.population + self.generations * (self.crossover + self.mutation)

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


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a search is; `best` is the most accurate architecture so far."""

    generation: int
    generations: int
    evaluated: int
    planned: int
    best: Arch
    best_accuracy: float
    best_load: float


def evolve(
    space: SearchSpace,
    caps: Sequence[Cap],
    accuracy: Accuracy,
    config: EvolutionConfig | None = None,
    *,
    rng: np.random.Generator,
    state_path: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Archive:
    """Search for the most accurate architecture under all caps.

    Args:
        space: the space.
        caps: hard limits, at least one.
        accuracy: accuracy of every architecture of a batch, shape (n,); higher is better. It
            must depend on the architecture alone for a resumed search to equal a whole one.
        config: size of the search.
        rng: generator; what is found depends on its state and on the arguments only.
        state_path: file to save the state to, and to go on from when it exists.
        settings: JSON-ready description of this search; a state with others is refused.
        progress: told after every call of `accuracy`.
        stop: asked after every call of `accuracy`; when true, what there is is returned.

    Raises:
        TargetError: no architecture keeps the caps; the message says what the lowest cost is.
        CheckpointError: the state cannot be read or belongs to another search.
    """
    config = config or EvolutionConfig()
    sizes = {k: v for k, v in asdict(config).items() if k != "at_once"}
    full = {**(settings or {}), "evolution": sizes, "caps": fingerprint(space, caps)}
    search = _Search(space, caps, accuracy, config, rng, state_path, full)
    return search.run(progress, stop)


class _Search:
    def __init__(
        self,
        space: SearchSpace,
        caps: Sequence[Cap],
        accuracy: Accuracy,
        config: EvolutionConfig,
        rng: np.random.Generator,
        state_path: Path | None,
        settings: Mapping[str, Any],
    ) -> None:
        self.space, self.caps, self.accuracy, self.config = space, caps, accuracy, config
        self.rng, self.state_path = rng, state_path
        self.state = SearchState(settings=settings)
        if state_path is not None and state_path.exists():
            self.state = SearchState.load(state_path)
            theirs = self.state.settings
            other = sorted(k for k in {*theirs, *settings} if theirs.get(k) != settings.get(k))
            if other:
                raise CheckpointError(
                    f"{state_path} belongs to a search with other {', '.join(other)}; start this "
                    "one in a folder of its own"
                )
            rng.bit_generator.state = dict(self.state.rng)

    def run(
        self, progress: Callable[[Progress], None] | None, stop: Callable[[], bool] | None
    ) -> Archive:
        state = self.state
        while state.generation <= self.config.generations:
            state.rng = self.rng.bit_generator.state
            if state.generation == 0:
                batch = initial_population(self.space, self.caps, self.config.population, self.rng)
            else:
                batch = self._children()
            rows = _rows(batch)
            if not rows:  # every architecture near the parents has been evaluated
                break
            if not self._evaluate(batch, rows, progress, stop):
                return self._archive(complete=False)
            state.commit(rows)
            state.rng = self.rng.bit_generator.state
            self._save()
            if stop is not None and stop() and state.generation <= self.config.generations:
                return self._archive(complete=False)
        return self._archive(complete=True)

    def _evaluate(
        self,
        batch: ArchBatch,
        rows: list[Row],
        progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool] | None,
    ) -> bool:
        """Evaluate what is not pending; False when told to stop before all is done."""
        pending = self.state.pending
        todo = [i for i, row in enumerate(rows) if row not in pending]
        saved_s = time.monotonic()
        try:
            for start in range(0, len(todo), self.config.at_once):
                chunk = todo[start : start + self.config.at_once]
                values = np.asarray(self.accuracy(batch.take(np.array(chunk))), dtype=np.float64)
                if values.shape != (len(chunk),) or not np.isfinite(values).all():
                    raise ValueError(
                        f"the evaluator gave {values} for {len(chunk)} architectures; expected "
                        "as many finite numbers"
                    )
                pending.update(zip((rows[i] for i in chunk), values.tolist(), strict=True))
                if time.monotonic() - saved_s > SAVE_EVERY_S:
                    self._save()
                    saved_s = time.monotonic()
                if progress is not None:
                    progress(self._progress())
                if stop is not None and start + len(chunk) < len(todo) and stop():
                    self._save()
                    return False
        except BaseException:  # Ctrl-C above all: keep what is evaluated, then go
            self._save()
            raise
        return True

    def _children(self) -> ArchBatch:
        """New architectures under the caps, none evaluated before."""
        parents = self._parents()
        seen = set(self.state.genes)
        born: list[ArchBatch] = []
        for kind, need in (
            ("crossover", self.config.crossover),
            ("mutation", self.config.mutation),
        ):
            for _ in range(BREED_ROUNDS):
                if need == 0:
                    break
                a = parents.take(self.rng.integers(len(parents), size=4 * need))
                if kind == "crossover":
                    b = parents.take(self.rng.integers(len(parents), size=4 * need))
                    drawn = self.space.crossover(a, b, self.rng)
                else:
                    drawn = self.space.mutate(a, self.rng, self.config.mutation_rate)
                drawn = drawn.take(loads(self.caps, drawn) <= 1)
                fresh: list[int] = []
                for i, row in enumerate(_rows(drawn)):
                    if len(fresh) < need and row not in seen:
                        seen.add(row)
                        fresh.append(i)
                need -= len(fresh)
                born.append(drawn.take(np.array(fresh, dtype=np.int64)))
        return parents.take(slice(0, 0)).concat(*born)

    def _parents(self) -> ArchBatch:
        """The most accurate architectures, and as many from the first layers of the front of
        accuracy against load, which keep cheap and different genes in play."""
        archive = self._archive(complete=False, finished_only=True)
        order = archive.ranking()
        half = self.config.population // 2
        layer = ranks(np.stack([archive.load, -archive.accuracy], axis=1))
        by_layer = order[np.argsort(layer[order], kind="stable")]
        top = order[: self.config.population - half]
        rest = by_layer[~np.isin(by_layer, top)][:half]
        return archive.archs.take(np.concatenate([top, rest]))

    def _archive(self, *, complete: bool, finished_only: bool = False) -> Archive:
        state = self.state
        extra = {} if finished_only else state.pending
        genes = np.array([*state.genes, *extra], dtype=np.int16)
        archs = ArchBatch(genes, self.space.layout.n_conv)
        return Archive(
            archs=archs,
            accuracy=np.array([*state.accuracy, *extra.values()]),
            load=loads(self.caps, archs),
            born=np.array([*state.born, *([state.generation] * len(extra))], dtype=np.int64),
            complete=complete,
        )

    def _progress(self) -> Progress:
        archive = self._archive(complete=False)
        best = int(best_first(archive.accuracy, archive.load)[0])
        return Progress(
            generation=self.state.generation,
            generations=self.config.generations,
            evaluated=len(archive.archs),
            planned=self.config.evaluations,
            best=archive.archs[best],
            best_accuracy=float(archive.accuracy[best]),
            best_load=float(archive.load[best]),
        )

    def _save(self) -> None:
        if self.state_path is not None:
            self.state.save(self.state_path)


def _rows(batch: ArchBatch) -> list[Row]:
    return [tuple(row) for row in batch.genes.tolist()]
