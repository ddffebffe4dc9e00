"""Looks before an export is written whether it would overwrite anything but an earlier export."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from elasticvit.errors import ExportError
from elasticvit.files import writing
from export.bundle import (
    MARK,
    MODEL_NAME,
    PROOF_FILE,
    TEXTS,
    card_path,
    labels_path,
    other_card_path,
    sha256,
)
from export.card import CARD_FORMAT, Card


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


def check_other(model: Path, exported: Collection[str]) -> None:
    """As `check_replaceable`, for a model that is not the first one of its bundle.

    Raises:
        ExportError: Something is there that no export is known to have written.
        FileError: What is there cannot be looked at.
    """
    check_replaceable(model, exported, alone=True)
    path = other_card_path(model)
    with writing(path):
        there = path.exists() or path.is_symlink()
    if there and _own_card(model) is None:
        raise _in_the_way(path)


def check_extras(folder: Path, proof: str = PROOF_FILE, texts: Sequence[str] = TEXTS) -> None:
    """Check that the files beside a model overwrite nothing but those of an earlier export.

    Args:
        folder: Folder that they are going to be written to.
        proof: Name of the file with the images to prove the model with.
        texts: Names of the files for people.

    Raises:
        ExportError: Something is there that no export is known to have written.
        FileError: What is there cannot be looked at.
    """
    own = proof.removesuffix(PROOF_FILE).removesuffix(".") or MODEL_NAME
    for path in (folder / name for name in (*texts, proof)):
        with writing(path):
            if not path.exists() and not path.is_symlink():
                continue
            if not path.is_file():
                raise _in_the_way(path)
            beginning = path.read_bytes()[:1000]
        if path.name == proof:
            card = _readable(path.with_name(f"{own}.json"))
            if card is None or card.proof is None or card.proof.file != proof:
                raise _in_the_way(path)
        elif MARK.encode() not in beginning:
            raise _in_the_way(path)


def _own_card(model: Path) -> Card | None:
    """The card beside a model's path, if it is the card of a model of that name."""
    card = _readable(card_path(model))
    return card if card is not None and card.file == model.name else None


def _readable(path: Path) -> Card | None:
    """The card at a path; None if there is none that can be read."""
    try:
        return CARD_FORMAT.read_json(path)
    except ExportError:
        return None


def _in_the_way(path: Path) -> ExportError:
    return ExportError(
        f"{path} exists, and is not known to be of an earlier export; move it away, or name "
        "another path",
        settings=["out", "folder"],
    )
