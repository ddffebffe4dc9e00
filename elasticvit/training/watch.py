"""Watches the loss of a supernet, so that a collapse is reported at once and not hours later."""

from __future__ import annotations

import math

import msgspec

from elasticvit.reading import NotNegative
from elasticvit.training.step import StepLosses

LOOK_AFTER = 0.25  # share of the steps after which a loss at chance is no longer normal
CHANCE_MARGIN = 0.98  # a loss above this share of chance is at chance
SMOOTHING = 0.95
SPAN = 1 / (1 - SMOOTHING)  # steps; up to twice as many the running mean is still of the first ones
LEARNT = 0.9  # a running mean below this share of chance has learnt something
WORST = 2.0  # times chance, what a single step can add at most: one bad batch is no divergence
FAR = 1.5  # times chance, where a loss that never fell has diverged
HEALTHY = 0.5  # of the way from the lowest running mean to chance


class WatchState(msgspec.Struct, frozen=True, kw_only=True):
    """What a loss watch has seen so far, as checkpoints hold it.

    Attributes:
        mean: Running mean of the loss; None before the first step.
        warned: Whether it has warned.
        first: Loss of the first step; None if not known.
        lowest: Lowest running mean; None if not known.
        trend: Running mean in which no step counts for more than a little above chance; None if
            not known.
    """

    mean: NotNegative | None
    warned: bool
    first: NotNegative | None = None
    lowest: NotNegative | None = None
    trend: NotNegative | None = None


class LossWatch:
    """Tells when a training has failed.

    Whatever the targets are, the cross entropy of guessing is log(classes), which is about what a
    training starts with.

    Args:
        classes: Number of classes.
        steps: Number of steps of the whole run.
    """

    def __init__(self, classes: int, steps: int) -> None:
        self.chance, self.steps = math.log(classes), steps
        self.mean: float | None = None
        self.warned = False
        self.first: float | None = None
        self.lowest: float | None = None
        self.trend: float | None = None

    def not_finite(self, losses: StepLosses) -> str | None:
        """What is wrong with a step whose losses are not all numbers, to be asked before the
        weights are changed by it; None if they are."""
        if math.isfinite(losses.sampled) and math.isfinite(losses.smallest):
            return None if math.isfinite(losses.gradient) else "a gradient is not a number"
        return (
            f"the loss is not a number (sampled {losses.sampled:g}, smallest {losses.smallest:g})"
        )

    def look(self, step: int, losses: StepLosses) -> str | None:
        """Take note of a step's losses; a warning, given once, if the loss has stayed at that of
        guessing for too long."""
        self.mean = _moved(self.mean, losses.sampled)
        self.trend = _moved(self.trend, min(losses.sampled, WORST * self.chance))
        self.first = losses.sampled if self.first is None else self.first
        self.lowest = self.trend if self.lowest is None else min(self.lowest, self.trend)
        late = step >= LOOK_AFTER * self.steps and step >= max(SPAN, min(2 * SPAN, self.steps))
        if self.warned or not late or self.mean < CHANCE_MARGIN * self.chance:
            return None
        self.warned = True
        return (
            f"after {step} of {self.steps} steps the loss is {self.mean:.2f}, no better than "
            f"guessing ({self.chance:.2f}): the supernet does not learn. Try a lower learning "
            "rate, more epochs or a smaller batch size"
        )

    @property
    def risen(self) -> str | None:
        """What is wrong if the loss has risen beyond where it began; None if it has not.

        It has if its running mean was below that of guessing and is above it again, or never
        fell and is far above both that of guessing and the first one.
        """
        if self.trend is None or self.lowest is None or self.first is None:
            return None
        learnt = self.lowest < LEARNT * self.chance
        limit = self.chance if learnt else FAR * max(self.chance, min(self.first, self.chance * 2))
        if self.trend <= limit:
            return None
        return (
            f"the running mean of the loss has risen to {self.trend:.2f}, from {self.lowest:.2f} "
            f"at its lowest; that of guessing is {self.chance:.2f}"
        )

    @property
    def healthy(self) -> bool:
        """Whether the weights are worth going on from: the loss has not risen much again."""
        if self.trend is None or self.lowest is None or self.lowest >= LEARNT * self.chance:
            return self.risen is None
        return self.trend <= self.lowest + HEALTHY * (self.chance - self.lowest)

    def state(self) -> WatchState:
        """What the watch has seen so far."""
        return WatchState(
            mean=self.mean,
            warned=self.warned,
            first=self.first,
            lowest=self.lowest,
            trend=self.trend,
        )

    def restore(self, state: WatchState) -> None:
        """Go on from a state."""
        self.mean, self.warned = state.mean, state.warned
        self.first, self.lowest, self.trend = state.first, state.lowest, state.trend


def _moved(mean: float | None, value: float) -> float:
    """A running mean after one more value."""
    return value if mean is None else SMOOTHING * mean + (1 - SMOOTHING) * value
