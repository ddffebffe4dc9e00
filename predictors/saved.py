"""Predictors on disk: one JSON file and one file of plain arrays, with its checksum.

Nothing is pickled, so any later version of the libraries reads it.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from elasticvit.errors import NextStep, PredictorError
from elasticvit.files import write_atomic
from elasticvit.version import __version__

Arrays = dict[str, npt.NDArray[Any]]  # by name
SCHEMA = 1
MANIFEST = "predictor.json"
AGAIN = "profile the device again, or copy the folder anew"
DAMAGED = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile)  # what a bad file raises


def save_state(folder: Path, state: Mapping[str, Any], arrays: Arrays) -> None:
    """Write to a folder; a reader sees the old predictor or the new one.

    Args:
        state: JSON-ready description.
        arrays: Arrays by name.
    """
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    name = f"arrays-{digest[:12]}.npz"
    manifest = {
        "schema": SCHEMA,
        "elasticvit": __version__,
        **state,
        "arrays": {"file": name, "sha256": digest},
    }
    write_atomic(folder / name, data)
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1, allow_nan=False))
    for old in folder.glob("arrays-*.npz"):
        if old.name != name:
            old.unlink(missing_ok=True)


def read_state(folder: Path) -> tuple[dict[str, Any], Arrays]:
    """Inverse of `save_state`.

    Raises:
        PredictorError: There is none, it is half-copied or changed, or a newer version wrote it.
        OSError, ValueError, KeyError, TypeError, BadZipFile: It is damaged (`DAMAGED`).
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise PredictorError(
            f"no predictor in {folder}; profile the device first", next_step=NextStep("profile")
        )
    manifest = json.loads(path.read_text())
    if not isinstance(manifest, dict):
        raise PredictorError(f"{path} holds no predictor; {AGAIN}", next_step=NextStep("profile"))
    if not isinstance(manifest.get("schema"), int) or manifest["schema"] > SCHEMA:
        raise PredictorError(
            f"{path} has schema {manifest.get('schema')!r}, written by elasticvit "
            f"{manifest.get('elasticvit')}; this is {__version__} and reads up to {SCHEMA}: "
            "update elasticvit, or profile again",
            next_step=NextStep("profile"),
        )
    return manifest, _read_arrays(folder, manifest["arrays"])


def _read_arrays(folder: Path, entry: Mapping[str, Any]) -> Arrays:
    path = folder / Path(str(entry["file"])).name
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise PredictorError(
            f"{path} is not what its predictor was saved with: half-copied or changed; {AGAIN}",
            next_step=NextStep("profile"),
        )
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
