"""What `evit-search` shows of several goals: a table of figures, and the architectures below it."""

from __future__ import annotations

from rich.table import Table

from elasticvit.cli.report import Report
from elasticvit.cli.wording import listed
from elasticvit.flows.search import CapResult, SearchResult, Winner


def print_goals(report: Report, result: SearchResult) -> None:
    """Print what was chosen for each goal beside its targets, in the order of the goals, then each
    chosen architecture on a line of its own, whole so that it can be copied."""
    report.say(_figures_table(result))
    for arch in dict.fromkeys(winner.arch for winner in result.goals):
        numbers = [n for n, winner in enumerate(result.goals, 1) if winner.arch == arch]
        goals = "goal" if len(numbers) == 1 else "goals"
        report.say(f"{goals} {listed(numbers, 'and')}: {arch}", wrap=False)


def _figures_table(result: SearchResult) -> Table:
    table = Table(title="What was chosen for each goal", title_justify="left")
    table.add_column("goal", justify="right", no_wrap=True)
    for cap in result.caps:
        where = "" if cap.place is None else f" on {cap.place}"
        table.add_column(f"{cap.unit}{where}, target", justify="right")
    for name in _figures(result.goals[0], result):
        table.add_column(name, justify="right")
    for number, winner in enumerate(result.goals, 1):
        costs = (_used(cap) for cap in winner.caps)
        table.add_row(str(number), *costs, *_figures(winner, result).values())
    return table


def _used(cap: CapResult) -> str:
    bound = "" if cap.upper is None else f" (at most {cap.upper:.4g})"
    return f"{cap.predicted:.4g}{bound} of {cap.target:g}"


def _figures(winner: Winner, result: SearchResult) -> dict[str, str]:
    """The figures of a winner by their columns."""
    if not result.has_weights:
        return {"score": f"{winner.accuracy:.2f}"}
    sure, tested = winner.confidence, winner.test_accuracy
    return {
        f"% of {result.search_images} images": f"{winner.accuracy:.2f} ± {winner.error:.2f}",
        f"% of {result.test_images} test images": "-" if tested is None else f"{tested:.2f}",
        "better than the next": "-" if sure is None else f"{sure:.0%} sure",
    }
