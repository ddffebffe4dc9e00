"""Trains a supernet: the loop, its checkpoints and its watch over the loss.

A run is a folder. Killed at any instant it goes on from its last checkpoint, and ends with
the weights that it would have had: every batch and every draw depends on the seed and the
step alone, and the state of everything else is in the checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from timm.utils.agc import adaptive_clip_grad
from torch import Tensor

from elasticvit.errors import DataError
from elasticvit.events import EventHandler, Notice, ignore
from elasticvit.nn import Supernet
from elasticvit.nn.weights import check_weights
from elasticvit.training.checkpoint import (
    CHECKPOINT_FORMAT,
    Checkpoint,
    TrainerState,
    check_same_run,
)
from elasticvit.training.config import TrainConfig
from elasticvit.training.data import ImageData
from elasticvit.training.events import TrainProgress
from elasticvit.training.interrupts import interrupts
from elasticvit.training.log import TrainingLog
from elasticvit.training.losses import AlphaDivergence
from elasticvit.training.optimiser_state import OptimiserState
from elasticvit.training.ranks import Ranks
from elasticvit.training.run_info import CHECKPOINT_FILE, RunInfo
from elasticvit.training.sampler import Draw, Sampler
from elasticvit.training.start import check_memory, initialise, parameter_groups
from elasticvit.training.step import StepLosses, mixed, run_step
from elasticvit.training.stopwatch import StepTimes, Stopwatch
from elasticvit.training.watch import LossWatch

CHECKPOINT_S = 20.0  # at most this much work is lost
CHECKPOINT_SHARE = 0.03  # of the time may go into writing them
WARMUP_START = 0.01  # of the learning rate


class Observer(Protocol):
    """Looks at a training after every step, on the rank that writes, before a checkpoint of it.

    It changes nothing that training depends on: weights, statistics, gradients, optimiser and
    random generators are afterwards as they were. What it raises ends the training, after a
    checkpoint.
    """

    def after_step(self, trainer: Trainer, times: StepTimes) -> None: ...


class Trainer:
    """One training run.

    Args:
        info: What the run is, with its settings.
        data: The opened data set.
        sampler: Chooses the subnets of each step.
        ranks: This process among those that train together; by default it is alone.

    Raises:
        SpaceError: The supernet needs more memory than there is.
    """

    def __init__(
        self,
        info: RunInfo,
        data: ImageData,
        sampler: Sampler,
        ranks: Ranks | None = None,
    ) -> None:
        self.info, self.data, self.sampler = info, data, sampler
        self.config: TrainConfig = info.settings
        config = self.config
        self.ranks = ranks or Ranks()
        check_memory(info.space, info.options)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(info.seed)
            supernet = initialise(Supernet(info.space, info.options))
        supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.supernet = supernet.to(self.ranks.device).train()
        resolutions = info.space.choices[0]
        self.loader = data.loader(
            "train",
            resolution=max(resolutions),
            batch_size=config.batch_size,
            augment=config.augment,
            shuffle=True,
            seed=info.seed,
            drop_last=True,
            shard=(self.ranks.rank, self.ranks.count),
        )
        self.steps = config.epochs * len(self.loader)
        self.optimiser = torch.optim.AdamW(
            parameter_groups(self.supernet, config.weight_decay), lr=config.lr, fused=True
        )
        self.schedule = CosineLRScheduler(
            self.optimiser,
            t_initial=self.steps,
            lr_min=config.min_lr,
            warmup_t=max(1, round(config.warmup_share * self.steps)),
            warmup_lr_init=WARMUP_START * config.lr,
            warmup_prefix=False,
            t_in_epochs=False,
        )
        decay = min(config.ema_limit, 1 - 1 / max(2.0, config.ema_share * self.steps))
        self.ema = ModelEmaV3(self.supernet, decay=decay, use_warmup=True)
        self.divergence = AlphaDivergence()
        self.watch = LossWatch(info.space.layout.classes, self.steps)
        self.clock = Stopwatch()
        self.step = 0

    def step_at(self, batch: tuple[Tensor, Tensor], draw: Draw) -> StepLosses:
        """One whole step with the subnets of a draw; everything but `step` moves on.

        Args:
            batch: Images (B, 3, R, R), normalised, and labels (B,).
            draw: The subnets.

        Raises:
            TrainingError: A loss is not a number; the weights are as they were.
        """
        images, labels = batch
        device = self.ranks.device
        images = images.to(device, memory_format=torch.channels_last)
        labels, soft = labels.to(device), None
        if self.config.mixup > 0:
            rng = np.random.default_rng([self.info.seed, self.step])
            classes = self.info.space.layout.classes
            images, soft = mixed(images, labels, classes, self.config.mixup, rng)
        self.schedule.step_update(self.step)
        self.optimiser.zero_grad(set_to_none=True)
        losses = run_step(
            self.supernet,
            images,
            labels,
            draw,
            smoothing=self.config.smoothing,
            divergence=self.divergence,
            soft_labels=soft,
        ).averaged(self.ranks)
        self.ranks.average_gradients(self.supernet.parameters())
        self.clock.lap("compute")
        self.watch.check_finite(self.step, losses)
        adaptive_clip_grad(self.supernet.parameters(), self.config.clip_factor)
        self.optimiser.step()
        self.ema.update(self.supernet, step=self.step)
        self.clock.lap("update")
        return losses

    def run(
        self, run: Path, events: EventHandler = ignore, observers: Sequence[Observer] = ()
    ) -> None:
        """Train to the end in a run's folder, going on where its checkpoint stands.

        What the event handler raises ends the training; the step is finished and saved then.

        Args:
            run: Folder of the run.
            events: Called after every step with a `TrainProgress`, and with warnings.
            observers: Look at the trainer after every step, on the rank that writes.

        Raises:
            CheckpointError: The folder's checkpoint cannot be read, or belongs to another run.
            DataError: An image cannot be read; the steps before are saved.
            FileError: The run's folder cannot be written to; the last checkpoint is kept.
            TrainingError: The loss is no longer a number; the last checkpoint is kept.
            KeyboardInterrupt: Ctrl-C; the step is finished and saved.
        """
        self.resume(run)
        log = None
        if self.ranks.writes:
            log = TrainingLog(run, self.sampler.levels, self.step, self.config.batch_size)
        self.clock.restart()
        saved_s, write_s = time.monotonic(), 0.0
        with interrupts() as interrupted:
            for epoch, batch in self._batches(run):
                self.clock.lap("data")
                draw = self.sampler.draw()
                losses = self.step_at(batch, draw)
                self.step += 1
                warning = self.watch.look(self.step, losses)
                times, lr = self.clock.take(), self.optimiser.param_groups[0]["lr"]
                if log is not None:
                    log.add(self.step, epoch, lr, losses, times, draw)
                try:
                    if warning is not None:
                        events(Notice(text=warning, warning=True))
                    events(
                        TrainProgress(done=self.step, total=self.steps, epoch=epoch, losses=losses)
                    )
                    self.clock.lap()
                    for observer in observers if log is not None else ():
                        observer.after_step(self, times)
                    self.clock.lap("judging")
                except BaseException:
                    self.save(run)
                    raise
                stop = self.ranks.any(interrupted())
                wait_s = max(CHECKPOINT_S, write_s / CHECKPOINT_SHARE)
                if stop or self.step == self.steps or time.monotonic() - saved_s > wait_s:
                    started_s = time.monotonic()
                    self.save(run)
                    saved_s = time.monotonic()
                    write_s = saved_s - started_s
                    self.clock.lap("checkpoint")
                if stop:
                    raise KeyboardInterrupt

    def _batches(self, run: Path) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
        """The batches that are left, with their epochs; the steps that were done are saved if an
        image cannot be read."""
        started = self.step
        first, done = divmod(self.step, len(self.loader))
        try:
            for epoch in range(first, self.config.epochs):
                for batch in self.loader.epoch(epoch, done if epoch == first else 0):
                    yield epoch, batch
        except DataError:
            if self.step > started:
                self.save(run)
            raise

    def save(self, run: Path) -> None:
        """Write the checkpoint into a run's folder; only rank 0 does."""
        if not self.ranks.writes:
            return
        Checkpoint(
            info=self.info,
            step=self.step,
            weights=_on_cpu(self.supernet.state_dict()),
            ema=_on_cpu(self.ema.module.state_dict()),
            optimiser=OptimiserState.of(self.optimiser),
            sampler=self.sampler.state(),
            trainer=TrainerState(watch=self.watch.state(), torch_rng=torch.get_rng_state()),
        ).save(run)

    def resume(self, run: Path) -> bool:
        """Take up the folder's checkpoint; False if it has none yet.

        Args:
            run: Folder of the run.

        Raises:
            CheckpointError: The checkpoint cannot be read, belongs to a run with other settings,
                or lacks something.
        """
        if not (run / CHECKPOINT_FILE).exists():
            return False
        checkpoint, path = Checkpoint.load(run), run / CHECKPOINT_FILE
        check_same_run(checkpoint, self.info, path)
        if checkpoint.step > self.steps:
            raise CHECKPOINT_FORMAT.failure(
                f"{path}: step is {checkpoint.step}; the run has {self.steps} steps"
            )
        ema, optimiser, sampler, trainer = checkpoint.parts(path)
        expected = self.supernet.state_dict()
        check_weights(checkpoint.weights, expected, f"{path}: weights", CHECKPOINT_FORMAT)
        check_weights(ema, expected, f"{path}: ema", CHECKPOINT_FORMAT)
        optimiser.restore(self.optimiser, checkpoint.step, f"{path}: optimiser", CHECKPOINT_FORMAT)
        self.sampler.restore(sampler)
        self.watch.restore(trainer.watch)
        try:
            torch.set_rng_state(trainer.torch_rng)
        except (RuntimeError, TypeError) as error:
            raise CHECKPOINT_FORMAT.failure(
                f"{path}: trainer.torch_rng is no state of torch's random generator"
            ) from error
        self.supernet.load_state_dict(checkpoint.weights)
        self.ema.module.load_state_dict(ema)
        self.step = checkpoint.step
        return True

    @property
    def averaged(self) -> Supernet:
        """The supernet with the moving average of the weights."""
        module: Supernet = self.ema.module
        return module


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A network's state with every tensor in the memory of the CPU."""
    return {name: tensor.detach().cpu() for name, tensor in state.items()}
