"""What an export puts beside its files: images to prove them again with, a readme, and code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import CheckpointError
from elasticvit.flows.export_result import ExportedFile
from export.bundle import KOTLIN_FILE, PYTHON_FILE, README_FILE, proof_path, sha256
from export.card_parts import ImageInput, ProofFile
from export.conversion import load
from export.proof_images import ProofImages, answers, choose_images, image_count
from export.readme import readme
from export.snippets import kotlin_snippet, python_snippet

if TYPE_CHECKING:
    from elasticvit.nn import Subnet
    from elasticvit.nn.timm_network import TimmNetwork
    from elasticvit.training.data import ImageData
    from export.backend import Backend
    from export.card import Card

Made = tuple["Backend", bytes, ExportedFile]


def proof_images(
    made: Sequence[Made], subnet: Subnet | TimmNetwork, images: ImageData, count: int
) -> ProofImages:
    """Test images in a random order, with what torch and every file say of them.

    Args:
        made: Backend, content and facts of each file.
        subnet: The subnet, which torch runs.
        images: The data set.
        count: Largest number of images.
    """
    described: ImageInput = made[0][2].card.input
    loader = images.loader(
        "test",
        resolution=subnet.resolution,
        batch_size=min(count, image_count(described.shape)),
        shuffle=True,
    )
    pictures, labels = next(iter(loader))
    chosen = choose_images(subnet, pictures, labels, described)
    exported = {
        one.card.file: answers(load(backend, data), chosen, described)
        for backend, data, one in made
    }
    return replace(chosen, exported=exported)


def bundled(
    made: Sequence[Made], names: Sequence[str], kept: ProofImages | None, beside: bool
) -> tuple[list[tuple[bytes, ExportedFile]], dict[str, bytes]]:
    """The files with complete cards, and what lies beside them, by name.

    Args:
        made: Backend, content and facts of each file.
        names: Name of each file in the bundle; the one that it was made under may be another,
            where the file of an earlier format was refused.
        kept: Test images that are kept; None for none.
        beside: Whether the bundle lies beside a path, among files of others, so that it has nothing
            for people in it.
    """
    extras: dict[str, bytes] = {}
    proof = None
    if kept is not None:
        exported = {
            name: kept.exported[one.card.file]
            for name, (_, _, one) in zip(names, made, strict=True)
        }
        file = proof_path(Path(names[0])).name
        extras[file] = content = replace(kept, exported=exported).to_bytes()
        proof = ProofFile(file=file, sha256=sha256(content), images=len(kept.labels))
    others = tuple(f"{name}.json" for name in names[1:])
    files: list[tuple[bytes, ExportedFile]] = []
    for name, (_, data, one) in zip(names, made, strict=True):
        card = replace(one.card, file=name, proof=proof, others=() if files else others)
        files.append((data, replace(one, card=card)))
    if not beside:
        extras |= _texts([one.card for _, one in files])
    return files, extras


def _texts(cards: Sequence[Card]) -> dict[str, bytes]:
    """What people read, and code that runs the first file, by name."""
    code = {PYTHON_FILE: python_snippet(cards[0]), KOTLIN_FILE: kotlin_snippet(cards[0])}
    texts = {name: text for name, text in code.items() if text is not None}
    texts[README_FILE] = readme(cards, list(texts))
    return {name: text.encode(errors="replace") for name, text in texts.items()}


def licence_of(run: str) -> str | None:
    """Licence of the weights of a supernet that comes with the package or lies in one file; None
    if none is told."""
    from elasticvit.nn.shipped import load_card

    try:
        return load_card(run).licence or None
    except CheckpointError:  # the folder of a training run, or a supernet that is gone
        return None
