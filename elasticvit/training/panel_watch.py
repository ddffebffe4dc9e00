"""Judges the panel every so often while a training runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from elasticvit.events import EventHandler
from elasticvit.training.events import PanelJudged
from elasticvit.training.panel_judge import PanelJudge
from elasticvit.training.panel_result import PanelLog

if TYPE_CHECKING:
    from elasticvit.training.stopwatch import StepTimes
    from elasticvit.training.trainer import Trainer

SHARE = 0.05  # of the training's time that judging may take
MOST = 60  # times in a training
CAUTION = 1.5  # a first judgement takes longer than its arithmetic says: it reads images


class JudgingSchedule:
    """When the panel is judged: every so many steps, or as often as a share of the time allows.

    The end of the training is left out; the panel is judged there in any case, with more images.

    Args:
        every: Number of steps; 0 for only at the end, None for as often as the time allows.
        steps: Number of steps of the whole run.
        steps_worth: How many steps a judgement is expected to last.
    """

    def __init__(self, every: int | None, steps: int, steps_worth: float) -> None:
        self.every, self.steps, self.steps_worth = every, steps, steps_worth
        self._trained_s = self._spent_s = 0.0
        self._judging_s: float | None = None
        self._seen = self._since = 0

    def due(self, step: int, step_s: float) -> bool:
        """Whether to judge now.

        Args:
            step: Number of steps done.
            step_s: Seconds of the last one.
        """
        self._trained_s += step_s
        self._seen += 1
        self._since += 1
        if step >= self.steps:
            return False
        if self.every is not None:
            return self.every > 0 and step % self.every == 0
        judging_s = self._judging_s
        if judging_s is None:
            judging_s = CAUTION * self.steps_worth * self._trained_s / self._seen
        affordable = self._spent_s + judging_s <= SHARE * self._trained_s
        return affordable and self._since >= self.steps / MOST

    def judged(self, seconds: float) -> None:
        """Take note of what a judgement took."""
        self._spent_s += seconds
        self._judging_s, self._since = seconds, 0


class PanelWatch:
    """Judges the panel with the moving average of the weights; an `Observer` of a trainer.

    Args:
        judge: Judges the panel.
        log: Table of what was judged.
        schedule: When to judge.
        events: Receives a `PanelJudged` each time; what its handler does counts as judging.
    """

    def __init__(
        self, judge: PanelJudge, log: PanelLog, schedule: JudgingSchedule, events: EventHandler
    ) -> None:
        self.judge, self.log, self.schedule, self.events = judge, log, schedule, events

    def after_step(self, trainer: Trainer, times: StepTimes) -> None:
        """Judge the panel if it is time to."""
        if not self.schedule.due(trainer.step, times.step_s):
            return
        started_s = time.perf_counter()
        result = self.judge(trainer.averaged, trainer.step, trainer.engine.threads)
        self.log.add(result)
        self.events(PanelJudged(result=result, total=trainer.steps))
        self.schedule.judged(time.perf_counter() - started_s)
