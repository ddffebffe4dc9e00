"""Model files that are to be timed: read, checked, named, and looked into."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from elasticvit.errors import ExportError, SettingError
from elasticvit.flows.places import path_text
from elasticvit.reading import shown_path
from export.delegated import delegation_apart
from export.inspect import Delegation
from export.model_file import DYNAMIC, ModelFacts, model_facts

MOST_BYTES = 2**31 - 1  # of a flatbuffer
SUFFIX = ".tflite"


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A TFLite file.

    Attributes:
        name: Name in tables, unique among the files that are timed together.
        path: Where it is, or what it was made of.
        data: Its content.
        facts: What the file says of itself.
        delegation: What this computer's LiteRT hands to the CPU delegate; None if it refuses the
            model.
        notes: Sentences on what is unusual about it.
    """

    name: str
    path: Path
    data: bytes = field(repr=False)
    facts: ModelFacts
    delegation: Delegation | None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, path: Path, data: bytes, setting: str) -> ModelFile:
        """A model by its content.

        Args:
            setting: Setting of the flow that names it.

        Raises:
            ExportError: It is no TFLite model, a damaged one, or one whose input shape is open in
                another dimension than the batch.
        """
        try:
            facts = model_facts(data)
        except ExportError as error:
            raise ExportError(f"{shown_path(path)} is {error}", settings=[setting]) from error
        notes = []
        for given in facts.inputs:
            if DYNAMIC in given.shape[1:]:
                raise ExportError(
                    f"input {given.name} of {shown_path(path)} is {given.text}, whose open "
                    "dimensions (?) LiteRT would set to 1: its latency would mean nothing; convert "
                    "the model with fixed shapes",
                    settings=[setting],
                )
            if DYNAMIC in given.shape:
                notes.append(f"input {given.name} is {given.text}: timed with a batch of 1")
        if facts.subgraphs > 1:
            notes.append(f"the first of its {facts.subgraphs} subgraphs is timed and described")
        taken = None
        try:
            taken = delegation_apart(data)
        except ExportError as error:
            notes.append(f"how it is delegated is not known: on this computer {error}")
        return cls(
            name=name, path=path, data=data, facts=facts, delegation=taken, notes=tuple(notes)
        )


def read_models(paths: Sequence[Path], setting: str = "model") -> list[ModelFile]:
    """The models of several files.

    Args:
        paths: Paths of the files.
        setting: Setting of the flow that names them.

    Raises:
        SettingError: A file is named twice.
        ExportError: A file cannot be read, or is none that can be timed.
    """
    names = distinct_names(paths, setting)
    return [
        ModelFile.of(name, path, read_file(path, setting), setting)
        for name, path in zip(names, paths, strict=True)
    ]


def read_file(path: Path, setting: str) -> bytes:
    """Content of a model's file.

    Raises:
        ExportError: It cannot be read, or has an impossible size.
    """
    try:
        if path.is_dir():
            raise ExportError(
                f"{shown_path(path)} is a folder; name the {SUFFIX} file in it", settings=[setting]
            )
        size = path.stat().st_size
        if not 0 < size <= MOST_BYTES:
            raise ExportError(
                f"{shown_path(path)} has {size:,} bytes; a TFLite model has 1 to {MOST_BYTES:,}",
                settings=[setting],
            )
        return path.read_bytes()
    except OSError as error:
        raise ExportError(
            f"{shown_path(path)} cannot be read: {error.strerror or error}; name a TFLite file",
            settings=[setting],
        ) from error


def distinct_names(paths: Sequence[Path], setting: str) -> list[str]:
    """A name for each path: that of the file, with as many of the folders around it as it takes
    to tell them apart.

    Raises:
        SettingError: A path is there twice.
    """
    resolved = [Path(os.path.realpath(path)) for path in paths]  # of a circle of links, too
    for path, count in Counter(resolved).items():
        if count > 1:
            raise SettingError(
                f"{setting} names {shown_path(path)} {count} times; name each file once",
                settings=[setting],
            )
    names = [""] * len(resolved)
    for depth in range(1, max(len(path.parts) for path in resolved) + 1):
        tails = [_tail(path, depth) for path in resolved]
        counts = Counter(tails)
        names = [
            n or (tail if counts[tail] == 1 else "") for n, tail in zip(names, tails, strict=True)
        ]
    return names


def _tail(path: Path, depth: int) -> str:
    """The last parts of a path as printable text, without the usual suffix."""
    text = path_text(Path(*path.parts[-depth:])).removesuffix(SUFFIX)
    return "".join(c if c.isprintable() else "?" for c in text)
