"""Losses of the last steps, kept on the device and read together.

To read one number of a GPU means to wait until it has done all that was asked of it; a step
that is read for each of its numbers leaves it idle in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from elasticvit.errors import TrainingError
from elasticvit.events import Event, Notice
from elasticvit.training.events import TrainProgress
from elasticvit.training.log import TrainingLog
from elasticvit.training.ranks import Ranks
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.step import StepValues
from elasticvit.training.stopwatch import StepTimes
from elasticvit.training.watch import LossWatch

STEPS = 10  # that are read together on a GPU
PATIENCE_S = 2.0  # without a sign of life


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that is done and not read.

    Attributes:
        step: Number of steps done with this one.
        epoch: Index of the epoch.
        lr: Learning rate of the step.
        values: Its losses.
        draw: Its subnets.
        times: Where its time went.
    """

    step: int
    epoch: int
    lr: float
    values: StepValues
    draw: Draw
    times: StepTimes


Diverged = Callable[[str, int, Draw], TrainingError]


class LossBuffer:
    """Collects steps until they are to be read; on the CPU that is after each.

    Args:
        steps: Number of steps of the whole run.
        watch: Looks at every loss that is read.
        log: Gets a row for every step that is read; None on ranks that do not write.
        ranks: This process among those that train together. All read after the same steps.
        diverged: Makes the error of a training that diverged from what was found, the index of the
            step and its subnets.
    """

    def __init__(
        self,
        steps: int,
        watch: LossWatch,
        log: TrainingLog | None,
        ranks: Ranks,
        diverged: Diverged,
    ) -> None:
        self.steps, self.watch, self.log, self.diverged = steps, watch, log, diverged
        self.size = 1 if ranks.device.type == "cpu" else STEPS
        self.patience_s = PATIENCE_S if ranks.count == 1 else float("inf")
        self._kept: list[Step] = []
        self._read_s = time.monotonic()

    def add(self, step: Step) -> bool:
        """Keep a step; whether it is time to read."""
        self._kept.append(step)
        late = time.monotonic() - self._read_s > self.patience_s
        return len(self._kept) >= self.size or step.step == self.steps or late

    def read(self) -> list[Event]:
        """Read, check and log the steps that were kept.

        Returns:
            A `TrainProgress` for each, and warnings.

        Raises:
            TrainingError: A loss or a gradient is not a number, or the loss has risen beyond where
                it began; steps before that one are logged.
            FileError: The log cannot be written.
        """
        kept, self._kept = self._kept, []
        if not kept:
            return []
        numbers = torch.stack([step.values.values for step in kept]).tolist()
        now_s = time.monotonic()
        step_s, self._read_s = (now_s - self._read_s) / len(kept), now_s
        events: list[Event] = []
        for done, row in zip(kept, numbers, strict=True):
            losses = done.values.losses(row)
            found = self.watch.not_finite(losses)
            warning = None if found else self.watch.look(done.step, losses)
            found = found or self.watch.risen
            if found is not None:
                raise self.diverged(found, done.step - 1, done.draw)
            if self.log is not None:
                self.log.add(done.step, done.epoch, done.lr, losses, done.times, done.draw)
            if warning is not None:
                events.append(Notice(text=warning, warning=True))
            events.append(
                TrainProgress(
                    done=done.step,
                    total=self.steps,
                    epoch=done.epoch,
                    losses=losses,
                    step_s=step_s,
                )
            )
        return events
