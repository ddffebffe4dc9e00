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
from elasticvit.reading import shown
from elasticvit.rng_state import RngState
from elasticvit.searching.archive import Archive
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.goal import Goals
from elasticvit.searching.result import RESULT_FILE
from elasticvit.searching.state_file import (
    SCHEMA,
    STATE_FORMAT,
    check_generations,
    checksum_of,
    evolution_of,
    read_state,
)
from elasticvit.searching.state_file import STATE_FILE as STATE_FILE
from elasticvit.space import SearchSpace


@dataclass(kw_only=True, eq=False)
class SearchState:
    """What a search needs to go on where it stopped.

    Attributes:
        settings: JSON-ready description of the search; another search does not take this state.
        archs: Architectures of the finished generations, n of them.
        accuracy: Accuracies of `archs`, shape (n,).
        born: Number of the generation of each of `archs`, shape (n,).
        generation: Number of the generation that is next or under way.
        rng: State of the random generator at the start of that generation; None before the first.
        pending: Accuracies of what the generation under way has evaluated so far.
    """

    settings: Mapping[str, Any]
    archs: ArchBatch
    accuracy: FloatArray
    born: IndexArray
    generation: int = 0
    rng: RngState | None = None
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

    def finished(self, goals: Goals, *, complete: bool = False) -> Archive:
        """Everything that the finished generations evaluated."""
        return Archive(
            archs=self.archs,
            accuracy=self.accuracy,
            load=goals.loads(self.archs),
            born=self.born,
            complete=complete,
        )

    def archive(self, goals: Goals, *, complete: bool = False) -> Archive:
        """Everything that is evaluated, the pending architectures last."""
        archive = self.finished(goals, complete=complete)
        if not self.pending:
            return archive
        pending = ArchBatch.of(list(self.pending))
        return replace(
            archive,
            archs=self.archs.concat(pending),
            accuracy=np.append(self.accuracy, list(self.pending.values())),
            load=np.append(archive.load, goals.loads(pending)),
            born=np.append(self.born, np.full(len(pending), self.generation)),
        )

    def save(self, path: Path) -> None:
        """Write the state, atomically.

        Raises:
            FileError: It cannot be written; the last one stays.
        """
        data = {
            "schema": SCHEMA,
            "settings": self.settings,
            "generation": self.generation,
            "rng": None if self.rng is None else self.rng.to_dict(),
            "genes": self.archs.genes.tolist(),
            "accuracy": self.accuracy.tolist(),
            "born": self.born.tolist(),
            "pending": [[list(arch.genes), value] for arch, value in self.pending.items()],
        }
        checksum = checksum_of(data)
        write_atomic(path, json.dumps({**data, "checksum": checksum}, allow_nan=False))

    @classmethod
    def load(
        cls, path: Path, space: SearchSpace, settings: Mapping[str, Any] | None = None
    ) -> SearchState:
        """The state that `save` wrote.

        Args:
            path: The file.
            space: The space that is searched.
            settings: Description of the search that the state must be of; None for any.

        Raises:
            CheckpointError: The file is missing, unreadable or damaged, a later version wrote it,
                or it is the state of another search.
        """
        file = read_state(path)
        if settings is not None:
            keys = sorted({*file.settings, *settings})
            other = [key for key in keys if file.settings.get(key) != settings.get(key)]
            if other:
                raise CheckpointError(
                    f"{path} belongs to a search with other {', '.join(other)}; start this one in "
                    "a folder of its own",
                    settings=["out"],
                )
        evolution = evolution_of(file.settings, path)
        check_generations(file, evolution, path)
        archs = _archs(file.genes, "genes", space, path)
        pending = _archs([genes for genes, _ in file.pending], "pending", space, path)
        if len(archs.concat(pending).unique()) < len(archs) + len(pending):
            raise STATE_FORMAT.failure(
                f"{path}: genes and pending hold an architecture twice; each is evaluated once"
            )
        return cls(
            settings=file.settings,
            archs=archs,
            accuracy=np.array(file.accuracy, dtype=np.float64),
            born=np.array(file.born, dtype=np.int64),
            generation=file.generation,
            rng=file.rng,
            pending=dict(zip(pending, (value for _, value in file.pending), strict=True)),
        )


def _archs(rows: Sequence[Sequence[int]], field: str, space: SearchSpace, path: Path) -> ArchBatch:
    """The architectures of rows of genes.

    Raises:
        CheckpointError: One lies outside the space.
    """
    for index, row in enumerate(rows):
        if len(row) != len(space.names):
            raise STATE_FORMAT.failure(
                f"{path}: {field}[{index}] has {len(row)} genes; an architecture of search space "
                f"{space.name} has {len(space.names)}"
            )
    batch = _batch(rows, space)
    outside = np.flatnonzero(~space.valid(batch))
    if len(outside):
        index = int(outside[0])
        raise STATE_FORMAT.failure(
            f"{path}: {field}[{index}] is {shown(list(rows[index]))}; it lies outside of search "
            f"space {space.name}"
        )
    return batch


def _batch(rows: Sequence[Sequence[int]], space: SearchSpace) -> ArchBatch:
    genes = np.array(rows, dtype=np.int16).reshape(len(rows), len(space.names))
    return ArchBatch(genes, space.layout.n_conv)


def unfinished_search(
    folders: Sequence[Path], wanted: Mapping[str, Any], apart: Sequence[str] = ()
) -> tuple[Path, EvolutionConfig] | None:
    """The newest of the folders with an interrupted search of some settings, and its size.

    Args:
        folders: Candidates, oldest first.
        wanted: The settings, as in the state.
        apart: Names of settings that may differ.

    Raises:
        CheckpointError: the newest candidate's state cannot be read.
    """
    for folder in reversed(folders):
        path = folder / STATE_FILE
        if (folder / RESULT_FILE).exists() or not path.exists():
            continue
        settings = read_state(path).settings
        if {n: v for n, v in settings.items() if n not in ("evolution", *apart)} == wanted:
            return folder, evolution_of(settings, path)
    return None
