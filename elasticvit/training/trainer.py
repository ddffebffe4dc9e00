"""Trains a supernet: the loop, its checkpoints and its watch over the loss.

A run is a folder. Killed at any instant it goes on from its last checkpoint, and ends with
the weights that it would have had: every batch and every draw depends on the seed and the
step alone, and the state of everything else is in the checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from timm.utils.agc import adaptive_clip_grad
from torch import Tensor

from elasticvit.errors import DataError, TrainingError
from elasticvit.events import EventHandler, Notice, ignore
from elasticvit.nn import Supernet
from elasticvit.nn.weights import check_weights
from elasticvit.training.checkpoint import Checkpoint, check_same_run
from elasticvit.training.checkpoint_file import CHECKPOINT_FORMAT, TrainerState
from elasticvit.training.checkpoint_store import CheckpointStore
from elasticvit.training.config import TrainConfig
from elasticvit.training.data import ImageData
from elasticvit.training.divergence import LastGood, diverged, gradient_norm
from elasticvit.training.events import TrainProgress
from elasticvit.training.interrupts import interrupts
from elasticvit.training.log import TrainingLog
from elasticvit.training.losses import AlphaDivergence
from elasticvit.training.optimiser_state import OptimiserState
from elasticvit.training.policy import Policy
from elasticvit.training.ranks import Ranks
from elasticvit.training.run_info import RunInfo, has_checkpoint
from elasticvit.training.sampler import Draw, Sampler
from elasticvit.training.start import check_memory, initialise, parameter_groups
from elasticvit.training.step import StepLosses, mixed, run_step
from elasticvit.training.watch import LossWatch

CHECKPOINT_S = 20.0  # at most this much work is lost
CHECKPOINT_SHARE = 0.03  # of the time may go into writing them
WARMUP_START = 0.01  # of the learning rate


class Trainer:
    """One training run.

    Args:
        info: What the run is, with its settings.
        data: The opened data set.
        sampler: Chooses the subnets of each step.
        ranks: This process among those that train together; by default it is alone.
        policy: How the run is saved and gone on with.

    Raises:
        SpaceError: The supernet needs more memory than there is.
    """

    def __init__(
        self,
        info: RunInfo,
        data: ImageData,
        sampler: Sampler,
        ranks: Ranks | None = None,
        policy: Policy | None = None,
    ) -> None:
        self.policy = policy or Policy()
        self.run_folder: Path | None = None  # once it is known
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
        self.step = 0
        self.scale_lr(self.policy.lr_scale or 1.0)

    def scale_lr(self, factor: float) -> None:
        """Multiply the learning rates of the schedule by a factor from now on."""
        self.lr_scale = factor
        for group in self.optimiser.param_groups:
            group["lr_scale"] = factor  # timm's schedules multiply by it

    def step_at(self, batch: tuple[Tensor, Tensor], draw: Draw) -> StepLosses:
        """One whole step with the subnets of a draw; everything but `step` moves on.

        Args:
            batch: Images (B, 3, R, R), normalised, and labels (B,).
            draw: The subnets.

        Raises:
            TrainingError: A loss or a gradient is not a number; the weights are as they were.
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
        self._check_finite(losses, draw)
        adaptive_clip_grad(self.supernet.parameters(), self.config.clip_factor)
        self.optimiser.step()
        self.ema.update(self.supernet, step=self.step)
        return losses

    def _check_finite(self, losses: StepLosses, draw: Draw) -> None:
        """Refuse losses and gradients that are not numbers, before they change the weights."""
        found = self.watch.not_finite(losses)
        if found is None and not torch.isfinite(gradient_norm(self.supernet.parameters())):
            found = "a gradient is not a number"
        if found is not None:
            raise self._diverged(found, draw)

    def _diverged(self, found: str, draw: Draw) -> TrainingError:
        last = None if self.run_folder is None else LastGood.of(self.run_folder)
        return diverged(found, self.step, draw, self.sampler.levels, last)

    def run(self, run: Path, events: EventHandler = ignore) -> None:
        """Train to the end in a run's folder, going on where its checkpoint stands.

        What the event handler raises ends the training; the step is finished and saved then.

        Args:
            run: Folder of the run.
            events: Called after every step with a `TrainProgress`, and with warnings.

        Raises:
            CheckpointError: The folder's checkpoint cannot be read, or belongs to another run.
            DataError: An image cannot be read; the steps before are saved.
            FileError: The run's folder cannot be written to; the last checkpoint is kept.
            TrainingError: The loss is no longer a number, or has risen beyond where it began; the
                last good checkpoint is named.
            KeyboardInterrupt: Ctrl-C; the step is finished and saved.
        """
        self.resume(run)
        if self.policy.resume_from is not None and self.ranks.writes:
            CheckpointStore(run).drop_after(self.step)
        log = TrainingLog(run, self.sampler.levels, self.step) if self.ranks.writes else None
        saved_s, write_s = time.monotonic(), 0.0
        with interrupts() as interrupted:
            for epoch, batch in self._batches(run):
                draw = self.sampler.draw()
                losses = self.step_at(batch, draw)
                warning = self.watch.look(self.step + 1, losses)
                if self.watch.risen is not None:
                    raise self._diverged(self.watch.risen, draw)
                self.step += 1
                if log is not None:
                    log.add(self.step, epoch, self.optimiser.param_groups[0]["lr"], losses)
                try:
                    if warning is not None:
                        events(Notice(text=warning, warning=True))
                    events(
                        TrainProgress(done=self.step, total=self.steps, epoch=epoch, losses=losses)
                    )
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
            trainer=TrainerState(
                watch=self.watch.state(),
                torch_rng=torch.get_rng_state(),
                lr_scale=self.lr_scale,
                unreadable=self.data.train.unreadable.indices,
            ),
        ).save(run, keep=self.policy.keep, good=self.watch.healthy)

    def judged(self, run: Path, score: float) -> bool:
        """Keep the present weights as the best ones of the run if no earlier ones were judged to
        be as good; whether they are.

        Args:
            run: Folder of the run.
            score: Mean accuracy of a few subnets.

        Raises:
            FileError: The checkpoint cannot be written; the earlier ones stay.
        """
        store = CheckpointStore(run, self.policy.keep)
        if not self.ranks.writes or not store.is_best(score):
            return False
        if self.step not in store.steps():
            self.save(run)
        return store.mark_best(self.step, score)

    def resume(self, run: Path) -> bool:
        """Take up the folder's latest checkpoint, or the one that the policy names; False if it
        has none yet.

        Args:
            run: Folder of the run.

        Raises:
            CheckpointError: The checkpoint cannot be read, belongs to a run with other settings,
                or lacks something.
        """
        self.run_folder = run
        if not has_checkpoint(run):
            return False
        checkpoint = Checkpoint.load(run, step=self.policy.resume_from)
        path = checkpoint.path
        check_same_run(checkpoint, self.info)
        if checkpoint.step > self.steps:
            raise CHECKPOINT_FORMAT.failure(
                f"{path}: step is {checkpoint.step}; the run has {self.steps} steps"
            )
        ema, optimiser, sampler, trainer = checkpoint.parts()
        expected = self.supernet.state_dict()
        check_weights(checkpoint.weights, expected, f"{path}: weights", CHECKPOINT_FORMAT)
        check_weights(ema, expected, f"{path}: ema", CHECKPOINT_FORMAT)
        optimiser.restore(self.optimiser, checkpoint.step, f"{path}: optimiser", CHECKPOINT_FORMAT)
        self.sampler.restore(sampler)
        self.watch.restore(trainer.watch)
        self.scale_lr(self.policy.lr_scale or trainer.lr_scale)
        self.data.train.unreadable.add(trainer.unreadable)
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
