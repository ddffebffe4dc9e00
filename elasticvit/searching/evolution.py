"""Evolution over batches of architectures, under hard caps.

The loop is the paper's (ElasticViT, ICCV 2023: population 64, 128 crossovers and 128
mutations a generation, 40 generations). A cap is never exceeded: children over it are thrown
away before they are evaluated, and pricing is so cheap that drawing more of them costs
nothing beside one evaluation. No architecture is evaluated twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.events import EventHandler, ignore
from elasticvit.rng_state import RngState
from elasticvit.searching.archive import Archive
from elasticvit.searching.breeding import breed, select_parents
from elasticvit.searching.caps import Cap
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.goal import Goals
from elasticvit.searching.progress import SearchProgress
from elasticvit.searching.state import SearchState
from elasticvit.searching.state_file import STATE_FORMAT
from elasticvit.space import SearchSpace

Accuracy = Callable[[ArchBatch], FloatArray]
Propose = Callable[[Archive, np.random.Generator], ArchBatch]
SAVE_EVERY_S = 5.0  # inside a generation


def evolve(
    space: SearchSpace,
    caps: Sequence[Cap] | Goals,
    accuracy: Accuracy,
    config: EvolutionConfig | None = None,
    *,
    rng: np.random.Generator,
    feasible: Arch | Sequence[Arch] | None = None,
    seeds: ArchBatch | None = None,
    propose: Propose | None = None,
    state_path: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    events: EventHandler = ignore,
    stop: Callable[[], bool] | None = None,
) -> Archive:
    """Search for the most accurate architecture under all caps.

    Args:
        space: Space to search.
        caps: Hard caps, at least one; or several goals, each of its own caps.
        accuracy: Gives the accuracy of every architecture of a batch in percent, shape (n,). It
            must depend on the architecture alone for a resumed search to equal a
            whole one.
        config: Size of the evolution.
        rng: Random generator of numpy's default kind; what is found depends on its state and on
            the arguments only.
        feasible: Result of `find_feasible` for these caps, or of `Goals.feasible`, if it is known
            already.
        seeds: Architectures that belong to the initial population if they keep the caps.
        propose: Chooses the architectures of a generation from everything before, none of which
            it repeats; children of the best ones by default.
        state_path: File to save the state to, and to go on from when it exists.
        settings: JSON-ready description of this search; a state with others is refused.
        events: Receives a `SearchProgress` after every call of `accuracy`.
        stop: Asked after every call of `accuracy`; when true, what there is is returned.

    Raises:
        TargetError: no architecture keeps the caps; the message says what the lowest cost is.
        CheckpointError: the state cannot be read or belongs to another search.
        FileError: the state cannot be written.
    """
    config, goals = config or EvolutionConfig(), Goals.of(caps)
    full = {**(settings or {}), "evolution": config.sizes, "caps": goals.fingerprint(space)}
    state = SearchState.start(space, full)
    if state_path is not None and state_path.exists():
        state = _resume(state_path, space, goals, full)
        assert state.rng is not None
        state.rng.restore(rng)
    evolution = _Evolution(
        space=space,
        goals=goals,
        accuracy=accuracy,
        config=config,
        rng=rng,
        seeds=seeds,
        propose=propose,
        state=state,
        state_path=state_path,
        events=events,
        stop=stop or (lambda: False),
    )
    return evolution.run(feasible)


def _resume(
    path: Path, space: SearchSpace, goals: Goals, settings: Mapping[str, Any]
) -> SearchState:
    state = SearchState.load(path, space, settings)
    over = np.flatnonzero(state.archive(goals).load > 1)
    if len(over):
        raise STATE_FORMAT.failure(
            f"{path}: architecture {int(over[0])} exceeds a target of the search; a search keeps "
            "none that does"
        )
    return state


@dataclass(kw_only=True, eq=False)
class _Evolution:
    """The loop over generations, and the state that it saves."""

    space: SearchSpace
    goals: Goals
    accuracy: Accuracy
    config: EvolutionConfig
    rng: np.random.Generator
    state: SearchState
    seeds: ArchBatch | None
    propose: Propose | None
    state_path: Path | None
    events: EventHandler
    stop: Callable[[], bool]

    def __post_init__(self) -> None:
        self.evaluated: set[Arch] = set(self.state.archs)

    def run(self, feasible: Arch | Sequence[Arch] | None) -> Archive:
        """Everything that is evaluated when the evolution ends or is stopped."""
        self.state.rng = self.state.rng or RngState.of(self.rng)
        try:
            self._save()  # at once, so that other processes see which search is under way
            return self._generations(feasible)
        except BaseException:
            if self.state_path is not None and not (self.evaluated or self.state.pending):
                self.state_path.unlink(missing_ok=True)
            raise

    def _generations(self, feasible: Arch | Sequence[Arch] | None) -> Archive:
        state = self.state
        while state.generation <= self.config.generations:
            state.rng = RngState.of(self.rng)
            batch = self._next_generation(feasible)
            if not len(batch):  # every architecture near the parents has been evaluated
                break
            if not self._evaluate(batch):
                return state.archive(self.goals)
            state.commit(batch)
            self.evaluated.update(batch)
            state.rng = RngState.of(self.rng)
            self._save()
            if self.stop() and state.generation <= self.config.generations:
                return state.archive(self.goals)
        return state.archive(self.goals, complete=True)

    def _next_generation(self, feasible: Arch | Sequence[Arch] | None) -> ArchBatch:
        count = self.config.population
        if self.state.generation == 0:
            known = [feasible] if isinstance(feasible, Arch) else feasible
            return self.goals.population(
                self.space, count, self.rng, feasible=known, seeds=self.seeds
            )
        finished = self.state.finished(self.goals)
        if self.propose is not None:
            return self.propose(finished, self.rng)
        parents = select_parents(finished, count)
        return breed(self.space, self.goals, parents, self.config, self.evaluated, self.rng)

    def _evaluate(self, batch: ArchBatch) -> bool:
        """Evaluate what is not pending; False when stopped before all is done."""
        pending = self.state.pending
        todo = [row for row, arch in enumerate(batch) if arch not in pending]
        saved_s = time.monotonic()
        try:
            for start in range(0, len(todo), self.config.at_once):
                chunk = batch.take(np.array(todo[start : start + self.config.at_once]))
                pending.update(zip(chunk, self._accuracies(chunk), strict=True))
                if time.monotonic() - saved_s > SAVE_EVERY_S:
                    self._save()
                    saved_s = time.monotonic()
                self.events(self._progress())
                if start + len(chunk) < len(todo) and self.stop():
                    self._save()
                    return False
        except BaseException:  # Ctrl-C above all: keep what is evaluated, then go
            if self.evaluated or pending:
                self._save()
            raise
        return True

    def _accuracies(self, chunk: ArchBatch) -> list[float]:
        values = np.asarray(self.accuracy(chunk), dtype=np.float64)
        if values.shape != (len(chunk),) or not ((values >= 0) & (values <= 100)).all():
            raise ValueError(
                f"the evaluator gave {values} for {len(chunk)} architectures; expected as many "
                "accuracies in percent"
            )
        accuracies: list[float] = values.tolist()
        return accuracies

    def _progress(self) -> SearchProgress:
        archive = self.state.archive(self.goals)
        row = int(archive.ranking()[0])
        best = archive.archs.take(slice(row, row + 1))
        return SearchProgress(
            done=len(archive.archs),
            total=self.config.evaluations,
            generation=self.state.generation,
            generations=self.config.generations,
            best=best[0],
            best_accuracy=float(archive.accuracy[row]),
            best_load=float(archive.load[row]),
            best_costs=tuple(float(cap.cost.price(best)[0]) for cap in self.goals[0].caps),
        )

    def _save(self) -> None:
        if self.state_path is not None:
            self.state.save(self.state_path)
