"""Labelled images before some are held out, whatever they are read from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from PIL import Image

from elasticvit.arrays import IndexArray
from elasticvit.errors import DataError, EvitError

ACCEPTED = (
    "digits (shipped with scikit-learn); a folder with one sub-folder of images a class, or with "
    "train/ and val/ or test/ of that form; a .parquet file or a folder of them (image bytes and "
    "label, such as CIFAR-10); a folder with MNIST or Fashion-MNIST IDX files; "
    "timm:NAME:FOLDER for a data set of timm.data.create_dataset"
)
EIGHT_BITS = 255
TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "valid", "validation", "eval", "t10k")
LOOKED_AT = 20  # images, which tell whether a data set is in colour
DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # gray of more than 8 bits
GRAY_MODES = ("L", "LA", "La", "1", "F", *DEEP_MODES)


@dataclass(frozen=True, eq=False)
class Pool:
    """Labelled images in the order of their data set.

    Attributes:
        labels: Class of each image, shape (n,).
        read: Function that decodes the image at an index, in the mode of its file and upright.
        name: Function that says what a message calls the image at an index: its file or row.
    """

    labels: IndexArray
    read: Callable[[int], Image.Image]
    name: Callable[[int], str]

    def decoded(self, index: int) -> Image.Image:
        """The image at an index, in the mode of its file and upright.

        Raises:
            DataError: The image cannot be decoded, or is too large.
        """
        return self._made(index, lambda: self.read(index))

    def image(self, index: int) -> Image.Image:
        """The image at an index, in RGB.

        Raises:
            DataError: The image cannot be decoded, or is too large.
        """
        return self._made(index, lambda: _in_rgb(self.read(index)))

    def _made(self, index: int, make: Callable[[], Image.Image]) -> Image.Image:
        try:
            return make()
        except (EvitError, MemoryError):
            raise
        except Exception as error:  # readers raise whatever their library does
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise DataError(
                f"{self.name(index)} cannot be decoded: {reason}; mend or remove it"
            ) from error

    @property
    def in_colour(self) -> bool:
        """Whether most of some images, from all over the pool, are in colour.

        Raises:
            DataError: None of them can be decoded.
        """
        count = len(self.labels)
        places = dict.fromkeys(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int))
        seen = []
        for index in map(int, places):
            with suppress(DataError):
                seen.append(_is_in_colour(self.decoded(index)))
        if not seen:
            return _is_in_colour(self.decoded(0))
        return 2 * sum(seen) >= len(seen)


def _in_rgb(image: Image.Image) -> Image.Image:
    """An image in RGB, of 8 bits a channel: the upper ones of 16.

    Raises:
        ValueError: Its pixels are floating point numbers, of which nothing says what white is.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating point numbers, not of 8 or 16 bits")
    if image.mode in DEEP_MODES:
        pixels = np.asarray(image).astype(np.int64)
        if image.mode != "I" or pixels.max(initial=0) > EIGHT_BITS:
            pixels = pixels >> 8
        image = Image.fromarray(pixels.clip(0, EIGHT_BITS).astype(np.uint8))
    return image.convert("RGB")


def _is_in_colour(image: Image.Image) -> bool:
    """Whether an image has colours, and not only a form that allows for them."""
    if image.mode != "P":
        return image.mode not in GRAY_MODES
    red, green, blue = image.convert("RGB").split()
    return not red.tobytes() == green.tobytes() == blue.tobytes()


@dataclass(frozen=True, eq=False)
class Source:
    """A data set before some of its images are held out.

    Attributes:
        spec: Canonical form of what the user wrote; paths are absolute.
        name: Name of the data set in reports.
        classes: Names of the classes, by label.
        train: Images of the official training part, or all images.
        test: Images of the official test part; None if the data set comes in one piece.
        flips: Whether a mirrored image still belongs to its class. Grayscale data sets are never
            mirrored, since they may hold digits or letters.
    """

    spec: str
    name: str
    classes: tuple[str, ...]
    train: Pool
    test: Pool | None
    flips: bool
