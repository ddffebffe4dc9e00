"""What `evit-search` shows: targets and plan, the bar while it runs, the front and the choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted, duration
from elasticvit.events import Event
from elasticvit.flows.search import FrontPoint, SearchResult
from elasticvit.flows.search_events import (
    CapsResolved,
    ResolvedCap,
    SearchPlanned,
    SearchProgress,
    SearchStarted,
)

FRONT_ROWS = 16  # of the table that is printed


class SearchReport:
    """Handler of the events of a search: prints targets and plan, and how far the evolution is."""

    def __init__(self, report: Report) -> None:
        self.report, self._units = report, tuple[str, ...]()

    def __call__(self, event: Event) -> None:
        match event:
            case SearchStarted():
                self._print_start(event)
            case CapsResolved():
                self._units = tuple(resolved.cap.cost.unit for resolved in event.caps)
                for resolved in event.caps:
                    self._print_cap(resolved, event.space)
            case SearchPlanned():
                self._print_plan(event)
            case SearchProgress():
                self._advance(event)
            case _:
                self.report.show(event)

    def _print_start(self, started: SearchStarted) -> None:
        """What is searched in, and the time it may take."""
        budget = duration(started.budget_s)
        if started.longest_s > started.budget_s:
            budget = f"about {budget}, {duration(started.longest_s)} on a slow machine"
        self.report.say(f"searching training run {started.run}; time budget: {budget}")

    def _print_cap(self, resolved: ResolvedCap, space: str) -> None:
        """What is capped, and what the space can do."""
        say, cap, can = self.report.say, resolved.cap, resolved.reach
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
        new = planned.resumes is None
        start = "searching" if new else f"going on with {planned.resumes}:"
        done = "" if new else f", {planned.evaluated} of which are evaluated"
        limit = ""
        if plan.deadline_s is not None and plan.deadline_s < plan.evolution_s(planned.evaluated):
            limit = f" (the time budget ends them after {duration(plan.deadline_s)})"
        self.report.say(
            f"{start} up to {counted(config.evaluations, 'architecture')} "
            f"({config.population} first ones and {counted(config.generations, 'generation')})"
            f"{done}: {duration(plan.evaluation_s)} each, {plan.left(planned.evaluated)} to go"
            f"{limit}, then {duration(plan.after_s)} for finalists and test; about "
            f"{duration(plan.total_s(planned.evaluated))} in all\n"
            f"an architecture is recalibrated on {counted(planned.recalibration_images, 'image')} "
            f"and judged on {planned.search_images}"
        )

    def _advance(self, now: SearchProgress) -> None:
        costs = ", ".join(
            f"{cost:.3g} {unit}" for cost, unit in zip(now.best_costs, self._units, strict=True)
        )
        self.report.activity.progress(
            "searching",
            now.done,
            now.total,
            "architectures",
            f"generation {now.generation} of {now.generations}, best {now.best_accuracy:.2f} % at "
            f"{costs}",
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
    report.say(table)


def print_choice(report: Report, result: SearchResult, path: Path) -> None:
    """Print the chosen architecture beside its targets, its accuracies and its folder."""
    say = report.say
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
    report.place(path)
