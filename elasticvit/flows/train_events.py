"""What the train flow reports, besides notices, in the order in which it happens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.events import Event
from elasticvit.training.events import PanelJudged, TrainProgress

if TYPE_CHECKING:
    from elasticvit.training.forecast import Forecast

__all__ = [
    "PanelJudged",
    "RunFound",
    "SpaceChosen",
    "TrainProgress",
    "TrainingForecast",
    "TrainingPlanned",
]


@dataclass(frozen=True, kw_only=True)
class SpaceChosen(Event):
    """No space was named, and none is remembered: one was chosen for the data set and the machine.

    Attributes:
        space: Name of the search space.
        reason: Why this space, in a phrase.
        recipe: Name of the recipe.
        recipe_reason: Why this recipe, in a phrase; empty if it was named.
    """

    space: str
    reason: str
    recipe: str
    recipe_reason: str


@dataclass(frozen=True, kw_only=True)
class RunFound(Event):
    """There is a run with the same settings: it is resumed, or its result is returned.

    Attributes:
        folder: Folder of the run.
        finished: Whether it has trained to the end.
    """

    folder: Path
    finished: bool


@dataclass(frozen=True, kw_only=True)
class TrainingPlanned(Event):
    """What will be trained on what.

    Attributes:
        folder: Folder of the run.
        space: Name of the search space.
        data: Name of the data set.
        classes: Number of classes.
        train_images: Number of images that are trained on.
        search_images: Number of images that are held out to choose architectures by.
        test_images: Number of images that are held out for the final figure.
        epochs: Number of passes over the training part.
        batch_size: Images a step.
        seed: Random seed.
        levels: Lower edges of the complexity levels, rising.
        unit: Unit of the complexity levels, `MMACs` or `ms`.
        subnets: Number of sampled subnets a step.
        level_bias: How much more often cheap levels are visited (`walk.visits`).
        grow: Share of the steps after which all levels are in.
        recipe: Name of the recipe.
        steps: Number of steps.
        first_steps: Number of them in which one subnet is trained alone.
    """

    folder: Path
    space: str
    data: str
    classes: int
    train_images: int
    search_images: int
    test_images: int
    epochs: int
    batch_size: int
    seed: int
    levels: tuple[float, ...]
    unit: str
    subnets: int
    level_bias: float
    grow: float
    recipe: str
    steps: int
    first_steps: int


@dataclass(frozen=True, kw_only=True)
class TrainingForecast(Event):
    """How long the training will take on this machine: first expected from short passes at the
    lowest complexity level, then again as steps at other levels are taken.

    Attributes:
        forecast: Seconds a step, in all and at single complexity levels.
        done: Number of steps that are done.
    """

    forecast: Forecast
    done: int

    @property
    def remaining_s(self) -> float:
        """Expected seconds of the steps that are left."""
        return self.forecast.total_s(self.done)
