"""What `evit-profile` does besides measuring a space: time model files, import and export tables,
explain an architecture, list devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elasticvit.cli.command import command_line
from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted
from elasticvit.errors import NextStep
from elasticvit.names import HOST
from elasticvit.precisions import in_words
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.flows.model_timing_result import ModelTimings
    from elasticvit.flows.profile_result import ProfileResult

NEXT = NextStep("train")  # after a profile or an import


def time_files(report: Report, folder: Workspace, **settings: Any) -> None:
    """Time TFLite files side by side."""
    from elasticvit.cli.model_report import ModelEvents, show_models
    from elasticvit.flows.model_timing import time_models

    result = time_models(workspace=folder, events=ModelEvents(report), **settings)
    report.activity.end()
    for one in result.devices.values():
        show_models(report, one)
    close(report, result)


def close(
    report: Report, result: ProfileResult | ModelTimings, next_step: str | None = None
) -> None:
    """End with what was measured on the devices, or, where one failed, with its error."""
    if result.failed:
        for name, error in result.failed.items():
            report.warn(f"{name}: {error}")
        report.close(result.to_dict())  # of the others
        raise next(iter(result.failed.values()))
    report.close(result.to_dict(), next_step)


def import_file(
    report: Report,
    folder: Workspace,
    table: str,
    device: str | None,
    space: str | None,
    precision: str | None,
    force: bool,
) -> None:
    """Read a latency table of another origin, and fit its predictor."""
    from elasticvit.cli.profile_report import show_import
    from elasticvit.flows.tables import import_table

    report.activity.phase(f"importing {table} and fitting its predictor")
    result = import_table(
        table, device, space=space, precision=precision, force=force, workspace=folder
    )
    show_import(report, result)
    report.close(result.to_dict(), command_line(NEXT))


def export_file(
    report: Report,
    folder: Workspace,
    path: str,
    device: str | None,
    precision: str | None,
    threads: int | None,
    cores: str | None,
    force: bool,
) -> None:
    """Write the latency table of a device to a file."""
    from elasticvit.flows.tables import export_table

    name = folder.device(device) or HOST
    chosen = folder.precision(name, precision)
    told = name + in_words(chosen)
    report.activity.phase(f"exporting the latency table of {told}")
    found = export_table(
        path,
        device,
        precision=chosen,
        threads=threads,
        cores=cores,
        force=force,
        workspace=folder,
    )
    report.say(f"{counted(found.count, 'measurement')} of {told}: {found.series}")
    for other in found.others:
        report.say(f"left out, name --threads and --cores to export it: {other}")
    report.place(path)
    step = NextStep("profile", {"table": path})
    report.close(found.to_dict(), command_line(step, workspace="FOLDER"))  # another one


def explain(
    report: Report,
    folder: Workspace,
    device: str | None,
    space: str | None,
    precision: str | None,
    threads: int | None,
    cores: str | None,
    what: str,
) -> None:
    """Show where the latency of an architecture goes."""
    from elasticvit.cli.profile_report import explained, show_explained
    from elasticvit.flows.latency import load_latency

    report.activity.phase("reading the predictor")
    latency = load_latency(
        device, space=space, precision=precision, threads=threads, cores=cores, workspace=folder
    )
    result = explained(latency, what)
    show_explained(report, latency, result)
    report.close(result)


def list_connected(report: Report, folder: Workspace, addresses: list[str]) -> None:
    """Show the phones that are connected."""
    from elasticvit.cli.profile_report import show_devices
    from elasticvit.flows.connected import list_devices

    report.activity.phase("looking for connected devices")
    found = list_devices(addresses, workspace=folder)
    show_devices(report, found)
    report.close(found.to_dict())
