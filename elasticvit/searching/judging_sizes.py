"""With how many images an architecture is judged during a search, by a budget of arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from elasticvit.training.data import ImageData

QUICK_GMACS = {"cpu": 4.0, "cuda": 400.0}  # for one architecture: about 0.2 s on two cores
ACCELERATOR_GMACS = 40.0  # on torch devices of other types, such as mps and xpu
THOROUGH_FACTOR = 8.0  # how much more the finalists of a search may take
FEWEST_RECALIBRATION = 128  # images; with 64, a point of accuracy goes and noise comes
MOST_RECALIBRATION = 512  # more change nothing
FEWEST_SEARCH = 256


def quick_gmacs(torch_device: torch.device | str) -> float:
    """Billions of multiply-accumulates for one architecture during a search, by the type of the
    torch device (`cuda` of `cuda:0`)."""
    return QUICK_GMACS.get(torch.device(torch_device).type, ACCELERATOR_GMACS)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many images an architecture is judged with.

    Attributes:
        recalibration_images: Number of images of the training part.
        search_images: Number of images of the part that is held out for choosing.
        batch_size: Images in a batch of either.
    """

    recalibration_images: int
    search_images: int
    batch_size: int = 64

    @property
    def images(self) -> int:
        """Images that are run for one architecture."""
        return self.recalibration_images + self.search_images

    @classmethod
    def within(
        cls,
        gmacs: float,
        macs_m: float,
        data: ImageData,
        *,
        space_macs_m: float | None = None,
        fewest_recalibration: int = FEWEST_RECALIBRATION,
    ) -> Sizes:
        """As many images as a budget allows, about a third of them for recalibration.

        It is a budget of arithmetic and not of time, so that the same search judges with the
        same images on every machine of a kind. The images for recalibration go by the space and in
        steps of two, so that searches with other caps find what this one judged.

        Args:
            gmacs: Billions of multiply-accumulates for one architecture.
            macs_m: Millions of them that a typical architecture takes for an image.
            data: Data set whose sizes are the upper limits.
            space_macs_m: Those of a typical one of the whole space; `macs_m` by default.
            fewest_recalibration: Fewest images for recalibration, a power of two.
        """
        recalibration = fewest_recalibration
        third = 1000 * gmacs / (space_macs_m or macs_m) / 3
        while 2 * recalibration <= min(third, MOST_RECALIBRATION):
            recalibration *= 2
        left = max(int(1000 * gmacs / macs_m) - recalibration, FEWEST_SEARCH)
        whole = -(-left // cls.batch_size) * cls.batch_size
        return cls(
            recalibration_images=min(recalibration, data.info.train_images),
            search_images=min(whole, data.info.search_images),
        )
