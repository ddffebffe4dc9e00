"""What `evit-search` shows: targets and plan, the bar while it runs, the front and the choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from elasticvit.cli.app import Report, duration
from elasticvit.events import Event, Notice
from elasticvit.flows.search import FrontPoint, SearchResult
from elasticvit.flows.search_events import (
    CapsResolved,
    ResolvedCap,
    SearchPlanned,
    SearchProgress,
)

FRONT_ROWS = 16  # of the table that is printed


class SearchReport:
    """Shows the events of a search; a bar while the evolution runs, with the time left and the
    best so far."""

    def __init__(self, report: Report) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.console = report.console
        self._units: tuple[str, ...] = ()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[best]}"),
            console=report.console,
        )
        self._task = self._bar.add_task("start", total=None, best="")

    def __enter__(self) -> SearchReport:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_bar()

    def handle(self, event: Event) -> None:
        """Show an event of a search."""
        match event:
            case CapsResolved():
                self._units = tuple(resolved.cap.cost.unit for resolved in event.caps)
                for resolved in event.caps:
                    self._print_cap(resolved, event.space)
            case SearchPlanned():
                self._print_plan(event)
                self._bar.start()
            case SearchProgress():
                self._advance(event)
            case Notice():
                self._end_bar()
                self.console.print(event.text)

    def _end_bar(self) -> None:
        if self._bar.live.is_started:
            self._bar.stop()

    def _print_cap(self, resolved: ResolvedCap, space: str) -> None:
        """What is capped, and what the space can do."""
        say, cap, can = self.console.print, resolved.cap, resolved.reach
        what = cap.cost.name
        if cap.device is not None:
            what = f"predicted {what}" if resolved.coverage is None else f"upper bound of {what}"
        say(
            f"target: {what} at most {cap.target:g} {cap.cost.unit}; space {space} has "
            f"{can.low:.3g} to {can.high:.3g}, median {can.median:.3g}"
        )
        if cap.device is not None:
            say(f"numbers of {cap.device}: {resolved.origin}")
            for remark in resolved.remarks:
                say(remark)
            say(
                "no upper bound is known, since no whole subnet was timed: the "
                "measured latency may be above the target"
                if resolved.coverage is None
                else f"the bound is made to hold for {resolved.coverage:.0%} of what is measured"
            )
        if not resolved.binds:
            say(f"every architecture of space {space} keeps this target: it limits nothing")

    def _print_plan(self, planned: SearchPlanned) -> None:
        """The size of the search, and how long it will take."""
        plan, config = planned.plan, planned.plan.config
        start = "searching" if planned.resumes is None else f"going on with {planned.resumes}:"
        self.console.print(
            f"{start} up to {config.evaluations} architectures ({config.population} and "
            f"{config.generations} generations), {plan.evaluation_s:.2g} s each (recalibrated on "
            f"{planned.recalibration_images} images, judged on {planned.search_images}): about "
            f"{duration(plan.total_s)} in all"
        )

    def _advance(self, now: SearchProgress) -> None:
        costs = ", ".join(
            f"{cost:.3g} {unit}" for cost, unit in zip(now.best_costs, self._units, strict=True)
        )
        self._bar.update(
            self._task,
            description=f"generation {now.generation}/{now.generations}",
            completed=now.done,
            total=now.total,
            best=f"best {now.best_accuracy:.2f} % at {costs}",
        )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def print_front(report: Report, result: SearchResult) -> None:
    """Print the front as a table, the most accurate first, the chosen one marked."""
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
    """Print the chosen architecture beside its targets, its accuracies and its folder."""
    say = report.console.print
    if not result.complete:
        say("the time was up before all generations were done; more time may find better")
    for cap in result.caps:
        where = f"on {cap.device}" if cap.device else "in all"
        upper = "" if cap.upper is None else f", upper bound {cap.upper:.4g} {cap.unit}"
        say(f"{where}: predicted {cap.predicted:.4g} {cap.unit}{upper}; target {cap.target:g}")
    say(
        f"chosen {result.arch}: {result.accuracy:.2f} % on the {result.search_images} images that "
        f"it was chosen by, {result.test_accuracy:.2f} % on {result.test_images} test images that "
        "nothing has looked at before"
    )
    say(f"written to {path}")
