"""A checkpoint on disk: tensors in a `.safetensors` file, all else in a JSON file beside it.

The tensors are written first. The JSON file names them with their checksum and is written last,
so a checkpoint is complete as soon as its JSON file is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor

from elasticvit.errors import CheckpointError
from elasticvit.files import write_atomic, writing
from elasticvit.nn.tensor_file import TensorFile, check_tensor_file, read_tensors, write_tensors
from elasticvit.nn.torch_file import parse_with_tensors
from elasticvit.reading import Format, seal
from elasticvit.training.checkpoint_file import CHECKPOINT_FORMAT, SCHEMA, CheckpointFile
from elasticvit.training.run_info import FRESH

SEPARATOR = "/"  # between the keys that lead to a tensor


class PairFile(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON file of a checkpoint.

    Attributes:
        tensors: The file of the tensors.
        state: A checkpoint without its tensors, in the form of `CheckpointFile`.
        sha256: Checksum of all others.
    """

    schema: int
    tensors: TensorFile
    state: dict[str, Any]
    sha256: str


PAIR_FORMAT = Format(
    kind=PairFile,
    what="a checkpoint",
    error=CheckpointError,
    mend=CHECKPOINT_FORMAT.mend,
    next_step=FRESH,
    schema=SCHEMA,
    sealed=True,
)


def write_pair(path: Path, plain: Mapping[str, Any]) -> None:
    """Write the two files of a checkpoint.

    Args:
        path: The JSON file.
        plain: A checkpoint in plain values and tensors.

    Raises:
        FileError: One of them cannot be written; an old checkpoint of this name stays complete.
    """
    target, other = tensor_names(path)
    if _tensors_of(path) == target.name:
        target, other = other, target
    named = write_tensors(target, dict(_tensors(plain)))
    data = {
        "schema": SCHEMA,
        "tensors": msgspec.to_builtins(named),
        "state": _without_tensors(plain),
    }
    write_atomic(path, json.dumps(seal(data), allow_nan=False) + "\n")
    with writing(other):
        other.unlink(missing_ok=True)


def tensor_names(path: Path) -> tuple[Path, Path]:
    """The two files that may hold the tensors of a checkpoint, by its JSON file: one of them is
    free while a complete checkpoint is replaced."""
    return path.with_suffix(".safetensors"), path.with_name(f"{path.stem}b.safetensors")


def read_pair(path: Path) -> CheckpointFile:
    """The checkpoint that a JSON file and the file of its tensors hold.

    Raises:
        CheckpointError: One of them is missing, unreadable, truncated, damaged or of another
            checkpoint or version.
    """
    pair = PAIR_FORMAT.read_json(path)
    tensors = read_tensors(path.parent, pair.tensors, PAIR_FORMAT)
    plain = {"schema": pair.schema, **pair.state}
    for name, tensor in tensors.items():
        _put(plain, name.split(SEPARATOR), tensor, path)
    return parse_with_tensors(plain, CHECKPOINT_FORMAT, str(path))


def check_pair(path: Path) -> TensorFile:
    """Check that both files of a checkpoint are whole; the file of the tensors.

    Raises:
        CheckpointError: One of them is not.
    """
    pair = PAIR_FORMAT.read_json(path)
    check_tensor_file(path.parent / pair.tensors.file, pair.tensors, PAIR_FORMAT)
    return pair.tensors


def _tensors_of(path: Path) -> str | None:
    """Name of the file of the tensors of a checkpoint; None if its JSON file is not whole."""
    try:
        return PAIR_FORMAT.read_json(path).tensors.file
    except CheckpointError:
        return None


def _tensors(plain: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested tables, each with the keys that lead to it."""
    for key, value in plain.items():
        if isinstance(value, Tensor):
            yield f"{before}{key}", value
        elif isinstance(value, Mapping):
            yield from _tensors(value, f"{before}{key}{SEPARATOR}")


def _without_tensors(plain: Mapping[Any, Any]) -> dict[str, Any]:
    """Nested tables without their tensors, and without tables that held nothing else."""
    left: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, Mapping):
            part = _without_tensors(value)
            if part or not value:
                left[str(key)] = part
        elif not isinstance(value, Tensor):
            left[str(key)] = value
    return left


def _put(plain: dict[Any, Any], keys: Sequence[str], tensor: Tensor, path: Path) -> None:
    """Put a tensor back into nested tables. Whole numbers among the keys are numbers again."""
    table = plain
    *outer, last = keys
    for key in outer:
        number = int(key) if key.isdecimal() else key
        table = table.setdefault(number, table.pop(key, {}))
        if not isinstance(table, dict):
            raise PAIR_FORMAT.failure(f"{path}: {'.'.join(keys)} is a tensor within no table")
    table[last] = tensor
