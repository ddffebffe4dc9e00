"""`evit-train --write-soft-labels`: what teachers say of the training images, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elasticvit.cli.command import command_line
from elasticvit.cli.modes import only
from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted
from elasticvit.errors import NextStep
from elasticvit.events import Event
from elasticvit.flows.soft_labels import SoftLabelsProgress, write_soft_labels

USED = ("teacher", "data", "space", "threads")  # options of evit-train that count here


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
    only("--write-soft-labels", ("write_soft_labels", *USED), "trains nothing")

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
