"""One training run from the choice of its folder to its result, on one rank."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from elasticvit.errors import EvitError, FileError, NextStep
from elasticvit.events import Event, EventHandler, Notice, Phase
from elasticvit.files import make_folder, writing
from elasticvit.flows.asked import ASKED_FILE, asked_of, note_end, space_text, write_asked
from elasticvit.flows.train_events import (
    RunFound,
    TrainingForecast,
    TrainingPlanned,
    TrainProgress,
)
from elasticvit.flows.train_plan import TrainPlan
from elasticvit.flows.train_result import RESULT_FILE, TrainResult
from elasticvit.flows.train_runs import (
    check_goes_on,
    find_run,
    locked,
    remembered,
    run_at,
)
from elasticvit.flows.train_start import advise
from elasticvit.flows.train_summary import suggested_target_ms, three_of
from elasticvit.flows.train_watch import TrainWatch
from elasticvit.flows.unreadable import unreadable_notices
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.forecast import Forecaster, forecast
from elasticvit.training.freed_memory import freed_memory_kept
from elasticvit.training.loop import run_training
from elasticvit.training.run_info import RUN_FILE, has_checkpoint
from elasticvit.training.subnet_threads import subnet_threads
from elasticvit.workspace import PLURALS, Workspace

ONCE = ("resume", "fresh", "resume_from", "lr_scale")  # settings of one call, not of the training


class TrainJob:
    """One call of the train flow, on one rank.

    Args:
        workspace: Workspace for defaults, and for the run's folder unless another is named.
        plan: What the training is made of.
        events: Handler of training events.
    """

    def __init__(self, workspace: Workspace, plan: TrainPlan, events: EventHandler) -> None:
        self.workspace, self.plan, self.events = workspace, plan, events
        self.settings, self.images, self.ranks = plan.settings, plan.images, plan.ranks
        self.info, self.config, self.lr_scale = plan.info, plan.config, 1.0
        self.watch: TrainWatch | None = None

    def run(self) -> TrainResult:
        """Train the remaining steps; returns the result on every rank."""
        try:
            return self._run()
        except EvitError as error:
            step = error.next_step
            if step is not None and step.flow == "train":  # the same training, gone on with
                error.next_step = NextStep("train", {**self._asked(), **step.settings})
            raise

    def _run(self) -> TrainResult:
        with ExitStack() as stack:
            run = self._folder(stack) if self.ranks.writes else None
            run = self.ranks.share(run)
            assert run is not None
            stack.callback(self._close_watch)
            if not self._finished(run):
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

    def _close_watch(self) -> None:
        if self.watch is not None:
            self.watch.close()

    def _folder(self, stack: ExitStack) -> Path:
        """The folder to train in, locked; it is removed if training fails before the first
        checkpoint. A finished run is not locked, since nothing is written to it."""
        found = self._found()
        finished = found is not None and self._finished(found)
        check_goes_on(found, self.settings, finished=finished)
        run = found if found is not None and finished else self._locked(stack, found)
        if not finished:
            stack.enter_context(self.workspace.nothing_left_behind(run, keep=has_checkpoint))
        if self.settings.out is None:
            named = (
                self.plan.named if self.plan.single is None else None
            )  # no space for what follows
            stack.enter_context(remembered(self.workspace, run, named, self.info.data))
        if not finished and not (run / RUN_FILE).exists():
            self.info.save(run)
        if not finished and self.settings.out is None:
            write_asked(run / ASKED_FILE, self._asked())
        return run

    def _asked(self) -> dict[str, Any]:
        """What the same training is asked for with, whatever the defaults are by then."""
        asked = {n: v for n, v in asked_of(self.settings).items() if n not in ONCE}
        if self.settings.subnet is None or self.settings.start_from is None:
            asked["space"] = space_text(self.plan.named)
        return {**asked, "data": self.info.data}

    def _finished(self, run: Path) -> bool:
        """Whether a run has trained to the end, and is not to be trained again from a step."""
        return (run / RESULT_FILE).exists() and self.settings.resume_from is None

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
        resume, fresh, events = self.settings.resume, self.settings.fresh, self._tell_found
        if self.settings.out is None:
            return find_run(self.workspace, self.info, resume=resume, fresh=fresh, events=events)
        out = Path(self.settings.out)
        return out if run_at(out, self.info, resume=resume, fresh=fresh, events=events) else None

    def _tell_found(self, event: Event) -> None:
        if isinstance(event, RunFound) and self.settings.resume_from is not None:
            event = replace(event, finished=False)  # it is trained again from there
        self.events(event)

    def _new(self) -> Path:
        """A new folder."""
        if self.settings.out is None:
            return self.workspace.new_folder("run")
        return make_folder(Path(self.settings.out))

    def _train(self, run: Path) -> tuple[float, float]:
        """Train to the end; the seconds that were expected and taken."""
        advise(self.images, self.plan.source, self.events)
        self._announce(run)
        self.events(Phase(text="building the supernet"))
        trainer = self.plan.trainer()
        trainer.resume(run)
        self.lr_scale = trainer.lr_scale
        if self.ranks.writes:
            self.watch = TrainWatch(
                run, trainer, self.plan.cost, self.plan.all_levels, self.settings, self.events
            )
        if trainer.step == trainer.steps:  # interrupted after the last step
            return 0.0, 0.0
        if self.ranks.writes:
            with writing(run):  # of a run that is trained again from an earlier step
                (run / RESULT_FILE).unlink(missing_ok=True)
        sampler = self.plan.sampler()
        with freed_memory_kept(self.ranks.device.type), subnet_threads(trainer, sampler):
            self.events(Phase(text="timing the lowest complexity level for a forecast"))
            forecaster = forecast(trainer, sampler)
            expected = TrainingForecast(forecast=forecaster.forecast(), done=trainer.step)
            self.events(expected)
            self.events(Phase(text="taking the first training step"))
            started_s = time.monotonic()
            events = self._refining(
                forecaster, self.events if self.watch is None else self.watch.events
            )
            run_training(trainer, run, events, () if self.watch is None else self.watch.observers())
            return expected.remaining_s, time.monotonic() - started_s

    def _refining(self, forecaster: Forecaster, events: EventHandler) -> EventHandler:
        """A handler, called also with a new forecast where steps tell more than the last one."""

        def handle(event: Event) -> None:
            events(event)
            if not isinstance(event, TrainProgress) or event.done <= self.plan.first_steps:
                return  # at first a step runs one subnet alone
            if forecaster.add(event.losses.level, event.step_s):
                events(TrainingForecast(forecast=forecaster.forecast(), done=event.done))

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
                levels=self.plan.levels.values,
                unit=self.plan.levels.unit,
                subnets=self.config.subnets,
                level_bias=self.config.level_bias,
                grow=self.config.grow,
                recipe=self.config.recipe,
                steps=self.plan.steps,
                first_steps=self.plan.first_steps,
            )
        )
        taught = self.config.distillation.described
        if taught:
            self.events(Notice(text=taught))

    def _summarise(self, run: Path, expected_s: float, took_s: float) -> None:
        """Write the run's result."""
        assert self.watch is not None
        self.events(Phase(text="judging the panel on images that were not trained on"))
        panel = self.watch.final(load_supernet(run))
        for notice in unreadable_notices(self.images):
            self.events(notice)
        TrainResult(
            folder=run,
            space=self.info.space.name,
            data=self.info.data,
            seed=self.info.seed,
            epochs=self.config.epochs,
            subnets=three_of(panel, self.plan.all_levels),
            images=panel.images,
            panel=panel.subnets,
            expected_s=round(expected_s, 1),
            took_s=round(took_s, 1),
            unreadable=len(self.images.train.unreadable),
            lr_scale=self.lr_scale,
        ).save()
        note_end(run / ASKED_FILE)
