"""What trains a supernet: its parts, one step, and the checkpoints of a run.

A run is a folder. Killed at any instant it goes on from its last checkpoint, and ends with
the weights that it would have had: every batch and every draw depends on the seed and the
step alone, and the state of everything else is in the checkpoint. `loop` runs the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from elasticvit.errors import TrainingError
from elasticvit.nn import Supernet
from elasticvit.training.batch import Batch
from elasticvit.training.checkpoint import Checkpoint, check_same_run
from elasticvit.training.checkpoint_file import CHECKPOINT_FORMAT
from elasticvit.training.checkpoint_store import CheckpointStore
from elasticvit.training.config import TrainConfig
from elasticvit.training.data import ImageData
from elasticvit.training.divergence import LastGood, diverged
from elasticvit.training.first_subnet import FirstSubnet
from elasticvit.training.policy import Policy
from elasticvit.training.ranks import Ranks
from elasticvit.training.run_info import RunInfo, has_checkpoint
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.sampling.feedback import Feedback
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.soft_labels import SoftLabels
from elasticvit.training.start import (
    make_average,
    make_optimiser,
    make_schedule,
    make_supernet,
)
from elasticvit.training.step import StepValues
from elasticvit.training.step_engine import StepEngine
from elasticvit.training.stopwatch import Stopwatch
from elasticvit.training.targets import TargetMaker, Teacher
from elasticvit.training.trained import Trained
from elasticvit.training.watch import LossWatch


class Trainer:
    """One training run.

    Args:
        info: What the run is, with its settings.
        data: The opened data set.
        sampler: Chooses the subnets of each step.
        ranks: This process among those that train together; by default it is alone.
        workers: Number of processes that decode images, where they are not in memory.
        policy: How the run is saved and gone on with.
        teaching: What the run's teachers are asked through; None if it has none.
        start: Function that fills the fresh supernet with the weights that training starts from.
        first: The one subnet that is trained first.

    Raises:
        SpaceError: The supernet needs more memory than there is.
    """

    def __init__(
        self,
        info: RunInfo,
        data: ImageData,
        sampler: Sampler,
        ranks: Ranks | None = None,
        workers: int = 0,
        policy: Policy | None = None,
        teaching: Teacher | SoftLabels | None = None,
        start: Callable[[Supernet], None] | None = None,
        first: FirstSubnet | None = None,
    ) -> None:
        self.policy = policy or Policy()
        self.run_folder: Path | None = None  # once it is known
        self.info, self.data, self.sampler, self.first = info, data, sampler, first
        self.config: TrainConfig = info.settings
        config = self.config
        self.ranks = ranks or Ranks()
        supernet = make_supernet(info.space, info.options, info.seed)
        if start is not None:
            start(supernet)
        self.supernet = supernet.to(self.ranks.device).train()
        self.loader = data.loader(
            "train",
            resolution=max(info.space.choices[0]),
            batch_size=config.batch_size,
            augment=config.augment,
            shuffle=True,
            workers=workers,
            seed=info.seed,
            drop_last=True,
            shard=(self.ranks.rank, self.ranks.count),
            device=self.ranks.device,
            policy=config.rand_augment,
        )
        self.steps = config.epochs * len(self.loader)
        self.optimiser = make_optimiser(self.supernet, config)
        self.schedule = make_schedule(self.optimiser, config, self.steps)
        self.ema = make_average(self.supernet, config, self.steps)
        self.targets = TargetMaker(
            classes=info.space.layout.classes,
            smoothing=config.smoothing,
            distillation=config.distillation,
            source=teaching,
        )
        self.engine = StepEngine(
            self.supernet,
            self.optimiser,
            config,
            self.targets,
            seed=info.seed,
            ranks=self.ranks,
        )
        self.watch = LossWatch(info.space.layout.classes, self.steps)
        self.feedback = Feedback(
            sampler,
            self.supernet,
            self.ranks,
            epoch_steps=len(self.loader),
            batch_size=config.batch_size,
        )
        self.trained = Trained(
            supernet=self.supernet,
            ema=self.ema,
            optimiser=self.optimiser,
            sampler=sampler,
            watch=self.watch,
            precision=self.engine.precision,
            unreadable=data.train.unreadable,
        )
        self.clock = Stopwatch()
        self.step = 0
        self.scale_lr(self.policy.lr_scale or 1.0)

    def scale_lr(self, factor: float) -> None:
        """Multiply the learning rates of the schedule by a factor from now on."""
        self.lr_scale = factor
        for group in self.optimiser.param_groups:
            group["lr_scale"] = factor  # timm's schedules multiply by it

    def step_at(self, batch: Batch, draw: Draw) -> StepValues:
        """One whole step with the subnets of a draw; everything but `step` moves on.

        Args:
            batch: This rank's images.
            draw: The subnets.

        Returns:
            The losses. Where one or a gradient is not a number, the weights are as they were; who
            reads it ends the training.
        """
        self.schedule.step_update(self.step)
        values = self.engine.gradients(self.step, batch, draw)
        self.feedback.give(self.step, draw, values.plain, batch.images, batch.labels)
        self.clock.lap("compute")
        self.engine.update(values)
        self.ema.update(self.supernet, step=self.step)
        self.clock.lap("update")
        return values

    def draw(self) -> Draw:
        """The subnets of the next step; what a first subnet learnt is spread when it ends."""
        draw = None
        if self.first is not None:
            self.first.spread(self.step, self.supernet, self.ema, self.optimiser)
            draw = self.first.draw(self.step)
        return draw or self.sampler.draw(self.step / self.steps)

    def diverged(self, found: str, step: int, draw: Draw) -> TrainingError:
        """The error of a training whose losses are no numbers any more."""
        last = None if self.run_folder is None else LastGood.of(self.run_folder)
        return diverged(found, step, draw, self.sampler.levels, last)

    def save(self, run: Path) -> None:
        """Write the checkpoint into a run's folder; only rank 0 does."""
        if not self.ranks.writes:
            return
        now = self.trained.checkpoint(self.info, self.step, self.lr_scale)
        now.save(run, keep=self.policy.keep, good=self.watch.healthy)

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
            TrainingError: Not all ranks see the same folder.
        """
        self.run_folder = run
        found = has_checkpoint(run)
        self.ranks.check_same(found, f"there is a checkpoint in {run}")
        if not found:
            return False
        checkpoint = Checkpoint.load(run, step=self.policy.resume_from)
        check_same_run(checkpoint, self.info)
        if checkpoint.step > self.steps:
            raise CHECKPOINT_FORMAT.failure(
                f"{checkpoint.path}: step is {checkpoint.step}; the run has {self.steps} steps"
            )
        lr_scale = self.trained.restore(checkpoint)
        self.scale_lr(self.policy.lr_scale or lr_scale)
        self.step = checkpoint.step
        return True

    @property
    def averaged(self) -> Supernet:
        """The supernet with the moving average of the weights."""
        module: Supernet = self.ema.module
        return module
