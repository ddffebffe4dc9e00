"""One training run from the choice of its folder to its result, on one rank."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from elasticvit.cost import CostModel, MacsCost
from elasticvit.errors import NextStep, WorkspaceError
from elasticvit.events import EventHandler
from elasticvit.flows.train_events import TrainingForecast, TrainingPlanned
from elasticvit.flows.train_result import RESULT_FILE, TrainResult
from elasticvit.flows.train_runs import find_run, remembered, run_at, run_info
from elasticvit.flows.train_settings import TrainSettings
from elasticvit.flows.train_summary import (
    subnet_accuracies,
    suggested_target_ms,
    summary_images,
)
from elasticvit.space import SearchSpace
from elasticvit.training.checkpoint import CHECKPOINT_FILE, load_supernet
from elasticvit.training.config import default_config
from elasticvit.training.data import ImageData
from elasticvit.training.forecast import forecast
from elasticvit.training.levels import levels_for
from elasticvit.training.ranks import Ranks
from elasticvit.training.sampler import LevelSampler
from elasticvit.training.trainer import Trainer
from elasticvit.workspace import Workspace


def _cost(workspace: Workspace, space: SearchSpace, settings: TrainSettings) -> CostModel:
    """The cost that complexity levels are measured in."""
    if settings.complexity == "macs":
        return MacsCost(space)
    device = workspace.device(settings.device)
    if device is None:
        raise WorkspaceError(
            f"complexity is ms, but no device was profiled in workspace {workspace.root}; profile "
            "one first, or choose complexity macs",
            settings=["complexity"],
            next_step=NextStep("profile", {"device": "host"}),
        )
    from predictors.predictor import load_device_predictor

    return load_device_predictor(workspace, device).cost(space)


class TrainJob:
    """One call of the train flow, on one rank.

    Args:
        workspace: Workspace for defaults, for the run's folder unless another is named, and for
            the device's predictor.
        settings: Settings of the flow.
        named: The space as it was named, without the data set's number of classes.
        images: The opened data set.
        ranks: This process among those that train together.
        events: Handler of training events.

    Raises:
        WorkspaceError: Complexity is to be measured in ms and no device was profiled.
        PredictorError: The device has no predictor, or it cannot price the space.
        SettingError: A setting makes no sense.
    """

    def __init__(
        self,
        workspace: Workspace,
        settings: TrainSettings,
        named: SearchSpace,
        images: ImageData,
        ranks: Ranks,
        events: EventHandler,
    ) -> None:
        self.workspace, self.settings, self.named = workspace, settings, named
        self.images, self.ranks, self.events = images, ranks, events
        space = named.with_classes(images.info.classes)
        cost = _cost(workspace, space, settings)
        config = default_config(
            images.info,
            space,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            lr=settings.lr,
            complexity=settings.complexity,
            device="" if settings.complexity == "macs" else workspace.device(settings.device),
        )
        self.config, self.levels = config, levels_for(space, cost, np.random.default_rng(0))
        self.info = run_info(space, images, config, self.levels, settings.seed)
        self.cost = cost

    def run(self) -> TrainResult:
        """Train the remaining steps; returns the result on every rank."""
        with ExitStack() as stack:
            run = self._folder(stack) if self.ranks.writes else None
            run = self.ranks.share(run)
            assert run is not None
            if not (run / RESULT_FILE).exists():
                expected_s, took_s = self._train(run)
                if self.ranks.writes:
                    self._summarise(run, expected_s, took_s)
        result = None
        if self.ranks.writes:
            if self.settings.out is None:
                self.workspace.set_latest("run", run)
            target_ms = suggested_target_ms(self.workspace, self.info.space)
            result = replace(TrainResult.load(run), suggested_target_ms=target_ms)
        shared: TrainResult = self.ranks.share(result)
        return shared

    def _folder(self, stack: ExitStack) -> Path:
        """The folder to train in; it is removed if training fails before the first checkpoint."""
        resume, fresh = self.settings.resume, self.settings.fresh
        found: Path | None
        if self.settings.out is None:
            found = find_run(
                self.workspace, self.info, resume=resume, fresh=fresh, events=self.events
            )
            run = found or self.workspace.new_folder("run")
            stack.enter_context(remembered(self.workspace, run, self.named, self.info.data))
        else:
            run = Path(self.settings.out)
            found = (
                run
                if run_at(run, self.info, resume=resume, fresh=fresh, events=self.events)
                else None
            )
        stack.enter_context(self.workspace.nothing_left_behind(run, keep=CHECKPOINT_FILE))
        if found is None:
            self.info.save(run)
        return run

    def _sampler(self) -> LevelSampler:
        """A sampler that has drawn nothing yet."""
        return LevelSampler(
            self.info.space,
            self.cost,
            self.levels,
            seed=self.info.seed,
            subnets=self.config.subnets,
        )

    def _trainer(self) -> Trainer:
        return Trainer(self.info, self.images, self._sampler(), self.ranks)

    def _train(self, run: Path) -> tuple[float, float]:
        """Train to the end; the seconds that were expected and taken."""
        self._announce(run)
        trainer = self._trainer()
        trainer.resume(run)
        if trainer.step == trainer.steps:  # interrupted after the last step
            return 0.0, 0.0
        expected = TrainingForecast(forecast=forecast(self._trainer()), done=trainer.step)
        self.events(expected)
        started_s = time.monotonic()
        trainer.run(run, self.events)
        return expected.remaining_s, time.monotonic() - started_s

    def _announce(self, run: Path) -> None:
        facts = self.images.info
        self.events(
            TrainingPlanned(
                folder=run,
                space=self.info.space.name,
                data=facts.name,
                classes=facts.classes,
                train_images=facts.train_images,
                search_images=facts.search_images,
                test_images=facts.test_images,
                epochs=self.config.epochs,
                batch_size=self.config.batch_size,
                seed=self.info.seed,
                levels=self.levels.values,
                unit=self.levels.unit,
            )
        )

    def _summarise(self, run: Path, expected_s: float, took_s: float) -> None:
        """Write the run's result."""
        TrainResult(
            folder=run,
            space=self.info.space.name,
            data=self.info.data,
            seed=self.info.seed,
            epochs=self.config.epochs,
            subnets=subnet_accuracies(load_supernet(run), self.images, self._sampler()),
            images=summary_images(self.images),
            expected_s=round(expected_s, 1),
            took_s=round(took_s, 1),
        ).save()
