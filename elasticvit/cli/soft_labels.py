"""`evit-train --write-soft-labels`: what teachers say of the training images, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from elasticvit.cli.command import command_line
from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted
from elasticvit.errors import NextStep
from elasticvit.events import Event
from elasticvit.flows.soft_labels import SoftLabelsProgress, write_soft_labels

USED = ("teacher", "data", "space", "threads")  # options of evit-train that count here
COMMON = ("write_soft_labels", "workspace", "as_json", "quiet", "verbose")


def write(report: Report, workspace: str | None, file: str, options: Mapping[str, Any]) -> None:
    """Write soft labels, and print what they are of.

    Args:
        report: Output of the command.
        workspace: Workspace folder.
        file: File to write.
        options: Options of evit-train.

    Raises:
        click.UsageError: An option is given that does not count here.
    """
    context = click.get_current_context()
    for parameter in context.params:
        given = context.get_parameter_source(parameter) is not ParameterSource.DEFAULT
        if given and parameter not in (*USED, *COMMON):
            raise click.UsageError(
                f"--{parameter.replace('_', '-')} has no effect with --write-soft-labels, which "
                "trains nothing; leave it out"
            )

    def show(event: Event) -> None:
        if isinstance(event, SoftLabelsProgress):
            report.activity.progress("asking the teachers", event.done, event.total, "images")
        else:
            report.show(event)

    used = {name: options[name] for name in USED}
    result = write_soft_labels(workspace=workspace, events=show, file=file, **used)
    report.activity.end()
    report.say(
        f"{counted(len(result.teachers), 'teacher')} judged {result.images:,} training images of "
        f"{result.data}; {result.agreement:.1f} % of them as they are labelled"
    )
    report.place(result.path)
    named = {name: options[name] for name in ("data", "space") if options[name] is not None}
    step = NextStep("train", {"soft_labels": result.path, **named})
    report.close(result.to_dict(), command_line(step))
