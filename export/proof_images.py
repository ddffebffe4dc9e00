"""Real test images beside a bundle, with torch's logits, so that its files can be proven again on a
machine that has neither the data set nor the weights.

Pixels are rounded to whole numbers of 0..255 first, and torch's logits are those of the rounded
pixels, so that nothing is lost. Images of many pixels are fewer, so that the file stays small.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from elasticvit.arrays import Float32Array
from elasticvit.errors import ExportError
from export.card import CARD_FORMAT, Card
from export.card_parts import ImageInput
from export.parity import logits_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from export.backend import LoadedModel

MOST_IMAGES, LEAST_IMAGES = 64, 8
PIXEL_BYTES = 1_000_000  # of all images, before they are compressed
MOST_BYTES = 200_000_000  # that are unpacked
LOGITS = "logits of "  # begins the name of the array of a file's logits


@dataclass(frozen=True, kw_only=True, eq=False)
class ProofImages:
    """Test images with what torch and the exported files say of them.

    Attributes:
        pixels: Images as the network sees them before they are normalised, uint8 (n, R, R, 3).
        labels: True classes, (n,).
        reference: Torch's logits, float32 (n, classes).
        exported: Logits of each exported file on the computer that exported it, by file name.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    reference: Float32Array
    exported: Mapping[str, Float32Array]

    def inputs(self, described: ImageInput) -> Float32Array:
        """The images normalised, float32 (n, R, R, 3)."""
        return normalised(self.pixels, described)

    def to_bytes(self) -> bytes:
        """Content of the file."""
        buffer = io.BytesIO()
        logits = {LOGITS + name: values for name, values in self.exported.items()}
        arrays = {"pixels": self.pixels, "labels": self.labels, "torch": self.reference, **logits}
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()


def image_count(shape: tuple[int, ...]) -> int:
    """How many images of an input shape are kept."""
    return int(np.clip(PIXEL_BYTES // np.prod(shape), LEAST_IMAGES, MOST_IMAGES))


def normalised(pixels: npt.NDArray[np.uint8], described: ImageInput) -> Float32Array:
    """Pixels of 0..255 as the network takes them, float32."""
    mean, std = (np.array(x, np.float32) for x in (described.mean, described.std))
    return np.ascontiguousarray((pixels.astype(np.float32) / np.float32(255) - mean) / std)


def choose_images(
    network: nn.Module, images: Tensor, labels: Tensor, described: ImageInput
) -> ProofImages:
    """Images with torch's logits; no file has answered yet.

    Args:
        network: The torch model, not yet fused, in evaluation mode.
        images: Normalised images (n, 3, R, R).
        labels: True classes (n,).
        described: How they were normalised.

    Raises:
        ExportError: Torch's logits are not finite.
    """
    import torch

    from elasticvit.nn.side_by_side import torch_logits

    mean, std = (np.array(x, np.float32) for x in (described.mean, described.std))
    levels = (images.permute(0, 2, 3, 1).numpy() * std + mean) * 255
    pixels = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    inputs = torch.from_numpy(normalised(pixels, described)).permute(0, 3, 1, 2)
    reference = torch_logits(network, inputs).numpy()
    if not np.isfinite(reference).all():
        raise ExportError(
            "the torch model's own outputs are not finite; train or search again before exporting"
        )
    return ProofImages(pixels=pixels, labels=labels.numpy(), reference=reference, exported={})


def answers(model: LoadedModel, images: ProofImages, described: ImageInput) -> Float32Array:
    """Logits of an exported model for the images, float32 (n, classes).

    Raises:
        ExportError: The model fails, or gives something else than logits.
    """
    shape = images.reference.shape[1:]
    inputs = images.inputs(described)
    return np.stack([logits_of(model, image[None], shape) for image in inputs])


def read_proof(folder: Path, card: Card) -> ProofImages | None:
    """The images that a card names; None if it names none.

    Raises:
        ExportError: They are missing or damaged, or do not fit the card.
    """
    from export.bundle import sha256

    if card.proof is None:
        return None
    path = folder / card.proof.file
    data = CARD_FORMAT.read_bytes(path)
    if sha256(data) != card.proof.sha256:
        raise CARD_FORMAT.failure(f"{path} is not the file that the card describes (other sha256)")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(part.file_size for part in archive.infolist())
        if size > MOST_BYTES:
            raise ValueError(f"it unpacks to {size:,} bytes, at most {MOST_BYTES:,} are read")
        with np.load(io.BytesIO(data)) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        return _checked(found, card)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CARD_FORMAT.failure(
            f"{path} does not hold the images of the card: {error}"
        ) from error


def _checked(found: dict[str, Any], card: Card) -> ProofImages:
    pixels, labels, reference = found["pixels"], found["labels"], found["torch"]
    count = len(pixels)
    exported = {
        name.removeprefix(LOGITS): values
        for name, values in found.items()
        if name.startswith(LOGITS)
    }
    rules = {
        "there is no image": count > 0,
        "pixels have another shape or type": pixels.shape[1:] == card.input.shape[1:]
        and pixels.dtype == np.uint8,
        "labels have another shape or type": labels.shape == (count,)
        and labels.dtype.kind == "i"
        and ((labels >= 0) & (labels < card.classes)).all(),
        "logits have another shape or type": all(
            values.shape == (count, card.classes) and values.dtype == np.float32
            for values in (reference, *exported.values())
        ),
    }
    for complaint, kept in rules.items():
        if not kept:
            raise ValueError(complaint)
    if not all(np.isfinite(values).all() for values in (reference, *exported.values())):
        raise ValueError("a logit is not finite")
    return ProofImages(pixels=pixels, labels=labels, reference=reference, exported=exported)
