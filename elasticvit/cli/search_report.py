"""What `evit-search` shows: targets and plan, the bar while it runs, the front and the choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from elasticvit.cli.command import command_line
from elasticvit.cli.report import Report
from elasticvit.cli.search_goals import print_goals
from elasticvit.cli.verify_report import measured_line, print_verdict
from elasticvit.cli.wording import counted, duration, listed
from elasticvit.errors import NextStep
from elasticvit.events import Event
from elasticvit.flows.search import FrontPoint, SearchResult, Winner
from elasticvit.flows.search_events import (
    CapsResolved,
    FinalistMeasured,
    RankedArch,
    ResolvedCap,
    ScoresChosen,
    SearchPlanned,
    SearchProgress,
    SearchStarted,
    TopRanked,
)
from elasticvit.flows.single_run import train_step
from elasticvit.page import REPORT_FILE
from elasticvit.precisions import FP32

EQUAL = 0.6  # confidence below which winner and runner-up are as good as equal
FRONT_ROWS = 16  # of the table that is printed


class SearchReport:
    """Handler of the events of a search: prints targets and plan, and how far the evolution is.

    Attributes:
        top: The best architectures of each goal, once they are known; empty if none are asked for.
    """

    def __init__(self, report: Report) -> None:
        self.report, self._units, self._round = report, tuple[str, ...](), "generation"
        self._percent = " %"  # of an accuracy; scores have no unit
        self.top: tuple[RankedArch, ...] = ()

    def __call__(self, event: Event) -> None:
        match event:
            case SearchStarted():
                self._print_start(event)
            case ScoresChosen():
                self._percent = ""
                self.report.say(
                    f"there is no supernet: architectures are ordered by {event.source}, "
                    f"{event.about}"
                )
            case FinalistMeasured():
                self.report.say(measured_line(event.measured))
            case CapsResolved():
                self._units = tuple(resolved.cap.cost.unit for resolved in event.caps)
                for resolved in event.caps:
                    self._print_cap(resolved, event.space)
            case SearchPlanned():
                self._print_plan(event)
            case SearchProgress():
                self._advance(event)
            case TopRanked():
                self.top = event.rows
            case _:
                self.report.show(event)

    def _print_start(self, started: SearchStarted) -> None:
        """What is searched in, and the time it may take."""
        budget = duration(started.budget_s)
        if started.longest_s > started.budget_s:
            budget = f"about {budget}, {duration(started.longest_s)} on a slow machine"
        self.report.say(f"searching the supernet of {started.run}; time budget: {budget}")

    def _print_cap(self, resolved: ResolvedCap, space: str) -> None:
        """What is capped, and what the space can do."""
        say, cap, can = self.report.say, resolved.cap, resolved.reach
        what = cap.cost.name
        if cap.device is not None:
            what = f"predicted {what}" if resolved.coverage is None else f"upper bound of {what}"
        say(
            f"target: {what} at most {listed(resolved.targets)} {cap.cost.unit}; space {space} has "
            f"{can.low:.3g} to {can.high:.3g}, median {can.median:.3g}"
        )
        for remark in resolved.remarks:
            say(remark)
        if cap.device is not None:
            say(f"numbers of {cap.device}: {resolved.origin}")
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
        self._round = "round" if config.guided else "generation"
        new = planned.resumes is None
        start = "searching" if new else f"going on with {planned.resumes}:"
        done = "" if new else f", {planned.evaluated} of which are evaluated"
        limit = ""
        if plan.deadline_s is not None and plan.deadline_s < plan.evolution_s(planned.evaluated):
            limit = f" (the time budget ends them after {duration(plan.deadline_s)})"
        self.report.say(
            f"{start} up to {counted(config.evaluations, 'architecture')} "
            f"({config.population} first ones and {counted(config.generations, self._round)})"
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
            f"{self._round} {now.generation} of {now.generations}, best {now.best_accuracy:.2f}"
            f"{self._percent} at {costs}",
        )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def print_front(report: Report, result: SearchResult) -> None:
    """Print the front as a table, the most accurate first, the chosen one marked."""
    from rich.table import Table

    predicted = "" if result.predicted_ms is None else " (ms as predicted)"
    title = f"Front of {result.evaluations} architectures{predicted}"
    table = Table(title=title, title_justify="left")
    columns: dict[str, Callable[[FrontPoint], str]] = {
        "ms": lambda p: _number(p.predicted_ms, 3),
        "bound ms": lambda p: _number(p.upper_ms, 3),
        "MMACs": lambda p: f"{p.macs_m:.1f}",
        "accuracy %": lambda p: f"{p.accuracy:.2f}",
    }
    if result.predicted_ms is None:
        del columns["ms"], columns["bound ms"]
    if not result.has_weights:
        columns["score"] = columns.pop("accuracy %")
    for index, cap in result.other_caps:
        where = "" if cap.place is None else f" on {cap.place}"
        columns[cap.unit + where] = lambda p, index=index: (  # type: ignore[misc]
            f"{p.costs[index]:.4g}" if p.costs else "-"
        )
    several = len(result.goals) > 1
    table.add_column("goal" if several else "", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("architecture")
    step = max(1, -(-len(result.front) // FRONT_ROWS))
    winners = {winner.arch for winner in result.goals}
    for i, point in enumerate(reversed(result.front)):
        chosen = point.arch in winners
        if chosen or i % step == 0:
            mark = result.chosen_for(point.arch) if several else "*"
            cells = [mark if chosen else "", *(show(point) for show in columns.values())]
            table.add_row(*cells, str(point.arch), style="bold" if chosen else None)
    report.say(table)


def print_choices(report: Report, result: SearchResult, path: Path) -> None:
    """Print what was chosen for each goal beside its targets and accuracies, and the folder."""
    say = report.say
    if not result.complete:
        say("the time was up before all architectures were judged; more time may find better")
    if result.agreement is not None:
        say(
            f"accuracy predictor: of the {result.agreement.archs} architectures that it chose, it "
            f"ranked {(1 + result.agreement.tau) / 2:.0%} of the pairs as they were judged "
            f"(Kendall's tau {result.agreement.tau:.2f})"
        )
    if len(result.goals) > 1:
        print_goals(report, result)
        for number, winner in enumerate(result.goals, 1):
            print_verdict(report, winner, f"goal {number}: ")
    else:
        _print_winner(report, result.goals[0], result)
    if result.precision != FP32 and result.has_weights:
        say(
            f"accuracies are those of the supernet in fp32; the export, which is in "
            f"{result.precision} by default, states that of the file"
        )
    say(f"report: {path / REPORT_FILE}", wrap=False)
    report.place(path)


def _print_winner(report: Report, winner: Winner, result: SearchResult) -> None:
    say = report.say
    for cap in winner.caps:
        where = f"on {cap.place}" if cap.place else "in all"
        upper = "" if cap.upper is None else f", upper bound {cap.upper:.4g} {cap.unit}"
        say(f"{where}: predicted {cap.predicted:.4g} {cap.unit}{upper}; target {cap.target:g}")
    print_verdict(report, winner)
    if not result.has_weights:
        say(
            f"chosen {winner.arch}: {result.accuracy_source} gives {winner.accuracy:.2f}; nothing "
            "is trained yet"
        )
        return
    tested = ""
    if winner.test_accuracy is not None:
        tested = (
            f", {winner.test_accuracy:.2f} % on {result.test_images} test images that nothing has "
            "looked at before"
        )
    say(
        f"chosen {winner.arch}: {winner.accuracy:.2f} % (standard error {winner.error:.2f}) on the "
        f"{result.search_images} images that it was chosen by{tested}"
    )
    if winner.confidence is not None:
        say(
            f"it is better than the next best with a probability of {winner.confidence:.0%}, by "
            "the images that both were judged on"
            + ("; of equals the cheaper one is chosen" if winner.confidence < EQUAL else "")
        )


def next_command(result: SearchResult) -> str:
    """The command that makes sense after a search."""
    if not result.has_weights:
        return command_line(train_step(result.space, result.arch))
    goal = {"goal": 1} if len(result.goals) > 1 else {}
    return command_line(NextStep("export", {"format": "tflite", **goal}))
