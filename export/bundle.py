"""The bundle that an export writes: a folder with the model, its card and its labels.

`model.json`, the card (`export.card`), holds all that is needed to use the model and the origin of
its figures. `labels.txt` has one class name a line.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from elasticvit.errors import ExportError
from elasticvit.files import make_folder, writing
from export.card import CARD_FORMAT, Card

CARD_FILE, LABELS_FILE, MODEL_NAME = "model.json", "labels.txt", "model"
STAGING = ".export-"  # beginning of the name of the folder that files are written to first


def card_path(model: Path) -> Path:
    """Path of the card that describes a model."""
    return model.with_suffix(".json")


def labels_path(model: Path) -> Path:
    """Path of the class names of a model: `labels.txt` in a folder of its own."""
    own = model.stem == MODEL_NAME
    return model.with_name(LABELS_FILE if own else f"{model.stem}.{LABELS_FILE}")


def write_bundle(folder: Path, data: bytes, card: Card) -> Path:
    """Write model, labels and card: all of them, or none.

    They are written to a hidden folder first and then moved, the card last, so that a model with
    its card is complete.

    Args:
        folder: Folder to write into; made if it is missing.
        data: Content of the model's file.
        card: The card, which names the file.

    Returns:
        Path of the model.

    Raises:
        FileError: A file cannot be written; a folder that was made for it is removed.
    """
    path = folder / card.file
    contents = {path: data, card_path(path): card.to_json().encode()}
    if card.labels:
        contents = {labels_path(path): labels_text(card.labels), **contents}
    new = not folder.is_dir()
    make_folder(folder)
    try:
        with (
            writing(path),
            tempfile.TemporaryDirectory(
                dir=folder, prefix=STAGING, ignore_cleanup_errors=True
            ) as staging,
        ):
            for target, content in contents.items():
                with writing(target), Path(staging, target.name).open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            for target in contents:
                with writing(target):
                    os.replace(Path(staging, target.name), target)
    except BaseException:
        if new:
            with suppress(OSError):
                folder.rmdir()
        raise
    return path


def load_bundle(path: Path) -> tuple[bytes, Card]:
    """Content of a model's file, and its card.

    Args:
        path: Folder of an export, or the model's file with its card beside it.

    Raises:
        ExportError: A file is missing or damaged, the model is not the one of the card, or the
            labels are not as many as its classes.
    """
    described = path / CARD_FILE if path.is_dir() else card_path(path)
    card = CARD_FORMAT.read_json(described)
    file = described.with_name(card.file)
    try:
        model = file.read_bytes()
    except OSError as error:
        raise CARD_FORMAT.failure(
            f"{file}, which {described.name} describes, cannot be read: {error.strerror or error}"
        ) from error
    if len(model) != card.bytes or sha256(model) != card.sha256:
        raise CARD_FORMAT.failure(
            f"{file} is not the file that {described.name} describes (another size or sha256)"
        )
    if card.labels:
        _check_labels(labels_path(file), len(card.labels))
    return model, card


def _check_labels(path: Path, count: int) -> None:
    try:
        names = CARD_FORMAT.read_bytes(path).decode().split("\n")
    except UnicodeDecodeError as error:
        raise CARD_FORMAT.failure(f"{path} is not UTF-8 text") from error
    if names[-1] or len(names) - 1 != count:
        raise CARD_FORMAT.failure(
            f"{path} has {len(names) - 1} whole lines; it must have one for each of the {count} "
            "classes"
        )


def check_replaceable(model: Path, exported: Collection[str], *, alone: bool) -> None:
    """Check that an export to a path would overwrite nothing but an earlier export.

    Args:
        model: Path that the model is going to be written to.
        exported: SHA-256 of models that were exported before.
        alone: Whether the model is written without its card and labels.

    Raises:
        ExportError: Something is there that no export is known to have written.
        FileError: What is there cannot be looked at.
    """
    with writing(model):
        there = model.exists() or model.is_symlink()
        if there and not model.is_file():
            raise _in_the_way(model)
        card = _own_card(model)
        if there:
            found = sha256(model.read_bytes())
            if found not in exported and (card is None or card.sha256 != found):
                raise _in_the_way(model)
        if alone or card is not None:
            return
        for path in (card_path(model), labels_path(model)):
            if path.exists() or path.is_symlink():
                raise _in_the_way(path)


def _own_card(model: Path) -> Card | None:
    """The card beside a model's path, if it is the card of a model of that name."""
    try:
        card = CARD_FORMAT.read_json(card_path(model))
    except ExportError:
        return None
    return card if card.file == model.name else None


def _in_the_way(path: Path) -> ExportError:
    return ExportError(
        f"{path} exists, and is not known to be of an earlier export; move it away, or name "
        "another path",
        settings=["out", "folder"],
    )


def labels_text(labels: Sequence[str]) -> bytes:
    """Class names in UTF-8, one a line; a line break within a name becomes a space."""
    lines = (" ".join(name.splitlines()) for name in labels)
    return "".join(f"{line}\n" for line in lines).encode(errors="replace")


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
