"""What `evit-status` prints: a line for each thing, and what is damaged."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.padding import Padding

from elasticvit.cli.command import command_line
from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted, duration, file_size, listed
from elasticvit.flows.status import (
    DeviceStatus,
    ExportStatus,
    RunStatus,
    SearchStatus,
    Target,
    TimingStatus,
    WorkspaceStatus,
)
from elasticvit.flows.status_again import train_again
from elasticvit.precisions import in_words

LATEST = "*"  # marks what the next command uses by default


def print_status(report: Report, found: WorkspaceStatus) -> None:
    """Print everything that was found."""
    kinds = (found.devices, found.runs, found.searches, found.exports, found.timings, found.damaged)
    if not any(kinds):
        report.say(f"workspace {found.root}: there is nothing in it yet")
        return
    report.say(
        f"workspace {found.root}: space {found.space or 'none yet'}, data set "
        f"{found.data or 'none yet'}; {LATEST} marks what the next command uses by default"
    )
    _print_list(report, "devices", [(one.latest, _device(one)) for one in found.devices])
    _print_list(report, "training runs", [(one.latest, _run(one)) for one in found.runs])
    _print_list(report, "searches", [(one.latest, _search(one)) for one in found.searches])
    _print_list(report, "exported models", [(one.latest, _export(one)) for one in found.exports])
    _print_list(report, "timed models", [(False, _timing(one)) for one in found.timings])
    for damage in found.damaged:
        report.warn(f"damaged: {damage.problem}")


def _print_list(report: Report, title: str, lines: Sequence[tuple[bool, str]]) -> None:
    if lines:
        report.say(title, style="bold")
    for latest, line in lines:
        report.say(Padding(f"{LATEST if latest else ' '} {line}", (0, 0, 0, 2)))


def _ago(since_s: float) -> str:
    return f"{duration(time.time() - since_s)} ago"


def _device(one: DeviceStatus) -> str:
    measured = "not measured here"
    if one.measured_s is not None:
        measured = (
            f"{counted(one.kernels, 'kernel')} and {counted(one.subnets, 'subnet')}, the latest "
            f"{_ago(one.measured_s)}"
        )
    if not one.predictor:
        error = "no predictor is fitted"
    elif one.error_pct is None:
        error = "the predictor's error on whole subnets is not known"
    else:
        error = f"the predictor's error on whole subnets is {one.error_pct:.3g} %"
    source = "" if one.source is None else f"{one.source}, "
    if one.threads is not None:
        source += f"{counted(one.threads, 'thread')} on cores {one.cores}, "
    return f"{one.name}{in_words(one.precision)}: {source}{measured}; {error}"


def _run(one: RunStatus) -> str:
    epochs = counted(one.epochs, "epoch")
    at = f" at step {one.step}" if one.step else " before its first step"
    if one.process is not None:
        state = f"under way{at} in process {one.process}"
    elif not one.finished:
        again = command_line(train_again(one))
        state = f"interrupted{at} {_ago(one.changed_s)}, resumed by {again}"
    else:
        state = f"finished {_ago(one.changed_s)}"
    kept = ", ".join(map(str, one.checkpoints))
    state += f", checkpoints of steps {kept}" if len(one.checkpoints) > 1 else ""
    best = "" if one.accuracy is None else f", best accuracy {one.accuracy:.2f} %"
    return f"{one.folder.name}: space {one.space} on {one.data}, {epochs}, {state}{best}"


def _search(one: SearchStatus) -> str:
    if one.process is not None:
        state = f"under way in process {one.process}"
    else:
        state = f"{'finished' if one.finished else 'interrupted'} {_ago(one.changed_s)}"
    line = (
        f"{one.folder.name}: at most {_targets(one.targets)}, {state} after "
        f"{counted(one.evaluated, 'architecture')}"
    )
    if one.arch is None:
        return line
    ms = "" if one.predicted_ms is None else f" at {one.predicted_ms:.3g} ms as predicted"
    if one.accuracy is None:
        return f"{line}; chosen {one.arch} by {one.chosen_by}{ms}"
    return f"{line}; chosen {one.arch}: {one.accuracy:.2f} % of test images{ms}"


def _targets(targets: Sequence[Target]) -> str:
    """The targets of all goals, cost by cost: `10 or 15 ms on pixel6 and 4 MB of file`."""
    limits: dict[str, list[float]] = {}
    for target in targets:
        where = "" if target.device is None else f" on {target.device}{in_words(target.precision)}"
        limits.setdefault(target.unit + where, []).append(target.limit)
    return " and ".join(f"{listed(n)} {what}" for what, n in limits.items()) or "an unknown target"


def _export(one: ExportStatus) -> str:
    timed = "not timed"
    if one.measured_ms is not None:
        timed = f"measured {one.measured_ms:.3g} ms on {one.device}"
    return (
        f"{one.model}: {one.arch or 'an unknown network'}, {' and '.join(one.formats)}, "
        f"{one.precision}, {file_size(one.bytes)}, {timed}, made {_ago(one.changed_s)}"
    )


def _timing(one: TimingStatus) -> str:
    made = f"made {_ago(one.changed_s)}"
    if one.device is None or one.rounds is None:
        return f"{one.folder.name}: without a summary (under way, or killed), {made}"
    models = ", ".join(
        f"{name} {'not timed' if ms is None else f'{ms:.3g} ms'}" for name, ms in one.models.items()
    )
    rounds = counted(one.rounds, "round") + ("" if one.complete else ", ended early")
    return f"{one.folder.name}: {models} on {one.device}, {rounds}, {made}"
