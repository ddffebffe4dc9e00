"""What a training starts with: the space where none is named, the recipe, and trained weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elasticvit.events import EventHandler, Notice, Phase
from elasticvit.flows.train_events import SpaceChosen
from elasticvit.flows.train_settings import TrainSettings
from elasticvit.space import SearchSpace
from elasticvit.training.choice import choose, choose_recipe, few_photographs
from elasticvit.training.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from elasticvit.training.data import DataInfo, ImageData
    from elasticvit.training.ranks import Ranks
    from elasticvit.training.start_source import StartSource


def start_source(settings: TrainSettings, events: EventHandler) -> StartSource | None:
    """The weights that the settings name to start from; None if they name none.

    Raises:
        CheckpointError: They are missing or damaged.
    """
    if settings.init is None and (settings.start_from is None or settings.subnet is not None):
        return None  # a subnet that is trained alone reads its own
    from elasticvit.training.start_source import open_source

    path = settings.init or settings.start_from
    assert path is not None
    events(Phase(text=f"reading the weights to start from, {path}"))
    return open_source(path, "start_from" if settings.init is None else "init")


def space_for(
    images: ImageData,
    ranks: Ranks,
    settings: TrainSettings,
    source: StartSource | None,
    events: EventHandler,
) -> SearchSpace:
    """The space of a training where none is named, and none is remembered.

    Args:
        images: The opened data set.
        ranks: The processes that train together.
        settings: Settings of the flow.
        source: Weights to start from. If they do not fit the space that suits the data set, it is
            the space that they are of.
        events: Receives a `SpaceChosen`.

    Raises:
        DataError: An image cannot be decoded.
    """
    choice = choose(images, gpus(ranks))
    space, reason = choice.space, choice.space_reason
    theirs = None if source is None else source.space
    if theirs is not None and theirs.with_classes(1).layout != space.with_classes(1).layout:
        space, reason = theirs, "the weights to start from are of this space"
    named = settings.recipe is not None
    events(
        SpaceChosen(
            space=space.name,
            reason=reason,
            recipe=settings.recipe or choice.recipe.name,
            recipe_reason="" if named else choice.recipe_reason,
        )
    )
    return space


def recipe_for(info: DataInfo, ranks: Ranks, settings: TrainSettings) -> Recipe:
    """The recipe that is named, or the one that suits the data set and the machine.

    Args:
        info: Size of the data set.
        ranks: The processes that train together.
        settings: Settings of the flow.
    """
    if settings.recipe is not None:
        return RECIPES[settings.recipe]
    return choose_recipe(info, gpus(ranks))[0]


def advise(images: ImageData, source: StartSource | None, events: EventHandler) -> None:
    """Say so if the data set has too few photographs to train from initial weights.

    Args:
        images: The opened data set.
        source: Weights to start from.
        events: Receives a `Notice`.

    Raises:
        DataError: An image cannot be decoded.
    """
    advice = few_photographs(images) if source is None else None
    if advice is not None:
        events(Notice(text=advice, warning=True))


def gpus(ranks: Ranks) -> int:
    """Number of accelerators that train together."""
    return ranks.count if ranks.device.type == "cuda" else 0
