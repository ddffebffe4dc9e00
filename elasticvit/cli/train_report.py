"""What `evit-train` prints: plan, forecast, a bar while it trains, and the closing table."""

from __future__ import annotations

import shlex
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from elasticvit.cli.app import Report, duration
from elasticvit.events import Event, Notice
from elasticvit.flows.train import TrainResult
from elasticvit.flows.train_events import (
    RunFound,
    TrainingForecast,
    TrainingPlanned,
    TrainProgress,
)

FORECAST_STEPS = 20  # steps whose time counts as much as the forecast
LOSS_MEMORY = 0.8


class TrainReport:
    """Prints the events of the train flow; a context manager that ends the bar.

    Attributes:
        trained: Whether steps were taken.
    """

    def __init__(self, report: Report) -> None:
        self.console, self.trained = report.console, False
        self._plan: TrainingPlanned | None = None
        self._bar: TrainBar | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case Notice():
                mark = "[yellow]warning:[/yellow] " if event.warning else ""
                self.console.print(f"{mark}{event.text}")
            case RunFound(finished=True):
                self.console.print(
                    f"{event.folder} has trained exactly this; here is its result again (--fresh "
                    "trains anew)"
                )
            case RunFound():
                self.console.print(f"going on with {event.folder}")
            case TrainingPlanned():
                self._plan = event
                self._print_plan(event)
            case TrainingForecast():
                assert self._plan is not None
                self._print_forecast(event, self._plan)
                self._bar = TrainBar(self.console, self._plan.levels, event)
            case TrainProgress():
                assert self._bar is not None
                self.trained = True
                self._bar.show(event)

    def _print_plan(self, plan: TrainingPlanned) -> None:
        epochs = "1 epoch" if plan.epochs == 1 else f"{plan.epochs} epochs"
        self.console.print(
            f"training space {plan.space} on {plan.data} ({plan.train_images} images, "
            f"{plan.classes} classes; {plan.search_images} held out to choose by, "
            f"{plan.test_images} for the final figure), {epochs} of batches of "
            f"{plan.batch_size}, seed {plan.seed}\n"
            f"complexity levels ({plan.unit}): {', '.join(f'{v:g}' for v in plan.levels)}"
        )

    def _print_forecast(self, event: TrainingForecast, plan: TrainingPlanned) -> None:
        expected, done = event.forecast, event.done
        steps = ", ".join(
            f"{s:.2g} s at {plan.levels[i]:g} {plan.unit}" for i, s in expected.step_s.items()
        )
        where = f"{expected.steps} steps"
        if done:
            where = f"{done} of {where} are done; the others"
        self.console.print(
            f"a step takes {steps} on this machine; {where} will take about "
            f"[bold]{duration(event.remaining_s)}[/bold]"
        )

    def __enter__(self) -> TrainReport:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class TrainBar:
    """Progress bar with the loss of each level; a line an epoch if there is no terminal."""

    def __init__(
        self, console: Console, levels: tuple[float, ...], expected: TrainingForecast
    ) -> None:
        self.console, self.levels, self.forecast = console, levels, expected.forecast
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]} left  {task.fields[losses]}"),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._bar.add_task(
            "",
            total=self.forecast.steps,
            completed=expected.done,
            epoch="1",
            left=duration(expected.remaining_s),
            losses="",
        )
        self._first, self._epoch, self._start_s = expected.done, -1, time.monotonic()
        self._means: dict[int, float] = {}
        if console.is_terminal:
            self._bar.start()

    def show(self, at: TrainProgress) -> None:
        """Show the progress after a step."""
        if self._first == at.done - 1:
            self._start_s = time.monotonic()
        old = self._means.get(at.losses.level, at.losses.sampled)
        self._means[at.losses.level] = LOSS_MEMORY * old + (1 - LOSS_MEMORY) * at.losses.sampled
        timed, step_s = at.done - 1 - self._first, self.forecast.mean_step_s
        if timed:  # the forecast counts less and less
            spent_s = time.monotonic() - self._start_s
            step_s = (FORECAST_STEPS * step_s + spent_s) / (FORECAST_STEPS + timed)
        left = duration(step_s * (at.total - at.done))
        losses = " ".join(f"{self.levels[i]:g}:{m:.2f}" for i, m in sorted(self._means.items()))
        self._bar.update(
            self._task, completed=at.done, epoch=str(at.epoch + 1), left=left, losses=losses
        )
        if at.epoch != self._epoch and not self.console.is_terminal:
            self.console.print(
                f"epoch {at.epoch + 1}, step {at.done} of {at.total}, {left} left, loss by level "
                f"{losses}"
            )
        self._epoch = at.epoch

    def stop(self) -> None:
        """Take the bar off the screen."""
        if self.console.is_terminal:
            self._bar.stop()


def print_result(report: Report, result: TrainResult, *, trained: bool) -> None:
    """Print the accuracies of a few subnets, and where the run lies."""
    if trained:
        report.console.print(
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
    report.console.print(table)
    report.console.print(f"written to {result.folder}")


def next_command(result: TrainResult, device: str | None) -> str:
    """The command to run next.

    Args:
        result: The training.
        device: The device that was profiled last; None if none was.
    """
    if result.suggested_target_ms is not None:
        return f"evit-search --target-ms {result.suggested_target_ms:g}"
    profile = ["evit-profile", "--device", "host"]
    if device is not None:  # its predictor cannot price this space
        profile = ["evit-profile", "--space", result.space, "--device", device]
    return f"{shlex.join(profile)}, then evit-search --target-ms N"
