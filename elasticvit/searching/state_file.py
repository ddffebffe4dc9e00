"""The file that a search's state stands in, and the checks that need no search space."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from elasticvit.errors import CheckpointError, NextStep
from elasticvit.reading import Count, Format, Percent
from elasticvit.rng_state import RngState
from elasticvit.searching.config import EvolutionConfig

SCHEMA = 1
STATE_FILE = "state.json"
Gene = Annotated[int, Meta(ge=1, le=2**15 - 1)]


class StateFile(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a search as its file holds it.

    Attributes:
        settings: Description of the search: whatever makes two searches the same.
        generation: Number of the generation that is next or under way.
        rng: State of the random generator at the start of that generation.
        genes: Genes of each architecture of the finished generations.
        accuracy: Accuracy of each of them.
        born: Number of the generation of each.
        pending: Genes and accuracy of what the generation under way has evaluated so far.
        checksum: What `checksum_of` gives of the rest; None if an earlier version wrote the file.
    """

    schema: int
    settings: dict[str, Any]
    generation: Count
    rng: RngState
    genes: tuple[tuple[Gene, ...], ...]
    accuracy: tuple[Percent, ...]
    born: tuple[Count, ...]
    pending: tuple[tuple[tuple[Gene, ...], Percent], ...]
    checksum: str | None = None


STATE_FACTS: dict[str, Any] = {
    "error": CheckpointError,
    "mend": "move the folder away, and search again",
    "next_step": NextStep("search"),
}
STATE_FORMAT: Format[StateFile] = Format(
    kind=StateFile, what="the state of a search", schema=SCHEMA, **STATE_FACTS
)
PLAIN_FORMAT: Format[dict[str, Any]] = Format(
    kind=dict, what="the state of a search", schema=SCHEMA, **STATE_FACTS
)
EVOLUTION_FORMAT: Format[EvolutionConfig] = Format(
    kind=EvolutionConfig, what="the size of an evolution", **STATE_FACTS
)


def checksum_of(data: Mapping[str, Any]) -> str:
    """Short text that differs when anything in a state differs but its checksum.

    Args:
        data: Plain values.
    """
    rest = {name: value for name, value in data.items() if name != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_state(path: Path) -> StateFile:
    """The content of a file, which is of whatever search and space.

    Raises:
        CheckpointError: It is missing, unreadable or damaged, or a later version wrote it.
    """
    text = STATE_FORMAT.read_bytes(path)
    file = STATE_FORMAT.parse_json(text, str(path))
    if file.checksum is not None:
        found = checksum_of(PLAIN_FORMAT.parse_json(text, str(path)))
        if found != file.checksum:
            raise STATE_FORMAT.failure(
                f"{path}: checksum is {file.checksum!r}, but that of the content is {found!r}; the "
                "file has changed since it was written"
            )
    return file


def evolution_of(settings: Mapping[str, Any], path: Path) -> EvolutionConfig:
    """The size of the evolution in the description of a search.

    Args:
        settings: The description.
        path: File that it stands in.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    return EVOLUTION_FORMAT.parse(settings.get("evolution"), f"{path}, settings.evolution")


def check_generations(file: StateFile, evolution: EvolutionConfig, path: Path) -> None:
    """Check that the generations of a state are those of an evolution.

    Raises:
        CheckpointError: There are too many or too few generations or architectures.
    """
    counts = {"genes": len(file.genes), "accuracy": len(file.accuracy), "born": len(file.born)}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise STATE_FORMAT.failure(f"{path}: {told} entries; they must have as many")
    if file.generation > evolution.generations + 1:
        raise STATE_FORMAT.failure(
            f"{path}: generation is {file.generation}; the search has {evolution.generations}"
        )
    if list(file.born) != sorted(file.born) or set(file.born) != set(range(file.generation)):
        raise STATE_FORMAT.failure(
            f"{path}: born must rise from 0 to generation - 1, which is {file.generation - 1}, "
            "without a gap"
        )
    sizes = [*np.bincount(np.array(file.born, dtype=np.int64)).tolist(), len(file.pending)]
    for generation, size in enumerate(sizes):
        most = evolution.children if generation else evolution.population
        if size > most:
            raise STATE_FORMAT.failure(
                f"{path}: generation {generation} has {size} architectures; at most {most} are bred"
            )
