"""What `evit-search` shows: the bar while it runs, then the front and the choice."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.cli.app import Report

if TYPE_CHECKING:
    from elasticvit.search.caps import Cap
    from elasticvit.search.evolution import Progress as SearchProgress
    from elasticvit.search.result import FrontPoint, SearchResult

FRONT_ROWS = 16  # of the table that is printed


class Bar:
    """Progress bar with the time left and the best so far; also watches the time."""

    def __init__(self, report: Report, caps: list[Cap], deadline_s: float | None) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.caps, self.deadline_s = caps, deadline_s
        self.console = report.console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[best]}"),
            console=report.console,
        )
        self.task = self.progress.add_task("start", total=None, best="")

    def __enter__(self) -> Bar:
        self.started_s = time.monotonic()
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def update(self, now: SearchProgress) -> None:
        from elasticvit.arch import ArchBatch

        one = ArchBatch.of([now.best])
        costs = ", ".join(f"{cap.cost.price(one)[0]:.3g} {cap.cost.unit}" for cap in self.caps)
        self.progress.update(
            self.task,
            description=f"generation {now.generation}/{now.generations}",
            completed=now.evaluated,
            total=now.planned,
            best=f"best {now.best_accuracy:.2f} % at {costs}",
        )

    def time_is_up(self) -> bool:
        return self.deadline_s is not None and time.monotonic() - self.started_s > self.deadline_s

    def stage(self, text: str) -> None:
        self.progress.stop()
        self.console.print(text)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def print_front(report: Report, result: SearchResult) -> None:
    """The front as a table, the most accurate first, the chosen one marked."""
    from rich.table import Table

    table = Table(
        title=f"Front of {result.evaluations} architectures (ms as predicted)", title_justify="left"
    )
    columns: dict[str, Callable[[FrontPoint], str]] = {
        "ms": lambda p: _number(p.predicted_ms, 3),
        "bound ms": lambda p: _number(p.upper_ms, 3),
        "MMACs": lambda p: f"{p.macs_m:.1f}",
        "accuracy %": lambda p: f"{p.accuracy:.2f}",
    }
    if result.predicted_ms is None:
        del columns["ms"], columns["bound ms"]
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("architecture")
    step = max(1, -(-len(result.front) // FRONT_ROWS))
    for i, point in enumerate(reversed(result.front)):
        chosen = point.arch == result.arch
        if chosen or i % step == 0:
            cells = ["*" if chosen else "", *(show(point) for show in columns.values())]
            table.add_row(*cells, str(point.arch), style="bold" if chosen else None)
    report.console.print(table)


def print_choice(report: Report, result: SearchResult, path: Path) -> None:
    """The chosen architecture against its targets, its accuracies and where it is."""
    say = report.console.print
    if not result.complete:
        say("the time was up before all generations were done; more time may find better")
    for cap in result.caps:
        whose = f"on {cap.device}" if cap.device else "in all"
        upper = "" if cap.upper is None else f", upper bound {cap.upper:.4g} {cap.unit}"
        say(f"{whose}: predicted {cap.predicted:.4g} {cap.unit}{upper}; target {cap.target:g}")
    say(
        f"chosen {result.arch}: {result.accuracy:.2f} % on the {result.search_images} images that "
        f"it was chosen by, {result.test_accuracy:.2f} % on {result.test_images} test images that "
        "nothing has looked at before"
    )
    say(f"written to {path}")
