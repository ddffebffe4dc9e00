"""Predictors on disk: one JSON file and one file of plain arrays, each with a checksum.

Nothing is pickled, so any later version of the libraries reads it.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np
import numpy.typing as npt

from elasticvit.arrays import FloatArray
from elasticvit.files import write_atomic
from elasticvit.reading import Format, seal, shown
from elasticvit.version import __version__

Arrays = dict[str, npt.NDArray[Any]]  # by name
SCHEMA = 1
MANIFEST = "predictor.json"
MOST_BYTES = 2**30  # of all arrays of a predictor


class ArrayFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file of a predictor's arrays: its name in the predictor's folder, and its checksum."""

    file: str
    sha256: str


@dataclass(frozen=True)
class SavedArrays:
    """Arrays that were read from a file; each is checked when it is taken.

    Attributes:
        where: The file, for messages.
        form: What it belongs to.
        arrays: The arrays by name.
    """

    where: str
    form: Format[Any]
    arrays: Mapping[str, npt.NDArray[Any]]

    def numbers(
        self, name: str, *shape: int | None, least: float = -np.inf, above: float = -np.inf
    ) -> FloatArray:
        """An array of finite numbers.

        Args:
            name: Name of the array.
            shape: Its shape; None is any length.
            least, above: Bounds that each number reaches, and lies above.

        Raises:
            EvitError: It is missing, has another shape or type, or a number breaks a rule; of the
                type of the format's error.
        """
        found = self._found(name, "f", shape)
        bad = ~(np.isfinite(found) & (found >= least) & (found > above))
        if bad.any():
            value = float(found[bad].flat[0])
            rule = f"above {above:g}" if above > -np.inf else f"at least {least:g}"
            rule = rule if np.isfinite(value) else "finite"
            self.refuse(f"array {name} holds {value:g}; every number must be {rule}")
        return np.asarray(found, dtype=np.float64)

    def texts(self, name: str) -> list[str]:
        """A list of texts; raises as `numbers` does."""
        return [str(text) for text in self._found(name, "U", (None,))]

    def refuse(self, message: str) -> NoReturn:
        """Raise the error of a damaged file."""
        raise self.form.failure(f"{self.where}: {message}")

    def _found(self, name: str, kind: str, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
        if name not in self.arrays:
            self.refuse(f"array {name} is missing")
        found = self.arrays[name]
        fits = found.dtype.kind == kind or found.size == 0  # an empty list of texts has numbers'
        same = [
            wanted in (None, length) for length, wanted in zip(found.shape, shape, strict=False)
        ]
        if not fits or found.ndim != len(shape) or not all(same):
            lengths = " x ".join("any" if n is None else str(n) for n in shape) or "one number"
            self.refuse(
                f"array {name} has shape {found.shape} and type {found.dtype}; it must be "
                f"{lengths} of {'numbers' if kind == 'f' else 'texts'}"
            )
        return found


def save_state(folder: Path, state: Mapping[str, Any], arrays: Arrays) -> None:
    """Write to a folder; a reader sees the old predictor or the new one.

    Args:
        state: JSON-ready description.
        arrays: Arrays by name.

    Raises:
        FileError: The folder cannot be written to; an old predictor stays.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    name = f"arrays-{digest[:12]}.npz"
    entry = msgspec.to_builtins(ArrayFile(file=name, sha256=digest))
    manifest = seal({"schema": SCHEMA, "elasticvit": __version__, **state, "arrays": entry})
    write_atomic(folder / name, data)
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1, allow_nan=False))
    for old in folder.glob("arrays-*.npz"):
        if old.name != name:
            old.unlink(missing_ok=True)


def read_arrays(folder: Path, entry: ArrayFile, form: Format[Any]) -> SavedArrays:
    """The arrays of a saved predictor.

    Args:
        folder: Folder of the predictor.
        entry: Their file.
        form: What they belong to.

    Raises:
        EvitError: The file is missing, half-copied, changed or damaged; of the type of the
            format's error.
    """
    path = folder / entry.file
    if Path(entry.file).name != entry.file:
        raise form.failure(
            f"{folder / MANIFEST}: arrays.file is {shown(entry.file)}; it must be a file beside it"
        )
    data = form.read_bytes(path)
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise form.failure(
            f"{path} is not what its predictor was saved with: half-copied or changed"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(part.file_size for part in archive.infolist())
        if size > MOST_BYTES:
            raise form.failure(f"{path} unpacks to {size:,} bytes; at most {MOST_BYTES:,} are read")
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise form.failure(f"{path} is damaged, or holds other things than arrays") from error
    return SavedArrays(str(path), form, arrays)
