"""What `evit-export` prints: how far it is, and the figures of the exported file."""

from __future__ import annotations

from rich.table import Table

from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted, duration, file_size
from elasticvit.events import Event
from elasticvit.flows.export import ExportResult
from elasticvit.flows.export_events import (
    ComparisonProgress,
    ExportPlanned,
    ExportStarted,
    ModelConverted,
    TimingStarted,
)
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
                    f"export of search {event.search} with {event.format}: convert the chosen "
                    f"subnet, compare the file with torch on at most "
                    f"{counted(event.images, 'test image')}{timed}"
                )
            case ExportStarted():
                told = in_words(event.precision)
                say(f"exporting {event.arch} with {event.format}{told} ...")
                activity.phase(f"converting with {event.format}")
            case ModelConverted():
                say(f"{file_size(event.bytes)} in {duration(event.seconds)}; comparing with torch")
                activity.phase("comparing the file with torch")
            case ComparisonProgress():
                activity.progress("comparing with torch", event.done, event.total, "images")
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
    card, say = result.card, report.say
    parity, timing = card.parity, card.timing
    table = Table(title=f"{result.model.name}, {file_size(card.bytes)}", title_justify="left")
    for column, justify in (("", "left"), ("expected", "right"), ("exported", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    table.add_row("accuracy, %", f"{parity.torch_accuracy:.2f}", f"{parity.exported_accuracy:.2f}")
    if timing is not None:
        predicted = "-" if timing.predicted_ms is None else f"{timing.predicted_ms:.3f}"
        table.add_row(f"ms on {timing.device}", predicted, f"{timing.measured_ms:.3f}")
        if timing.ratio is not None:
            table.add_row("predicted / measured", "1.000", f"{timing.ratio:.3f}")
    say(table)
    say(
        f"on {counted(parity.images, 'test image')} the top-1 agreement of torch and the file is "
        f"{parity.agreement:.2f} %; logits differ by at most {parity.max_abs_diff:.1e} "
        f"({parity.max_rel_diff:.1e} standard deviations)"
    )
    if timing is None:
        say("\n".join([f"not timed: {card.untimed}", *advice]))
    else:
        say(
            f"timed on {timing.source}, {counted(timing.threads, 'thread')} on core(s) "
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
    if card.partitions is not None:
        count = sum(card.operators.values())
        parts = counted(card.partitions, "partition")
        say(f"{counted(count, 'operator')} in {parts} of the CPU delegate")
    if card.precision != FP32:
        types = ", ".join(f"{count} {name}" for name, count in card.tensor_types.items())
        say(f"{card.precision}: tensors in the file are {types}")
    if card.calibration is not None:
        images = counted(card.calibration.images, "training image")
        say(f"ranges of activations are from {images}, {card.calibration.rule}")
    if result.remark is not None:
        say(result.remark)
    report.place(result.model)
