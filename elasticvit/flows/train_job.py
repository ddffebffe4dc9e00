"""One training run from the choice of its folder to its result, on one rank."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from elasticvit.cost import CostModel, MacsCost
from elasticvit.errors import FileError, NextStep, SettingError, WorkspaceError
from elasticvit.events import Event, EventHandler, Phase
from elasticvit.files import make_folder
from elasticvit.flows.train_events import TrainingForecast, TrainingPlanned, TrainProgress
from elasticvit.flows.train_result import RESULT_FILE, TrainResult
from elasticvit.flows.train_runs import find_run, locked, remembered, run_at, run_info
from elasticvit.flows.train_settings import TrainSettings
from elasticvit.flows.train_summary import suggested_target_ms, three_of
from elasticvit.flows.train_watch import TrainWatch
from elasticvit.space import SearchSpace
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.config import default_config
from elasticvit.training.data import ImageData
from elasticvit.training.forecast import Forecaster, forecast
from elasticvit.training.levels import levels_for
from elasticvit.training.ranks import Ranks
from elasticvit.training.run_info import CHECKPOINT_FILE, RUN_FILE
from elasticvit.training.sampler import LevelSampler
from elasticvit.training.trainer import Trainer
from elasticvit.workspace import PLURALS, Workspace

LEAST_IMAGES = 2  # a step and process


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
        if config.batch_size < LEAST_IMAGES * ranks.count:
            raise SettingError(
                f"batch_size is {config.batch_size}; it must be at least "
                f"{LEAST_IMAGES * ranks.count}: each of the {ranks.count} processes needs "
                f"{LEAST_IMAGES} images a step for its batch norms",
                settings=["batch_size"],
            )
        self.config, self.levels = config, levels_for(space, cost, np.random.default_rng(0))
        self.info = run_info(space, images, config, self.levels, settings.seed)
        self.cost = cost
        self.watch: TrainWatch | None = None

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
            result = TrainResult.load(run)
            if self.settings.out is None:
                self.workspace.set_latest("run", run)
            target_ms = suggested_target_ms(self.workspace, self.info.space)
            result = replace(result, suggested_target_ms=target_ms)
        shared: TrainResult = self.ranks.share(result)
        return shared

    def _folder(self, stack: ExitStack) -> Path:
        """The folder to train in, locked; it is removed if training fails before the first
        checkpoint. A finished run is not locked, since nothing is written to it."""
        found = self._found()
        finished = found is not None and (found / RESULT_FILE).exists()
        run = found if found is not None and finished else self._locked(stack, found)
        if not finished:
            stack.enter_context(self.workspace.nothing_left_behind(run, keep=CHECKPOINT_FILE))
        if self.settings.out is None:
            stack.enter_context(remembered(self.workspace, run, self.named, self.info.data))
        if not finished and not (run / RUN_FILE).exists():
            self.info.save(run)
        return run

    def _locked(self, stack: ExitStack, found: Path | None) -> Path:
        """The folder that was found or a new one, locked; a new one is removed if that fails."""
        run = found
        try:
            run = run or self._new()
            stack.enter_context(locked(run))
        except FileError:
            if found is None and run is not None:
                shutil.rmtree(run, ignore_errors=True)
            if self.settings.out is None:
                for folder in (self.workspace.root / PLURALS["run"], self.workspace.root):
                    self.workspace.prune(folder)
            raise
        return run

    def _found(self) -> Path | None:
        """Folder of a run with the same settings, finished or not."""
        resume, fresh, events = self.settings.resume, self.settings.fresh, self.events
        if self.settings.out is None:
            return find_run(self.workspace, self.info, resume=resume, fresh=fresh, events=events)
        out = Path(self.settings.out)
        return out if run_at(out, self.info, resume=resume, fresh=fresh, events=events) else None

    def _new(self) -> Path:
        """A new folder."""
        if self.settings.out is None:
            return self.workspace.new_folder("run")
        return make_folder(Path(self.settings.out))

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
        self.events(Phase(text="building the supernet"))
        trainer = self._trainer()
        trainer.resume(run)
        if self.ranks.writes:
            self.watch = TrainWatch(
                run, trainer, self.cost, self.levels, self.settings, self.events
            )
        if trainer.step == trainer.steps:  # interrupted after the last step
            return 0.0, 0.0
        self.events(Phase(text="timing the lowest complexity level for a forecast"))
        forecaster = forecast(trainer, self._sampler())
        expected = TrainingForecast(forecast=forecaster.forecast(), done=trainer.step)
        self.events(expected)
        self.events(Phase(text="taking the first training step"))
        started_s = time.monotonic()
        events = self._refining(
            forecaster, self.events if self.watch is None else self.watch.events
        )
        trainer.run(run, events, () if self.watch is None else self.watch.observers())
        return expected.remaining_s, time.monotonic() - started_s

    def _refining(self, forecaster: Forecaster, events: EventHandler) -> EventHandler:
        """A handler, called also with a new forecast where steps tell more than the last one."""
        last_s = time.monotonic()

        def handle(event: Event) -> None:
            nonlocal last_s
            now_s = time.monotonic()
            events(event)
            if isinstance(event, TrainProgress):
                if forecaster.add(event.losses.level, now_s - last_s):
                    new = TrainingForecast(forecast=forecaster.forecast(), done=event.done)
                    events(new)
                last_s = now_s

        return handle

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
        assert self.watch is not None
        self.events(Phase(text="judging the panel on images that were not trained on"))
        panel = self.watch.final(load_supernet(run))
        TrainResult(
            folder=run,
            space=self.info.space.name,
            data=self.info.data,
            seed=self.info.seed,
            epochs=self.config.epochs,
            subnets=three_of(panel, self.levels),
            images=panel.images,
            panel=panel.subnets,
            expected_s=round(expected_s, 1),
            took_s=round(took_s, 1),
        ).save()
