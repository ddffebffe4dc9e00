"""What an export puts beside its files: images to prove them again with, a readme, and code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.flows.export_result import ExportedFile
from export.bundle import proof_path, sha256
from export.card import ImageInput, ProofFile
from export.conversion import load
from export.proof_images import ProofImages, answers, choose_images, image_count

if TYPE_CHECKING:
    from elasticvit.nn import Subnet
    from elasticvit.nn.timm_network import TimmNetwork
    from elasticvit.training.data import ImageData
    from export.backend import Backend

Made = tuple["Backend", bytes, ExportedFile]


def bundled(
    made: Sequence[Made], subnet: Subnet | TimmNetwork, images: ImageData, count: int, beside: bool
) -> tuple[list[tuple[bytes, ExportedFile]], dict[str, bytes]]:
    """The files with complete cards, and what lies beside them, by name.

    Args:
        made: Backend, content and facts of each file.
        subnet: The subnet, which torch runs.
        images: The data set.
        count: Largest number of test images that are kept.
        beside: Whether the bundle lies beside a path, among files of others, so that it has nothing
            for people in it.
    """
    extras: dict[str, bytes] = {}
    proof = None
    first = made[0][2].card
    if count:
        chosen = _proof_images(made, subnet, images, count)
        name = proof_path(Path(first.file)).name
        extras[name] = content = chosen.to_bytes()
        proof = ProofFile(file=name, sha256=sha256(content), images=len(chosen.labels))
    others = tuple(f"{one.card.file}.json" for _, _, one in made[1:])
    files = []
    for index, (_, data, one) in enumerate(made):
        card = replace(one.card, proof=proof, others=() if index else others)
        files.append((data, replace(one, card=card)))
    return files, extras


def _proof_images(
    made: Sequence[Made], subnet: Subnet | TimmNetwork, images: ImageData, count: int
) -> ProofImages:
    """Test images in a random order, with what torch and every file say of them."""
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
