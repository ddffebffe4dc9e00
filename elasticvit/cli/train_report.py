"""What `evit-train` prints: plan, forecast, how far it is, and the closing table."""

from __future__ import annotations

from rich.table import Table

from elasticvit.cli.command import command_line
from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted, duration, file_size
from elasticvit.errors import NextStep
from elasticvit.events import Event
from elasticvit.flows.single_run import export_step
from elasticvit.flows.train import TrainResult
from elasticvit.flows.train_events import (
    PanelJudged,
    RunFound,
    SpaceChosen,
    TrainingForecast,
    TrainingPlanned,
    TrainProgress,
)
from elasticvit.names import HOST

LOSS_MEMORY = 0.8
WORTH_SAYING = 1.25  # ratio of two forecasts from which on the new one is printed


class TrainReport:
    """Handler of the events of a training.

    Attributes:
        trained: Whether steps were taken.
    """

    def __init__(self, report: Report) -> None:
        self.report, self.trained = report, False
        self._plan: TrainingPlanned | None = None
        self._forecast: TrainingForecast | None = None
        self._told_s = 0.0  # seconds of the whole run in the forecast that was printed last
        self._means: dict[int, float] = {}
        self._epoch = -1
        self._panel = ""

    def __call__(self, event: Event) -> None:
        match event:
            case RunFound(finished=True):
                self.report.say(
                    f"{event.folder} has trained exactly this; here is its result again (--fresh "
                    "trains anew)"
                )
            case RunFound():
                self.report.say(f"going on with {event.folder}")
            case SpaceChosen():
                because = event.recipe_reason or "as named"
                self.report.say(
                    f"space {event.space}: {event.reason} (--space names another)\n"
                    f"recipe {event.recipe}: {because}"
                )
            case TrainingPlanned():
                self._plan = event
                self._print_plan(event)
            case TrainingForecast():
                self._print_forecast(event)
            case TrainProgress():
                self.trained = True
                self._advance(event)
            case PanelJudged():
                self._print_panel(event)
            case _:
                self.report.show(event)

    def _print_panel(self, event: PanelJudged) -> None:
        """Say how accurate the panel is; at the end a table says it."""
        result = event.result
        self._panel = f", panel {result.mean:.1f} %"
        if result.step < event.total:
            self.report.say(
                f"step {result.step} of {event.total}: accuracy of the panel {result.mean:.1f} % "
                f"(smallest {result.smallest.accuracy:.1f}, largest "
                f"{result.largest.accuracy:.1f}; {counted(result.images, 'held-out image')}, "
                f"standard error {result.largest.standard_error:.1f})"
            )

    def _print_plan(self, plan: TrainingPlanned) -> None:
        self.report.say(
            f"training space {plan.space} on {plan.data} "
            f"({counted(plan.train_images, 'image')}, {counted(plan.classes, 'class')}; "
            f"{plan.search_images} held out to choose by, {plan.test_images} for the final "
            f"figure), {counted(plan.epochs, 'epoch')} of batches of {plan.batch_size} "
            f"({counted(plan.steps, 'step')}, recipe {plan.recipe}), seed {plan.seed}\n"
            f"complexity levels ({plan.unit}): {', '.join(f'{v:g}' for v in plan.levels)}"
            f"{_walk(plan)}"
        )
        if plan.first_steps:
            self.report.say(
                f"one subnet of a middle size is trained alone for the first "
                f"{counted(plan.first_steps, 'step')}; its weights then start all others"
            )

    def _print_forecast(self, event: TrainingForecast) -> None:
        assert self._plan is not None
        first, self._forecast = self._forecast is None, event
        whole_s = event.forecast.total_s()
        changed = whole_s / self._told_s if self._told_s else 1.0
        if not first and 1 / WORTH_SAYING < changed < WORTH_SAYING:
            return
        self._told_s = whole_s
        levels, unit = self._plan.levels, self._plan.unit
        steps = ", ".join(
            f"{duration(s)} at {levels[i]:g} {unit}" for i, s in event.forecast.step_s.items()
        )
        left = duration(event.remaining_s)
        if not first:
            self.report.say(
                f"a step takes {steps}: the {event.forecast.steps - event.done} steps that are "
                f"left will take about {left}"
            )
            return
        where = counted(event.forecast.steps, "step")
        if event.done:
            where = f"{event.done} of {where} are done; the others"
        memory = event.forecast.memory_bytes
        need = "" if memory is None else f", and about {file_size(memory)} of memory"
        self.report.say(
            f"a step takes {steps} on this machine; {where} will take about {left}{need} (a first "
            "estimate from the lowest level; it is refined during training)"
        )

    def _advance(self, at: TrainProgress) -> None:
        """Show the progress after a step; without a terminal also a line an epoch."""
        assert self._plan is not None
        assert self._forecast is not None
        old = self._means.get(at.losses.level, at.losses.sampled)
        self._means[at.losses.level] = LOSS_MEMORY * old + (1 - LOSS_MEMORY) * at.losses.sampled
        left = duration(self._forecast.forecast.total_s(at.done))
        levels = self._plan.levels
        losses = " ".join(f"{levels[i]:g}:{m:.2f}" for i, m in sorted(self._means.items()))
        self.report.activity.progress(
            "training",
            at.done,
            at.total,
            "steps",
            f"epoch {at.epoch + 1}, about {left} left{self._panel}, loss by level {losses}",
        )
        if at.epoch != self._epoch and not self.report.console.is_terminal:
            self.report.say(
                f"epoch {at.epoch + 1}, step {at.done} of {at.total}, about {left} left, loss by "
                f"level {losses}"
            )
        self._epoch = at.epoch


def print_result(report: Report, result: TrainResult, *, trained: bool) -> None:
    """Print the accuracies of a few subnets, and where the run lies."""
    if trained:
        report.say(
            f"trained in {duration(result.took_s)}, {duration(result.expected_s)} were expected"
        )
    images = "" if result.images is None else f"{result.images} "
    table = Table(
        title=f"accuracy on {images}images that were not trained on, batch norm recalibrated",
        title_justify="left",
    )
    table.add_column("subnet", no_wrap=True)
    table.add_column("MMACs", justify="right", no_wrap=True, min_width=6)
    table.add_column("accuracy %", justify="right", no_wrap=True, min_width=10)
    table.add_column("architecture", overflow="fold")
    for row in result.subnets:
        table.add_row(row.name, f"{row.macs_m:.1f}", f"{row.accuracy:.2f}", str(row.arch))
    report.say(table)
    report.place(result.folder)


def next_command(result: TrainResult, device: str | None) -> str:
    """The command to run next.

    Args:
        result: The training.
        device: The device that was profiled last; None if none was.
    """
    if result.single:
        return command_line(export_step(result.folder))
    if result.suggested_target_ms is not None:
        return command_line(NextStep("search", {"target_ms": result.suggested_target_ms}))
    profile = {"device": HOST}
    if device is not None:  # its predictor cannot price this space
        profile = {"space": result.space, "device": device}
    search = NextStep("search", {"target_ms": "N"})
    return f"{command_line(NextStep('profile', profile))}, then {command_line(search)}"


def _walk(plan: TrainingPlanned) -> str:
    """What a step trains, and how often each level's turn comes."""
    if len(plan.levels) == 1:
        return ""
    words = f"; a step trains {counted(plan.subnets, 'sampled subnet')} of one of them"
    if plan.level_bias:
        words += ", of cheap ones more often"
    if plan.grow:
        words += (
            f"; all are in after {100 * plan.grow:.0f} % of the steps, the lowest from the start"
        )
    return words
