"""Watches the loss of a supernet, so that a collapse is reported at once and not hours later."""

from __future__ import annotations

import math

import msgspec

from elasticvit.errors import NextStep, TrainingError
from elasticvit.reading import NotNegative
from elasticvit.training.step import StepLosses

LOOK_AFTER = 0.25  # share of the steps after which a loss at chance is no longer normal
CHANCE_MARGIN = 0.98  # a loss above this share of chance is at chance
SMOOTHING = 0.95


class WatchState(msgspec.Struct, frozen=True, kw_only=True):
    """What a loss watch has seen so far, as checkpoints hold it.

    Attributes:
        mean: Running mean of the loss; None before the first step.
        warned: Whether it has warned.
    """

    mean: NotNegative | None
    warned: bool


class LossWatch:
    """Tells when a training has failed.

    Args:
        classes: Number of classes; the loss of guessing is log(classes).
        steps: Number of steps of the whole run.
    """

    def __init__(self, classes: int, steps: int) -> None:
        self.chance, self.steps = math.log(classes), steps
        self.mean: float | None = None
        self.warned = False

    def check_finite(self, step: int, losses: StepLosses) -> None:
        """Refuse a loss that is not a number, before the weights are changed by it.

        Raises:
            TrainingError: A loss is not a number.
        """
        if not (math.isfinite(losses.sampled) and math.isfinite(losses.smallest)):
            raise TrainingError(
                f"the loss at step {step} (complexity level {losses.level}) is not a number "
                f"(sampled {losses.sampled}, smallest {losses.smallest}): training diverged; the "
                "last checkpoint is kept. Start a fresh training with a lower learning rate",
                settings=["lr", "fresh"],
                next_step=NextStep("train", {"fresh": True}),
            )

    def look(self, step: int, losses: StepLosses) -> str | None:
        """A warning, given once, if the loss has stayed at that of guessing for too long."""
        old = losses.sampled if self.mean is None else self.mean
        self.mean = SMOOTHING * old + (1 - SMOOTHING) * losses.sampled
        late = step >= LOOK_AFTER * self.steps and step >= 1 / (1 - SMOOTHING)
        if self.warned or not late or self.mean < CHANCE_MARGIN * self.chance:
            return None
        self.warned = True
        return (
            f"after {step} of {self.steps} steps the loss is {self.mean:.2f}, no better than "
            f"guessing ({self.chance:.2f}): the supernet does not learn. Try a lower learning "
            "rate, more epochs or a smaller batch size"
        )

    def state(self) -> WatchState:
        """What the watch has seen so far."""
        return WatchState(mean=self.mean, warned=self.warned)

    def restore(self, state: WatchState) -> None:
        """Go on from a state."""
        self.mean, self.warned = state.mean, state.warned
