"""State of a search on disk.

The state is one JSON file, replaced atomically: a killed search leaves its last saved
generation, and beside it the evaluations of the generation that was under way, which are
looked up instead of repeated when the search goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray, IndexArray
from elasticvit.errors import CheckpointError
from elasticvit.files import write_atomic
from elasticvit.searching.archive import Archive
from elasticvit.searching.caps import Cap, loads
from elasticvit.space import SearchSpace

SCHEMA = 1
STATE_FILE = "state.json"


@dataclass(kw_only=True, eq=False)
class SearchState:
    """What a search needs to go on where it stopped.

    Attributes:
        settings: JSON-ready description of the search; another search does not take this state.
        archs: Architectures of the finished generations, n of them.
        accuracy: Accuracies of `archs`, shape (n,).
        born: Number of the generation of each of `archs`, shape (n,).
        generation: Number of the generation that is next or under way.
        rng: State of the random generator at the start of that generation.
        pending: Accuracies of what the generation under way has evaluated so far.
    """

    settings: Mapping[str, Any]
    archs: ArchBatch
    accuracy: FloatArray
    born: IndexArray
    generation: int = 0
    rng: Mapping[str, Any] = field(default_factory=dict)
    pending: dict[Arch, float] = field(default_factory=dict)

    @classmethod
    def start(cls, space: SearchSpace, settings: Mapping[str, Any]) -> SearchState:
        """The state of a search that has evaluated nothing yet."""
        return cls(
            settings=settings,
            archs=_batch([], space),
            accuracy=np.empty(0),
            born=np.empty(0, dtype=np.int64),
        )

    def commit(self, batch: ArchBatch) -> None:
        """Finish the generation under way, which is `batch`, all evaluated."""
        self.archs = self.archs.concat(batch)
        self.accuracy = np.append(self.accuracy, [self.pending[arch] for arch in batch])
        self.born = np.append(self.born, np.full(len(batch), self.generation))
        self.pending = {}
        self.generation += 1

    def finished(self, caps: Sequence[Cap], *, complete: bool = False) -> Archive:
        """Everything that the finished generations evaluated."""
        return Archive(
            archs=self.archs,
            accuracy=self.accuracy,
            load=loads(caps, self.archs),
            born=self.born,
            complete=complete,
        )

    def archive(self, caps: Sequence[Cap], *, complete: bool = False) -> Archive:
        """Everything that is evaluated, the pending architectures last."""
        archive = self.finished(caps, complete=complete)
        if not self.pending:
            return archive
        pending = ArchBatch.of(list(self.pending))
        return replace(
            archive,
            archs=self.archs.concat(pending),
            accuracy=np.append(self.accuracy, list(self.pending.values())),
            load=np.append(archive.load, loads(caps, pending)),
            born=np.append(self.born, np.full(len(pending), self.generation)),
        )

    def save(self, path: Path) -> None:
        """Write the state, atomically."""
        data = {
            "schema": SCHEMA,
            "settings": self.settings,
            "generation": self.generation,
            "rng": self.rng,
            "genes": self.archs.genes.tolist(),
            "accuracy": self.accuracy.tolist(),
            "born": self.born.tolist(),
            "pending": [[list(arch.genes), value] for arch, value in self.pending.items()],
        }
        write_atomic(path, json.dumps(data, allow_nan=False))

    @classmethod
    def load(cls, path: Path, space: SearchSpace) -> SearchState:
        """The state that `save` wrote.

        Args:
            space: The space that is searched.

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
            n_conv = space.layout.n_conv
            state = cls(
                settings=data["settings"],
                archs=_batch(data["genes"], space),
                accuracy=np.array(data["accuracy"], dtype=np.float64),
                born=np.array(data["born"], dtype=np.int64),
                generation=int(data["generation"]),
                rng=data["rng"],
                pending={Arch.from_genes(row, n_conv): float(a) for row, a in data["pending"]},
            )
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise CheckpointError(
                f"{path} is not the state of a search ({error}); move the folder away and "
                "search again"
            ) from error
        if not len(state.archs) == len(state.accuracy) == len(state.born):
            raise CheckpointError(
                f"{path} has {len(state.archs)} architectures but {len(state.accuracy)} "
                "accuracies; move the folder away and search again"
            )
        return state


def saved_settings(path: Path) -> dict[str, Any]:
    """The description of the search whose state a file holds, of whatever space.

    Raises:
        CheckpointError: the file is missing, truncated or not a state.
    """
    try:
        return dict(json.loads(path.read_text())["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not the state of a search ({error}); move the folder away and search again"
        ) from error


def _batch(rows: list[list[int]], space: SearchSpace) -> ArchBatch:
    genes = np.array(rows, dtype=np.int16).reshape(len(rows), len(space.names))
    return ArchBatch(genes, space.layout.n_conv)
