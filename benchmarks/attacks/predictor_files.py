"""Class `predictors`: damaged predictors, and figures in them that cannot be."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from attacks.attack import EQUAL, REFUSED, WORKSPACE, Attack, Site
from attacks.damage import byte_attacks, document_attacks, remove
from attacks.prepared import SEARCH
from elasticvit.reading import seal

FOLDER = f"{WORKSPACE}/predictors/host"
MANIFEST, ARRAYS = f"{FOLDER}/predictor.json", f"{FOLDER}/arrays-*.npz"
EXPLAIN = ("evit-profile", "--explain", "smallest")
SEAL = ("checksum",)
Change = Callable[[dict[str, np.ndarray[Any, Any]]], object]


def _arrays(change: Change) -> Callable[[Site], None]:
    """Change the arrays, and make checksum and name right again."""

    def spoil(site: Site) -> None:
        path, manifest = site.one(ARRAYS), site.one(MANIFEST)
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        change(arrays)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        path.write_bytes(buffer.getvalue())
        document = json.loads(manifest.read_text())
        document["arrays"]["sha256"] = hashlib.sha256(buffer.getvalue()).hexdigest()
        manifest.write_text(json.dumps(_sealed(document)))

    return spoil


def _each(change: Callable[[Any], Any]) -> Change:
    """Change the first array of numbers that are not whole."""

    def work(arrays: dict[str, Any]) -> None:
        for name, array in arrays.items():
            if array.dtype.kind == "f" and array.ndim and array.size:
                arrays[name] = change(array)

    return work


def _drop(number: int) -> Change:
    return lambda arrays: arrays.pop(sorted(arrays)[number])


CHANGES: dict[str, Change] = {
    "not a number": _each(lambda a: a * np.nan),
    "infinite": _each(lambda a: a + np.inf),
    "of another shape": _each(lambda a: a.ravel()[:1]),
    "of no elements": _each(lambda a: a[:0]),
    "texts": _each(lambda a: a.astype("U8")),
    "complex": _each(lambda a: a.astype(complex)),
    "huge": _each(lambda a: a * 1e300),
    "a missing one": _drop(0),
    "another missing one": _drop(-1),
    "all missing": lambda arrays: arrays.clear(),
}


def _sealed(document: Any) -> Any:
    """The document with the checksum that its content has."""
    if not isinstance(document, dict):
        return document
    try:
        return seal({key: value for key, value in document.items() if key != "sha256"})
    except ValueError:  # it has none, since it holds numbers that are not finite
        return document


def _outside(site: Site) -> None:
    manifest = site.one(MANIFEST)
    document = json.loads(manifest.read_text())
    document["arrays"]["file"] = "../../../../../etc/passwd"
    manifest.write_text(json.dumps(document))


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    few = ("empty", "cut", "random", "zeros", "byte", "doubled")
    named = (
        (
            "predictor.json",
            "arrays-",
            "predictors/host",
            "predictor of device 'host'",
            "predictor of host",
        ),
    )
    found = [
        *document_attacks("predictors", prepared, MANIFEST, EXPLAIN, 20, seed=1, also_named=SEAL),
        *document_attacks("predictors", prepared, MANIFEST, SEARCH, 6, seed=2, also_named=SEAL),
        *document_attacks(
            *("predictors", prepared, MANIFEST, EXPLAIN, 30),
            seed=3,
            only=lambda mutation: mutation.broken,
            seal=_sealed,
        ),
        *byte_attacks("predictors", prepared, MANIFEST, EXPLAIN, names=named),
        *byte_attacks("predictors", prepared, ARRAYS, EXPLAIN, only=few, names=named),
    ]
    for name, change in CHANGES.items():
        found.append(
            Attack(
                kind="predictors",
                name=f"arrays: {name}",
                argv=EXPLAIN,
                spoil=_arrays(change),
                names=named,
                allowed=(REFUSED, EQUAL),
            )
        )
    for name, spoil in {
        "the arrays are gone": lambda site: remove(site, ARRAYS),
        "the manifest is gone": lambda site: remove(site, MANIFEST),
        "the folder is gone": lambda site: remove(site, FOLDER),
        "arrays outside of the folder": _outside,
    }.items():
        for argv in (EXPLAIN, SEARCH):
            found.append(
                Attack(
                    kind="predictors",
                    name=f"{name} ({argv[0]})",
                    argv=argv,
                    spoil=spoil,
                    names=named,
                )
            )
    return found
