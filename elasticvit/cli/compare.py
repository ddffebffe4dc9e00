"""`evit-export --compare`: what it takes, and what it prints."""

from __future__ import annotations

from typing import Any

import click

from elasticvit.cli.model_report import ModelEvents, numbers_table, show_conditions, show_files
from elasticvit.cli.modes import only, refuse
from elasticvit.cli.report import Report
from elasticvit.cli.wording import printable
from elasticvit.flows.compare import compare
from elasticvit.flows.compare_result import Comparison

OWN = ("rounds", "threads", "cores", "seed")  # options of --compare alone


def check_options(compared: bool) -> None:
    """Refuse options and arguments that do not belong to what is done.

    Args:
        compared: Whether models are compared, instead of one exported.

    Raises:
        click.UsageError: There are some.
    """
    if compared:
        what = "times models that are exported already"
        only("--compare", ("compare", "models", "device", *OWN), what)
        return
    refuse(OWN, "--compare")
    models = click.get_current_context().params["models"]
    if models:
        raise click.UsageError(
            f"{' '.join(models)}: folders and files are named after --compare alone"
        )


def run_comparison(report: Report, workspace: str | None, options: dict[str, Any]) -> None:
    """Compare models, print the table, and say where the page is."""
    result = compare(workspace=workspace, events=ModelEvents(report), **options)
    report.activity.end()
    show_comparison(report, result)
    if result.timing.ended is not None:
        raise result.timing.ended
    report.close(result.to_dict())


def show_comparison(report: Report, result: Comparison) -> None:
    """Latencies beside each other, files, conditions, and where the page is."""
    timing = result.timing
    report.say(f"{timing.device} ({timing.source}), {timing.runtime}")
    first = printable(result.models[0].name)
    table = numbers_table("ms", "95 % interval", f"of {first}", "95 % interval", "accuracy, %")
    for one in result.models:
        accuracy, ratio = one.candidate.accuracy, one.ratio
        if one.refused is not None:
            report.warn(f"{one.name}: refused: {one.refused}")
        table.add_row(
            printable(one.name),
            "-" if one.timing is None else f"{one.timing.ms:.4g}",
            "-" if one.timing is None else f"{one.timing.low_ms:.4g} - {one.timing.high_ms:.4g}",
            "-" if ratio is None else f"{ratio.value:.3f}",
            "-" if ratio is None else f"{ratio.low:.3f} - {ratio.high:.3f}",
            "-" if accuracy is None else f"{accuracy.percent:.2f} ± {accuracy.error:.2f}",
        )
    report.say(table)
    show_files(report, timing)
    show_conditions(report, timing)
    report.say(f"table: {result.csv}", wrap=False)
    report.place(result.page, "page:")
    report.say(f"the same again: {timing.command}", wrap=False)
