"""`evit-export --verify`: the proof of an export repeated, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from elasticvit.cli.export_report import ExportReport
from elasticvit.cli.modes import only
from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted, file_size
from elasticvit.flows.export_verify import verify_export
from elasticvit.flows.export_verify_result import VerifiedFile
from elasticvit.flows.settings import workspace_of
from elasticvit.names import HOST

ALONGSIDE = {"verify", "max_accuracy_drop"}
ON_DEVICE = {"check_on_device", "device"}


def run_verify(
    report: Report, folder: str, workspace: str | None, options: Mapping[str, Any]
) -> None:
    """Prove an export again and print what was found.

    Raises:
        click.UsageError: Options of an export were given as well.
        ExportError: The export is not proven.
        WorkspaceError: A device is asked for, and the folder of the workspace holds something else.
    """
    checked = options["check_on_device"]
    allowed = ALONGSIDE | ON_DEVICE if checked else ALONGSIDE
    only("--verify", allowed, "repeats the proof of an export")
    result = verify_export(
        folder,
        max_accuracy_drop=options["max_accuracy_drop"],
        device=(options["device"] or HOST) if checked else None,
        workspace=workspace_of(workspace) if checked else None,
        events=ExportReport(report),
    )
    report.activity.end()
    for one in result.files:
        report.say(_table(one))
        if one.device_check is not None:
            report.say(f"{one.card.file} {one.device_check}")
        if one.partitions is not None and one.partitions != one.card.partitions:
            report.warn(
                f"this computer's CPU delegate takes {one.card.file} in "
                f"{counted(one.partitions, 'partition')}, that of the export in "
                f"{one.card.partitions}"
            )
    if result.untested is not None:
        report.say(f"the test part was not gone through again: {result.untested}")
    if result.files[0].kept is None:
        report.say("the bundle keeps no images; its files were compared on the test part alone")
    result.check()
    names = ", ".join(one.card.file for one in result.files)
    report.say(f"proven again: {names}; the checksums are those of the export")
    report.close(result.to_dict())


def _table(one: VerifiedFile) -> Table:
    """The figures of the export beside those of this computer."""
    card, kept, test = one.card, one.kept, one.test
    before, was = card.parity, card.fresh
    table = Table(title=f"{card.file}, {card.format}", title_justify="left")
    table.add_column("")
    for name in ("export", "kept images", "test images"):
        table.add_column(name, justify="right")

    def row(name: str, *values: str | None) -> None:
        table.add_row(name, *("-" if value is None else value for value in values))

    parities = (before, kept, test)
    row("images", *(f"{p.images:,}" if p else None for p in parities))
    row("accuracy of torch, %", *(_percent(p.torch_accuracy) if p else None for p in parities))
    row(
        "accuracy of the file, %", *(_percent(p.exported_accuracy) if p else None for p in parities)
    )
    row("same class as torch, %", *(f"{p.agreement:.2f}" if p else None for p in parities))
    row(
        "largest difference of a logit", *(f"{p.max_abs_diff:.1e}" if p else None for p in parities)
    )
    row("- in standard deviations", *(f"{p.max_rel_diff:.1e}" if p else None for p in parities))
    moved = None if one.moved is None else f"{one.moved:.1e}"
    row("- from the exporting computer's", None, moved, None)
    table.add_section()
    table.add_row("", "export", "here", "")
    figures = [("load, ms", "load_ms"), ("first inference, ms", "first_ms")]
    for name, field in [*figures, ("steady inference, ms", "steady_ms")]:
        old = None if was is None else f"{getattr(was, field):.3f}"
        row(name, old, f"{getattr(one.fresh, field):.3f}", "")
    memory = None if was is None else file_size(was.memory_bytes)
    row("memory", memory, file_size(one.fresh.memory_bytes), "")
    return table


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"
