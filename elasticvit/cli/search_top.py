"""The best architectures of each goal of a search, as `evit-search` prints them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from elasticvit.cli.report import Report
from elasticvit.flows.search import SearchResult
from elasticvit.flows.search_events import RankedArch


def print_top(report: Report, rows: Sequence[RankedArch], result: SearchResult) -> None:
    """Print the best architectures, the winner of each goal first; nothing if none were asked
    for."""
    if not rows:
        return
    table = Table(title="The best for each target", title_justify="left")
    several = len(result.goals) > 1
    if several:
        table.add_column("goal", justify="right", no_wrap=True)
    units = [cap.unit + ("" if cap.place is None else f" on {cap.place}") for cap in rows[0].caps]
    figure = "accuracy %" if result.has_weights else "score"
    macs = "MMACs" not in units
    for name in ("rank", *units, *(["MMACs"] if macs else []), figure):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("architecture")
    for row in rows:
        error = f" ± {row.error:.2f}" if row.error else ""
        table.add_row(
            *([str(row.goal)] if several else []),
            str(row.rank),
            *(f"{cap.predicted:.4g}" for cap in row.caps),
            *([f"{row.macs_m:.1f}"] if macs else []),
            f"{row.accuracy:.2f}{error}",
            str(row.arch),
            style="bold" if row.rank == 1 else None,
        )
    report.say(table)
