"""`evit-profile`: time a space's kernels and subnets on a device, and fit its predictor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from elasticvit.cli import profile_actions as actions
from elasticvit.cli.app import evit_command
from elasticvit.cli.command import command_line
from elasticvit.cli.modes import given, named, only, refuse
from elasticvit.cli.report import Report
from elasticvit.errors import SettingError
from elasticvit.flows.learn import DEFAULT_KERNELS, LearnSettings, learn_device
from elasticvit.flows.profile import DEFAULT_MINUTES, ProfileSettings, profile
from elasticvit.names import HOST
from elasticvit.precisions import FP32, PRECISIONS
from elasticvit.workspace import Workspace

HELP = """Time kernels and whole subnets on a device and fit its latency predictor.

Continues an earlier profile of the device; run again, it adds measurements to the same table.
With --model it times model files instead, side by side, and leaves the table alone.
"""
INTERRUPTED = (
    "the measurements that were made are kept, and the same command goes on from there; an import "
    "or an export of a table, and the timing of model files, start again"
)
FILE = click.Path(dir_okay=False)
TIMING = ("device", "rounds", "threads", "cores", "seed", "address", "serial", "runner")
# option that does something else than a profile -> the options that count with it, what it does
MODES = {
    "model": (TIMING, f"times files and takes {', '.join(f'--{name}' for name in TIMING)}"),
    "list_devices": (("address",), "only looks for devices"),
    "table": (("device", "space", "precision", "force"), "measures nothing"),
    "export_lut": (("device", "precision", "threads", "cores", "force"), "measures nothing"),
    "explain": (("device", "space", "precision", "threads", "cores"), "measures nothing"),
}


@evit_command("evit-profile", HELP, INTERRUPTED)
@click.option(
    "--device",
    multiple=True,
    help="Device to profile; repeat for several.  [default: host; with --explain and "
    "--export-lut the device profiled last; with --import the table's]",
)
@click.option(
    "--model",
    type=FILE,
    multiple=True,
    help="TFLite file to time, whoever made it; repeat for several, which are timed in turns. "
    "Nothing is added to the latency table.",
)
@click.option(
    "--space",
    default=None,
    help="Search space: preset or TOML file.  [default: the one used last, or mobile]",
)
@click.option(
    "--budget-minutes",
    type=click.FloatRange(min=0.02),
    default=None,
    help=f"Time budget for measuring.  [default: at most {DEFAULT_MINUTES:g}]",
)
@click.option(
    "--like",
    default=None,
    help="Source devices, such as pixel4,pixel6, to learn a new device from.",
)
@click.option(
    "--budget-kernels",
    type=int,
    default=None,
    help=f"Kernels to time with --like.  [default: {DEFAULT_KERNELS}]",
)
@click.option(
    "--rounds",
    type=click.IntRange(2, 99),
    default=None,
    help="Rounds in which each model is timed.  [default: 3; with --model 15, or 30 of a single "
    "one]",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=None,
    help="Inference threads; each number has a predictor of its own.  [default: 1; with --explain "
    "and --export-lut the number profiled last]",
)
@click.option(
    "--cores",
    default=None,
    help="CPU cores: auto, big, mid, little or a hexadecimal mask; likewise.  [default: auto; "
    "with --explain and --export-lut those profiled last]",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=None,
    help="Precision that the models are deployed and so timed in.  [default: fp32; with --explain "
    "and --export-lut the one profiled last; with --import the table's]",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Random seed.")
@click.option("--address", default=None, help="HOST[:PORT] of a phone, instead of USB.")
@click.option("--serial", default=None, help="Serial number of the phone, if several are on USB.")
@click.option(
    "--runner",
    type=FILE,
    default=None,
    help="TFLite benchmark_model program for phones; remembered for next time.",
)
@click.option("--list-devices", is_flag=True, help="Show connected and known devices.")
@click.option(
    "--import",
    "table",
    type=FILE,
    default=None,
    help="Import a latency table (.csv, .parquet, or a published .json); measure nothing.",
)
@click.option(
    "--force",
    is_flag=True,
    help="With --import: allow another device's name, or replacing a measured predictor; with "
    "--export-lut: replace an existing file.",
)
@click.option(
    "--export-lut",
    type=FILE,
    default=None,
    help="Export the latency table (.csv or .parquet); measure nothing.",
)
@click.option(
    "--explain",
    default=None,
    help="Show the latency of an architecture by kernel: a published name, smallest, largest, "
    "or the text that tables print.",
)
def main(
    report: Report,
    workspace: str | None,
    device: tuple[str, ...],
    model: tuple[str, ...],
    space: str | None,
    budget_minutes: float | None,
    like: str | None,
    budget_kernels: int | None,
    rounds: int | None,
    threads: int | None,
    cores: str | None,
    precision: str | None,
    seed: int,
    address: str | None,
    serial: str | None,
    runner: str | None,
    list_devices: bool,
    table: str | None,
    force: bool,
    export_lut: str | None,
    explain: str | None,
) -> None:
    folder = Workspace.open(workspace)
    _check(device, address or serial, [table, export_lut, explain, list_devices or None], like)
    _check_mode()
    one = device[0] if device else None
    cpu = {"threads": threads or 1, "cores": "auto" if cores is None else cores}
    place = {"address": address, "serial": serial, "runner": runner}
    if model:
        how = {"rounds": rounds, **cpu, "seed": seed}
        actions.time_files(report, folder, model=model, device=device or (HOST,), **how, **place)
    elif list_devices:
        actions.list_connected(report, folder, [address] if address else [])
    elif table is not None:
        actions.import_file(report, folder, table, one, space, precision, force)
    elif export_lut is not None:
        actions.export_file(report, folder, export_lut, one, precision, threads, cores, force)
    elif explain is not None:
        actions.explain(report, folder, one, space, precision, threads, cores, explain)
    else:
        settings: dict[str, Any] = {
            "device": device or (HOST,),
            "space": space,
            "budget_minutes": budget_minutes,
            "rounds": 3 if rounds is None else rounds,
            **cpu,
            "precision": precision or FP32,
            "seed": seed,
            **place,
        }
        if like is None:
            if budget_kernels is not None:
                raise SettingError(
                    f"{budget_kernels} kernels: their number is set for a device that is learnt "
                    "from known ones; name them, or limit the time of a profile instead",
                    settings=["like", "budget_minutes"],
                )
            _profile(report, folder, ProfileSettings(**settings))
        else:
            count = DEFAULT_KERNELS if budget_kernels is None else budget_kernels
            _profile(
                report,
                folder,
                LearnSettings(**settings, like=like, budget_kernels=count),
            )


def _check(
    names: tuple[str, ...], place: str | None, actions: Sequence[object], like: str | None
) -> None:
    """Refuse options that contradict each other."""
    named = sum(action is not None for action in actions)
    if named > 1:
        raise click.UsageError(
            "--import, --export-lut, --explain and --list-devices do one thing each; name one"
        )
    if named and like:
        raise click.UsageError(
            f"--like {like} is for measuring; --import, --export-lut, --explain and --list-devices "
            "measure nothing: name one of them, or --like"
        )
    if len(names) > 1 and (named or place):
        raise click.UsageError(
            f"{len(names)} devices; --address, --serial, --import, --export-lut and --explain are "
            "about one: name one --device"
        )


def _check_mode() -> None:
    """Refuse options that do not count in what is done."""
    chosen = given()
    for name, (allowed, why) in MODES.items():
        if name in chosen:
            only(named([name]), (name, *allowed), why)
            return
    refuse(["force"], "--import and --export-lut")


def _profile(report: Report, folder: Workspace, settings: ProfileSettings) -> None:
    from elasticvit.cli.profile_progress import ProfileEvents
    from elasticvit.cli.profile_report import show_profile

    handler = ProfileEvents(report)
    if isinstance(settings, LearnSettings):
        result = learn_device(settings, workspace=folder, events=handler)
    else:
        result = profile(settings, workspace=folder, events=handler)
    report.activity.end()
    for one in reversed(list(result.devices.values())):  # the default device last
        show_profile(report, one)
    actions.close(report, result, command_line(actions.NEXT))
