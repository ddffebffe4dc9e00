"""The loop over the steps of a training: what is told and looked at, and when it is saved."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from elasticvit.errors import DataError
from elasticvit.events import Event, EventHandler, ignore
from elasticvit.training.batch import Batch
from elasticvit.training.checkpoint_store import CheckpointStore
from elasticvit.training.decoded_batches import lost_workers
from elasticvit.training.interrupts import interrupts
from elasticvit.training.log import TrainingLog
from elasticvit.training.loss_buffer import LossBuffer, Step
from elasticvit.training.stopwatch import StepTimes

if TYPE_CHECKING:
    from elasticvit.training.trainer import Trainer

CHECKPOINT_S = 20.0  # at most this much work is lost
CHECKPOINT_SHARE = 0.03  # of the time may go into writing them


class Observer(Protocol):
    """Looks at a training after every step, on the rank that writes, before a checkpoint of it.

    It changes nothing that training depends on: weights, statistics, gradients, optimiser and
    random generators are afterwards as they were. What it raises ends the training, after a
    checkpoint.
    """

    def after_step(self, trainer: Trainer, times: StepTimes) -> None: ...


def run_training(
    trainer: Trainer,
    run: Path,
    events: EventHandler = ignore,
    observers: Sequence[Observer] = (),
) -> None:
    """Train to the end in a run's folder, going on where its checkpoint stands.

    What the event handler raises ends the training; the step is finished and saved then.

    Args:
        trainer: Does the steps.
        run: Folder of the run.
        events: Called after every step with a `TrainProgress`, and with warnings.
        observers: Look at the trainer after every step, on the rank that writes.

    Raises:
        CheckpointError: The folder's checkpoint cannot be read, or belongs to another run.
        DataError: An image cannot be read; the steps before are saved. Or a process that
            decodes images was lost; the last checkpoint is kept.
        FileError: The run's folder cannot be written to; the last checkpoint is kept.
        TrainingError: The loss is no longer a number, or another process is gone; the last
            checkpoint is kept.
        KeyboardInterrupt: Ctrl-C; the step is finished and saved.
    """
    trainer.resume(run)
    if trainer.policy.resume_from is not None and trainer.ranks.writes:
        CheckpointStore(run).drop_after(trainer.step)
    _Loop(trainer, run, events, observers).run()


class _Loop:
    """The steps that are left of a training; arguments as of `run_training`."""

    def __init__(
        self, trainer: Trainer, run: Path, events: EventHandler, observers: Sequence[Observer]
    ) -> None:
        self.trainer, self.folder, self.events = trainer, run, events
        self.observers = observers if trainer.ranks.writes else ()
        log = None
        if trainer.ranks.writes:
            levels, size = trainer.sampler.levels, trainer.config.batch_size
            log = TrainingLog(run, levels, trainer.step, size)
        self.pending = LossBuffer(
            trainer.steps, trainer.watch, log, trainer.ranks, trainer.diverged
        )
        self.saved_s, self.write_s = time.monotonic(), 0.0

    def run(self) -> None:
        trainer = self.trainer
        trainer.clock.restart()
        with interrupts() as interrupted, lost_workers():
            for epoch, batch in self._batches():
                done = self._step(epoch, batch)
                read = self.pending.add(done)
                self._report(self.pending.read() if read else [])
                self._observe(done.times)
                if not read:
                    continue
                stop = trainer.ranks.any(interrupted())
                if stop or trainer.step == trainer.steps or self._is_due():
                    self._save()
                if stop:
                    raise KeyboardInterrupt

    def _step(self, epoch: int, batch: Batch) -> Step:
        trainer = self.trainer
        trainer.clock.lap("data")
        draw = trainer.draw()
        values = trainer.step_at(batch, draw)
        trainer.step += 1
        return Step(
            step=trainer.step,
            epoch=epoch,
            lr=trainer.optimiser.param_groups[0]["lr"],
            values=values,
            draw=draw,
            times=trainer.clock.take(),
        )

    def _is_due(self) -> bool:
        """Whether so much work is not saved that a checkpoint is worth its time."""
        wait_s = max(CHECKPOINT_S, self.write_s / CHECKPOINT_SHARE)
        return time.monotonic() - self.saved_s > wait_s

    def _save(self) -> None:
        started_s = time.monotonic()
        self.trainer.save(self.folder)
        self.saved_s = time.monotonic()
        self.write_s = self.saved_s - started_s
        self.trainer.clock.lap("checkpoint")

    def _report(self, reports: list[Event]) -> None:
        """Call the handler with what was read; the steps are saved if it raises."""
        try:
            for report in reports:
                self.events(report)
        except BaseException:
            self.trainer.save(self.folder)
            raise

    def _observe(self, times: StepTimes) -> None:
        """Let the observers look; the steps are saved if one raises."""
        self.trainer.clock.lap()
        try:
            for observer in self.observers:
                observer.after_step(self.trainer, times)
        except BaseException:
            self.trainer.save(self.folder)
            raise
        self.trainer.clock.lap("judging")

    def _batches(self) -> Iterator[tuple[int, Batch]]:
        """The batches that are left, with their epochs; the steps that were done are saved if an
        image cannot be read."""
        trainer = self.trainer
        started = trainer.step
        first, done = divmod(started, len(trainer.loader))
        try:
            for epoch in range(first, trainer.config.epochs):
                for batch in trainer.loader.batches(epoch, done if epoch == first else 0):
                    yield epoch, batch
        except DataError:
            if trainer.step > started:
                self._report(self.pending.read())
                trainer.save(self.folder)
            raise
