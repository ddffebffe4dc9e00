"""The one way to read a file that `torch.save` wrote: checked, bounded, never run.

Such a file is a zip archive of a list of values (`data.pkl`) and the bytes of each tensor. The
archive is checked before torch reads it: torch compares no checksums, and unpacks whatever an
archive claims to hold. Torch's own words never reach a user, since they advise to read files that
run code.
"""

from __future__ import annotations

import argparse
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from elasticvit.reading import Format

T = TypeVar("T")
VALUES_FILE = "data.pkl"
MOST_VALUES_BYTES = 2**28  # of the list of values, which is small beside the tensors
MOST_VALUES = 2_000_000  # numbers, texts, tensors, lists and tables in it
LISTS = (list, tuple, set, frozenset)
OLD_FORM = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # a file of torch before 1.6 begins so
# what training scripts keep beside the weights: their options, and numbers of numpy
NUMBERS = (np.float64(), np.float32(), np.int64())
PLAIN: list[Any] = [argparse.Namespace, np.dtype, NUMBERS[0].__reduce__()[0]]
PLAIN += [type(number.dtype) for number in NUMBERS]
SCRIPT_FILE = "constants.pkl"  # in an archive of a TorchScript program


def read_torch_file(path: Path, form: Format[T]) -> T:
    """The value that a file of `torch.save` holds, its tensors in the memory of the CPU.

    Args:
        path: The file.
        form: What it should be.

    Raises:
        EvitError: The file is missing, unreadable, truncated or damaged, holds things other than
            tensors and plain values, or breaks a rule of the format; of the type `form.error`.
    """
    return parse_with_tensors(load_torch_file(path, form), form, str(path))


def load_torch_file(path: Path, form: Format[Any]) -> Any:
    """The tensors and plain values that a file of `torch.save` holds, whatever their form.

    Args:
        path: The file.
        form: What it should be, for the errors.

    Raises:
        EvitError: See `read_torch_file`.
    """
    try:
        found = "" if path.is_file() else "is not a file" if path.exists() else "does not exist"
        if not found:
            _check_archive(path)
    except OSError as error:
        raise form.failure(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged archive can make zipfile raise anything
        reason = error if isinstance(error, _Damage) else "it is not a whole zip archive"
        raise form.failure(f"{path} is truncated or not {form.what}: {reason}") from error
    if found:
        raise form.failure(f"{path} {found}; it should be {form.what}")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(PLAIN):
            warnings.simplefilter("ignore")  # of torch, about values that it then refuses
            data = torch.load(path, map_location="cpu", weights_only=True)
        _check_size(data)
    except _Damage as error:
        raise form.failure(f"{path} is not {form.what}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # a list of values that is not one can make torch raise anything
        raise form.failure(
            f"{path} is truncated or not {form.what}: it holds things other than tensors, numbers "
            "and texts, or its list of values is damaged"
        ) from error
    return data


def parse_with_tensors(data: Any, form: Format[T], where: str) -> T:
    """The value that plain values and tensors describe; see `Format.parse`."""
    hooks = {**form.hooks, torch.Tensor: _tensor}
    return replace(form, hooks=hooks).parse(_stored(data), where)


class _Stored:
    """A tensor among values that are not checked yet. A tensor itself answers comparisons and
    requests for keys, so that it could pass for something else."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __repr__(self) -> str:
        return "a tensor"


def _stored(value: Any) -> Any:
    """Plain values with all tensors wrapped."""
    if isinstance(value, torch.Tensor):
        return _Stored(value)
    if isinstance(value, Mapping):
        return {key: _stored(part) for key, part in value.items()}
    if isinstance(value, LISTS):
        return [_stored(part) for part in value]
    return value


def _tensor(value: Any) -> torch.Tensor:
    if not isinstance(value, _Stored):
        raise TypeError("it must be a tensor")
    return value.tensor


class _Damage(ValueError):
    """What is wrong with a file, in a few words."""


def _check_archive(path: Path) -> None:
    """Check an archive without unpacking more than the file holds.

    Raises:
        ValueError: It is damaged, packed, or none of `torch.save`.
        zipfile.BadZipFile: It is no zip archive, or a truncated one.
        NotImplementedError: It is packed in an unknown way.
        RuntimeError: It is encrypted.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(OLD_FORM)) == OLD_FORM:
            raise _Damage(
                "it is in the form that torch had before 1.6; load it with torch and save it again"
            )
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [entry.filename.rpartition("/")[2] for entry in entries]
        if names.count(VALUES_FILE) != 1 or SCRIPT_FILE in names:
            raise _Damage("torch.save did not write it")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise _Damage("it is packed, which torch.save never does")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise _Damage("its parts are larger than the file")
        if entries[names.index(VALUES_FILE)].file_size > MOST_VALUES_BYTES:
            raise _Damage(f"its list of values is larger than {MOST_VALUES_BYTES:,} bytes")
        broken = archive.testzip()  # compares the checksums of all parts
        if broken is not None:
            raise _Damage(f"the checksum of its part {broken!r} does not match")


def _check_size(data: Any) -> None:
    """Check that plain values are not nested in circles, nor so that they are endless.

    Raises:
        ValueError: There are more than `MOST_VALUES` of them.
    """
    count, waiting = 0, [data]
    while waiting:
        value = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise _Damage(f"it holds more than {MOST_VALUES:,} values")
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, LISTS):
            waiting.extend(value)
        elif isinstance(value, argparse.Namespace):
            waiting.append(vars(value))
