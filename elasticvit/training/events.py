"""What a training reports while it runs. This module does not load torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elasticvit.events import Event, Progress

if TYPE_CHECKING:
    from elasticvit.training.panel_result import PanelResult
    from elasticvit.training.step import StepLosses


@dataclass(frozen=True, kw_only=True)
class TrainProgress(Progress):
    """A training step is done; `done` and `total` count steps.

    Attributes:
        epoch: Index of the current epoch, from 0.
        losses: Losses of this step.
        step_s: Seconds that the step took; the mean over the steps that are reported together.
    """

    epoch: int
    losses: StepLosses
    step_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PanelJudged(Event):
    """The subnets of the panel were judged on held-out images.

    Attributes:
        result: Their accuracies; `result.mean` is the score of the supernet.
        total: Number of steps of the whole run.
    """

    result: PanelResult
    total: int
