"""The bundle that an export writes: a folder with the model, its card and its labels.

`model.json`, the card (`export.card`), holds all that is needed to use the model and the origin of
its figures. `labels.txt` has one class name a line. A bundle with several files of one subnet has a
card for each: `model.json` for the first, `FILE.json` for every other, which the first one names.
Beside them lie what people read (`export.readme`), code that runs the model (`export.snippets`) and
the images to prove it with (`export.proof_images`).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from elasticvit.files import make_folder, writing
from elasticvit.reading import shown
from export.card import CARD_FORMAT, Card

CARD_FILE, LABELS_FILE, MODEL_NAME = "model.json", "labels.txt", "model"
README_FILE, PYTHON_FILE, KOTLIN_FILE = "README.md", "run_model.py", "RunModel.kt"
TEXTS = (README_FILE, PYTHON_FILE, KOTLIN_FILE)  # for people, in a folder of its own
PROOF_FILE = "proof.npz"
MARK = "Written by elasticvit"  # in each of the texts; one without it is somebody's own
REJECTED = ".rejected"  # before the suffix of a file whose accuracy is too low
STAGING = ".export-"  # beginning of the name of the folder that files are written to first


def card_path(model: Path) -> Path:
    """Path of the card that describes a model."""
    own = other_card_path(model)
    return own if own.is_file() else model.with_suffix(".json")


def other_card_path(model: Path) -> Path:
    """Path of the card of a model that is not the first one of its bundle."""
    return model.with_name(f"{model.name}.json")


def file_names(formats: Sequence[tuple[str, str]]) -> list[str]:
    """Names of the model's files in a bundle: `model` with the suffix, and with the format before
    it where an earlier file has that name.

    Args:
        formats: Name and suffix of each format.
    """
    names: list[str] = []
    for name, suffix in formats:
        plain = MODEL_NAME + suffix
        names.append(f"{MODEL_NAME}.{name}{suffix}" if plain in names else plain)
    return names


def rejected_path(model: Path) -> Path:
    """Path that a model is written to instead if its accuracy is too low."""
    return model.with_name(f"{model.stem}{REJECTED}{model.suffix}")


def labels_path(model: Path) -> Path:
    """Path of the class names of a model: `labels.txt` in a folder of its own."""
    own = model.stem == MODEL_NAME
    return model.with_name(LABELS_FILE if own else f"{model.stem}.{LABELS_FILE}")


def is_rejected(folder: Path) -> bool:
    """Whether a folder of an export has nothing but a model whose accuracy was too low."""
    return not (folder / CARD_FILE).exists() and any(folder.glob(f"{MODEL_NAME}*{REJECTED}.json"))


def proof_path(model: Path) -> Path:
    """Path of the images to prove a model with: `proof.npz` in a folder of its own."""
    own = model.stem == MODEL_NAME
    return model.with_name(PROOF_FILE if own else f"{model.stem}.{PROOF_FILE}")


def write_bundle(folder: Path, data: bytes, card: Card) -> Path:
    """Write model, labels and card of one file; see `write_files`.

    Returns:
        Path of the model.
    """
    write_files(folder, [(data, card)])
    return folder / card.file


def write_files(
    folder: Path, files: Sequence[tuple[bytes, Card]], extras: Mapping[str, bytes] | None = None
) -> None:
    """Write models, labels, cards and further files: all of them, or none.

    They are written to a hidden folder first and then moved, the first card last, so that a model
    with its card is complete.

    Args:
        folder: Folder to write into; made if it is missing.
        files: Content and card of each model's file, all of one subnet.
        extras: Content of further files, by name.

    Raises:
        FileError: A file cannot be written; a folder that was made for it is removed.
    """
    contents = {folder / name: content for name, content in (extras or {}).items()}
    first = folder / files[0][1].file
    for data, card in files[1:]:
        contents |= {folder / card.file: data}
        contents |= {other_card_path(folder / card.file): card.to_json().encode()}
    data, card = files[0]
    if card.labels:
        contents[labels_path(first)] = labels_text(card.labels)
    contents |= {first: data, first.with_suffix(".json"): card.to_json().encode()}
    new = not folder.is_dir()
    make_folder(folder)
    try:
        with (
            writing(first),
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
            other_card_path(first).unlink(missing_ok=True)  # of an earlier bundle
    except BaseException:
        if new:
            with suppress(OSError):
                folder.rmdir()
        raise


def load_bundle(path: Path) -> tuple[bytes, Card]:
    """Content of a model's file, and its card.

    Args:
        path: Folder of an export, the model's file with its card beside it, or the card.

    Raises:
        ExportError: A file is missing or damaged, the model is not the one of the card, or the
            labels are not those of the card.
    """
    described = path / CARD_FILE if path.is_dir() else card_path(path)
    card = CARD_FORMAT.read_json(described)
    if not path.is_dir() and path != described and card.file != path.name:
        raise CARD_FORMAT.failure(
            f"{path} has no card: {described.name} describes {card.file}; put "
            f"{other_card_path(path).name} back, which describes it"
        )
    file = described.with_name(card.file)
    try:
        whole = file.stat().st_size == card.bytes and file.is_file()
        model = file.read_bytes() if whole else b""
    except OSError as error:
        raise CARD_FORMAT.failure(
            f"{file}, which {described.name} describes, cannot be read: {error.strerror or error}"
        ) from error
    if not whole or sha256(model) != card.sha256:
        raise CARD_FORMAT.failure(
            f"{file} is not the file that {described.name} describes (another size or sha256)"
        )
    if card.labels:
        own, shared = labels_path(file), file.with_name(LABELS_FILE)
        _check_labels(shared if shared.exists() and not own.exists() else own, card)
    return model, card


def load_files(path: Path) -> list[tuple[bytes, Card]]:
    """Content and card of each file of a bundle; see `load_bundle`.

    Args:
        path: Folder of an export, or a model's file with its card beside it.

    Raises:
        ExportError: A file or a card is missing or damaged; see `load_bundle`.
    """
    first = load_bundle(path)
    folder = path if path.is_dir() else path.parent
    others = [load_bundle(folder / name.removesuffix(".json")) for name in first[1].others]
    return [first, *others]


def _check_labels(path: Path, card: Card) -> None:
    """Check that a file has the class names of a card; lines may end as on Windows."""
    try:
        names = CARD_FORMAT.read_bytes(path).decode().replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise CARD_FORMAT.failure(f"{path} is not UTF-8 text") from error
    expected = labels_text(card.labels).decode().split("\n")
    if names[-1] or len(names) != len(expected):
        raise CARD_FORMAT.failure(
            f"{path} has {len(names) - 1} whole lines; it must have one for each of the "
            f"{len(card.labels)} classes"
        )
    for number, (name, right) in enumerate(zip(names, expected, strict=True), 1):
        if name != right:
            raise CARD_FORMAT.failure(
                f"line {number} of {path} is {shown(name)}; the card of {card.file} has "
                f"{shown(right)} there, and answers would get a wrong name: write that"
            )


def labels_text(labels: Sequence[str]) -> bytes:
    """Class names in UTF-8, one a line; a line break within a name becomes a space."""
    lines = (" ".join(name.splitlines()) for name in labels)
    return "".join(f"{line}\n" for line in lines).encode(errors="replace")


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
