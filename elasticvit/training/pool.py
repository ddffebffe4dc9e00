"""Labelled images before some are held out, whatever they are read from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from elasticvit.arrays import IndexArray
from elasticvit.errors import DataError, EvitError

ACCEPTED = (
    "digits (shipped with scikit-learn); a folder with one sub-folder of images a class, or with "
    "train/ and val/ or test/ of that form; a .parquet file or a folder of them (image bytes and "
    "label, such as CIFAR-10); a folder with MNIST or Fashion-MNIST IDX files; "
    "timm:NAME:FOLDER for a data set of timm.data.create_dataset"
)
TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "val", "valid", "validation", "eval", "t10k")
LOOKED_AT = 20  # images, until one can be read
GRAY_MODES = ("L", "1", "I", "F", "I;16")


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
        return self._made(index, lambda: self.read(index).convert("RGB"))

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
        """Whether the first image that can be read is in colour.

        Raises:
            DataError: None of the first few can be decoded.
        """
        for index in range(min(len(self.labels), LOOKED_AT)):
            try:
                return self.decoded(index).mode not in GRAY_MODES
            except DataError:
                continue
        return self.decoded(0).mode not in GRAY_MODES


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
