"""Which space and recipe an expert would choose for a data set and a machine, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elasticvit.space import MOBILE, PHOTO, TINY, SearchSpace
from elasticvit.training.data import DataInfo, ImageData
from elasticvit.training.recipes import CPU_MINUTES, ONE_GPU, PAPER, Recipe

LOOKED_AT = 16  # images whose size tells that of all
PHOTO_SIDE = 48  # pixels from which on images are photographs; MNIST has 28, CIFAR-10 32
MANY_IMAGES = 200_000  # from which on mobile can be trained from initial weights
SMALL_IMAGES = 5_000  # up to which the number of steps is short, even on an accelerator
FEW_PHOTOGRAPHS = 5_000  # below which training from initial weights leads nowhere good
PAPER_GPUS = 4  # from which on 600 epochs of a very large set end within weeks


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A choice with its reason.

    Attributes:
        space: The search space, with its preset's number of classes.
        recipe: The recipe.
        space_reason: Why this space, in a phrase.
        recipe_reason: Why this recipe, in a phrase.
    """

    space: SearchSpace
    recipe: Recipe
    space_reason: str
    recipe_reason: str


def choose(data: ImageData, gpus: int) -> Choice:
    """Space and recipe for a data set.

    Args:
        data: The opened data set.
        gpus: Number of accelerators that train together; 0 for the CPU alone.

    Raises:
        DataError: An image cannot be decoded.
    """
    info, side = data.info, typical_side(data)
    facts = f"{info.train_images:,} images of {side} pixels in {info.classes:,} classes"
    if side < PHOTO_SIDE:
        space, why = TINY, f"{facts}; so small ones need no larger networks"
    elif gpus and info.train_images >= MANY_IMAGES:
        space, why = MOBILE, f"{facts}, enough to train the paper's space, on {_gpus(gpus)}"
    elif info.train_images >= MANY_IMAGES:
        space, why = PHOTO, f"{facts}; without a GPU mobile would take months"
    else:
        space, why = PHOTO, f"{facts}, on one machine; mobile needs {MANY_IMAGES:,} and more"
    recipe, because = choose_recipe(info, gpus)
    return Choice(space=space, recipe=recipe, space_reason=why, recipe_reason=because)


def choose_recipe(info: DataInfo, gpus: int) -> tuple[Recipe, str]:
    """A recipe for a data set, and why.

    Args:
        info: Size of the data set.
        gpus: As for `choose`.
    """
    if not gpus:
        return CPU_MINUTES, "no GPU is used"
    if info.train_images <= SMALL_IMAGES:
        return CPU_MINUTES, f"{info.train_images:,} images are few, also on a GPU"
    if gpus >= PAPER_GPUS and info.train_images >= MANY_IMAGES:
        return PAPER, f"{info.train_images:,} images on {_gpus(gpus)}"
    return ONE_GPU, f"{info.train_images:,} images on {_gpus(gpus)}"


def few_photographs(data: ImageData) -> str | None:
    """Advice for a training from initial weights, if the data set has too few photographs for
    that.

    Args:
        data: The opened data set.
    """
    count = data.info.train_images
    if count >= FEW_PHOTOGRAPHS or typical_side(data) < PHOTO_SIDE:
        return None
    return (
        f"{count:,} photographs are few to train from initial weights, and the accuracies will be "
        "low. Start from a supernet that was trained on more of them (init: the folder of its run, "
        "or the authors' checkpoint for space mobile or photo) and fine-tune it"
    )


def typical_side(data: ImageData) -> int:
    """Median of the shorter side of the images that are trained on, in pixels, by a few of them.

    Args:
        data: The opened data set.

    Raises:
        DataError: An image cannot be decoded.
    """
    part = data.train
    picked = np.unique(np.linspace(0, len(part) - 1, LOOKED_AT).astype(int))
    return round(float(np.median([min(part.pool.image(int(part.rows[i])).size) for i in picked])))


def _gpus(count: int) -> str:
    return "one GPU" if count == 1 else f"{count} GPUs"
