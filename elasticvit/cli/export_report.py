"""What `evit-export` prints: how far it is, and the figures of the exported file."""

from __future__ import annotations

from elasticvit.cli.export_table import proof_table
from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted, duration, file_size
from elasticvit.events import Event
from elasticvit.flows.export import ExportResult
from elasticvit.flows.export_events import (
    ComparisonProgress,
    DeviceCheckStarted,
    ExportPlanned,
    ExportStarted,
    FreshRunStarted,
    ModelConverted,
    TimingStarted,
)
from elasticvit.flows.export_result import ExportedFile
from elasticvit.precisions import FP32, in_words


class ExportReport:
    """Handler of the events of an export."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __call__(self, event: Event) -> None:
        activity, say = self.report.activity, self.report.say
        match event:
            case ExportPlanned():
                timed = ", and time it on a device" if event.timed else ""
                say(
                    f"export of {event.subject} with {event.format}: convert the network, compare "
                    f"the file with torch on at most {counted(event.images, 'image')}{timed}"
                )
            case ExportStarted():
                told = in_words(event.precision)
                say(f"exporting {event.name} with {event.format}{told} ...")
                activity.phase(f"converting with {event.format}")
            case ModelConverted():
                say(f"{file_size(event.bytes)} in {duration(event.seconds)}; comparing with torch")
                activity.phase("comparing the file with torch")
            case ComparisonProgress():
                activity.progress("comparing with torch", event.done, event.total, "images")
            case FreshRunStarted():
                activity.phase("loading and running the file in fresh processes")
            case DeviceCheckStarted():
                activity.phase(f"running images on {event.device}")
            case TimingStarted():
                activity.phase(f"timing on {event.device}")
            case _:
                self.report.show(event)


def print_result(report: Report, result: ExportResult, advice: list[str]) -> None:
    """Print what was expected of the file beside what it does, and where it lies.

    Args:
        report: Output of the command.
        result: The export.
        advice: Lines on how to have a model timed that was not.
    """
    say = report.say
    say(proof_table(result.files))
    for one in result.files:
        _notes(report, one, advice if one is result.files[0] else [])
    fresh = result.card.fresh
    if fresh is not None:
        say(
            f"here: {fresh.computer}, {counted(fresh.threads, 'thread')}, "
            f"{counted(fresh.processes, 'fresh process')}; memory is what a "
            "process held at most, over what it held with the runtime imported"
        )
    if result.remark is not None:
        say(result.remark)
    report.place(result.model)


def _notes(report: Report, one: ExportedFile, advice: list[str]) -> None:
    """What the table does not tell of one file: how it was timed, and what to beware of."""
    card, say = one.card, report.say
    timing = card.timing
    if card.undelegated:
        left = ", ".join(f"{count} {name}" for name, count in card.undelegated.items())
        report.warn(f"{card.file}: the CPU delegate leaves {left} to slower kernels")
    if one.drop.doubtful:
        report.warn(
            f"{card.file} may be too inaccurate: {one.drop}; more images tell (--images, or a data "
            "set with more of them)"
        )
    if card.precision != FP32:
        types = ", ".join(f"{count} {name}" for name, count in card.tensor_types.items())
        say(f"{card.file} in {card.precision}: tensors in the file are {types}")
    if card.calibration is not None:
        images = counted(card.calibration.images, "training image")
        say(f"ranges of activations are from {images}, {card.calibration.rule}")
    if card.device_check is not None:
        say(f"{card.file} {card.device_check}")
    if timing is None:
        say(f"{card.file} is not timed: {card.untimed}")
        for line in advice:
            say(line, wrap=False)
        return
    say(
        f"{card.file} was timed on {timing.source}, {counted(timing.threads, 'thread')} on core(s) "
        f"{timing.cores}, {timing.runs} runs in {timing.rounds} rounds: median just now "
        f"{timing.median_ms:.3f} ms, rounds {timing.low_ms:.3f} to {timing.high_ms:.3f} ms"
    )
    if timing.kept:
        say(f"latency cap {timing.target_ms:g} ms: kept")
    elif timing.target_ms is not None:
        over = timing.measured_ms / timing.target_ms - 1
        lower = timing.target_ms**2 / timing.measured_ms
        report.warn(
            f"the file takes {timing.measured_ms:.4g} ms on {timing.device}, {over:.1%} more "
            f"than the search's cap of {timing.target_ms:g} ms: search again with a target of "
            f"{lower:.3g} ms or so, and with --verify, so that finalists are timed first"
        )
