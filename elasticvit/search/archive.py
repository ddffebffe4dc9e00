"""Everything a search has evaluated, and its state on disk.

The state is one JSON file, replaced atomically: a killed search leaves its last saved
generation, and beside it the evaluations of the generation that was under way, which are
looked up instead of repeated when the search goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from elasticvit.arch import ArchBatch
from elasticvit.cost import FloatArray
from elasticvit.errors import CheckpointError
from elasticvit.search.pareto import on_front
from elasticvit.workspace import write_atomic

SCHEMA = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Archive:
    """All evaluated architectures, in the order of evaluation.

    Attributes:
        archs: the architectures, n of them, all distinct and under the caps.
        accuracy: shape (n,), as the search's evaluator gave it.
        load: shape (n,), the share of the caps that each uses up.
        born: shape (n,), the generation; 0 is the initial population.
        complete: every generation was done; otherwise the search was told to stop.
    """

    archs: ArchBatch
    accuracy: FloatArray
    load: FloatArray
    born: npt.NDArray[np.int64]
    complete: bool

    def ranking(self) -> npt.NDArray[np.int64]:
        """Rows from the best: highest accuracy, then lowest load, then first evaluated."""
        return best_first(self.accuracy, self.load)

    def front(self, cost: FloatArray | None = None) -> npt.NDArray[np.int64]:
        """Rows that no other beats in accuracy and cost (the load by default), cheapest first.

        Of architectures that are equal in both only the first evaluated one is given.
        """
        cost = self.load if cost is None else cost
        points = np.stack([cost, -self.accuracy], axis=1)
        rows = np.flatnonzero(on_front(points))
        _, first = np.unique(points[rows], axis=0, return_index=True)
        return rows[first]


def best_first(accuracy: FloatArray, load: FloatArray) -> npt.NDArray[np.int64]:
    """Row numbers by falling accuracy; equal ones by rising load, then by number."""
    return np.lexsort((load, -accuracy))


@dataclass(kw_only=True)
class SearchState:
    """What a search needs to go on where it stopped.

    Attributes:
        settings: what the search was started with; another search does not take this state.
        generation: the one that is next or under way.
        rng: state of the random generator at the start of that generation.
        genes, accuracy, born: of the finished generations, a row an architecture.
        pending: genes -> accuracy of what the generation under way has evaluated so far.
    """

    settings: Mapping[str, Any]
    generation: int = 0
    rng: Mapping[str, Any] = field(default_factory=dict)
    genes: list[tuple[int, ...]] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    born: list[int] = field(default_factory=list)
    pending: dict[tuple[int, ...], float] = field(default_factory=dict)

    def commit(self, rows: Sequence[tuple[int, ...]]) -> None:
        """Finish the generation under way, whose architectures are `rows`, all evaluated."""
        self.genes += rows
        self.accuracy += [self.pending[row] for row in rows]
        self.born += [self.generation] * len(rows)
        self.pending = {}
        self.generation += 1

    def save(self, path: Path) -> None:
        """Write the state, atomically."""
        data = {
            "schema": SCHEMA,
            "settings": self.settings,
            "generation": self.generation,
            "rng": self.rng,
            "genes": self.genes,
            "accuracy": self.accuracy,
            "born": self.born,
            "pending": [[list(row), value] for row, value in self.pending.items()],
        }
        write_atomic(path, json.dumps(data, allow_nan=False))

    @classmethod
    def load(cls, path: Path) -> SearchState:
        """The state of `save`.

        Raises:
            CheckpointError: the file is missing, truncated, of another schema or not a state.
        """
        try:
            data = json.loads(path.read_text())
            if data["schema"] != SCHEMA:
                raise CheckpointError(
                    f"{path} has schema {data['schema']!r}, this version reads {SCHEMA}; "
                    "update elasticvit, or move the folder away and search again"
                )
            state = cls(
                settings=data["settings"],
                generation=int(data["generation"]),
                rng=data["rng"],
                genes=[tuple(int(g) for g in row) for row in data["genes"]],
                accuracy=[float(a) for a in data["accuracy"]],
                born=[int(b) for b in data["born"]],
                pending={tuple(int(g) for g in row): float(a) for row, a in data["pending"]},
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"{path} is not the state of a search ({error}); move the folder away and "
                "search again"
            ) from error
        if not len(state.genes) == len(state.accuracy) == len(state.born):
            raise CheckpointError(
                f"{path} has {len(state.genes)} architectures but {len(state.accuracy)} "
                "accuracies; move the folder away and search again"
            )
        return state
