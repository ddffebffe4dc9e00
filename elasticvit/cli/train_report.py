"""What `evit-train` shows: the forecast, the bar while it trains, and the closing table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elasticvit.cli.app import Report, duration

if TYPE_CHECKING:
    from elasticvit.arch import Arch
    from elasticvit.training.forecast import Forecast
    from elasticvit.training.trainer import Progress


def show_forecast(
    report: Report, expected: Forecast, values: tuple[float, ...], unit: str, done: int
) -> None:
    """How long the steps will take, said before they are taken.

    Args:
        values, unit: the complexity levels.
        done: steps that an earlier session took.
    """
    steps = ", ".join(f"{s:.2g} s at {values[i]:g} {unit}" for i, s in expected.step_s.items())
    where = (
        f"{done} of {expected.steps} steps are done; the others"
        if done
        else (f"{expected.steps} steps")
    )
    report.console.print(
        f"a step takes {steps} on this machine; {where} will take about "
        f"[bold]{duration(expected.total_s(done))}[/bold]"
    )


class TrainBar:
    """Progress bar with the loss of each level; a line an epoch where there is no terminal."""

    def __init__(
        self, report: Report, values: tuple[float, ...], expected: Forecast, done: int
    ) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self.console, self.values, self.expected = report.console, values, expected
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]} left  {task.fields[losses]}"),
            console=report.console,
            transient=True,
        )
        left = duration(expected.total_s(done))
        self._task = self._bar.add_task(
            "", total=expected.steps, completed=done, epoch="1", left=left, losses=""
        )
        self._first, self._epoch = done, -1
        self._means: dict[int, float] = {}

    def show(self, at: Progress) -> None:
        """Show where the training stands."""
        now_s = time.monotonic()
        if self._first == at.step - 1:
            self._start_s = now_s
        old = self._means.get(at.losses.level, at.losses.sampled)
        self._means[at.losses.level] = 0.8 * old + 0.2 * at.losses.sampled
        timed = at.step - 1 - self._first
        step_s = self.expected.mean_step_s
        if timed:  # trust the forecast less and less
            step_s = (20 * step_s + now_s - self._start_s) / (20 + timed)
        left = duration(step_s * (at.steps - at.step))
        losses = " ".join(f"{self.values[i]:g}:{m:.2f}" for i, m in sorted(self._means.items()))
        self._bar.update(
            self._task, completed=at.step, epoch=str(at.epoch + 1), left=left, losses=losses
        )
        if at.warning is not None:
            self.console.print(f"[yellow]warning:[/yellow] {at.warning}")
        if at.epoch != self._epoch and not self.console.is_terminal:
            self.console.print(
                f"epoch {at.epoch + 1}, step {at.step} of {at.steps}, {left} left, loss by level "
                f"{losses}"
            )
        self._epoch = at.epoch

    def __enter__(self) -> TrainBar:
        if self.console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def show_accuracies(
    report: Report, rows: Sequence[Mapping[str, Any]], archs: Sequence[Arch], images: int
) -> None:
    """Accuracy of a few subnets, a row each with `name`, `macs_m` and `accuracy`."""
    from rich.table import Table

    table = Table(
        title=f"accuracy on {images} images that were not trained on, batch norm recalibrated",
        title_justify="left",
    )
    table.add_column("subnet", no_wrap=True)
    table.add_column("MMACs", justify="right", no_wrap=True, min_width=6)
    table.add_column("accuracy %", justify="right", no_wrap=True, min_width=10)
    table.add_column("architecture", overflow="fold")
    for row, arch in zip(rows, archs, strict=True):
        table.add_row(row["name"], f"{row['macs_m']:.1f}", f"{row['accuracy']:.2f}", str(arch))
    report.console.print(table)
