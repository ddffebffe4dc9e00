"""What `evit-export` prints: how far it is, and the figures of the exported file."""

from __future__ import annotations

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn
from rich.table import Table

from elasticvit.cli.app import Report
from elasticvit.events import Event, Notice
from elasticvit.flows.export import ExportResult
from elasticvit.flows.export_events import (
    ComparisonProgress,
    ExportStarted,
    ModelConverted,
    TimingStarted,
)


class ExportReport:
    """Prints the events of the export flow; a context manager that ends the bar."""

    def __init__(self, report: Report) -> None:
        self.console = report.console
        self._bar = Progress(
            "comparing",
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=report.console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case Notice():
                mark = "[yellow]warning:[/yellow] " if event.warning else ""
                self.console.print(f"{mark}{event.text}")
            case ExportStarted():
                self.console.print(f"exporting {event.arch} with {event.format} ...")
            case ModelConverted():
                self.console.print(
                    f"{event.bytes / 1e6:.2f} MB in {event.seconds:.1f} s; comparing with torch"
                )
            case ComparisonProgress():
                if self._task is None:
                    self._task = self._bar.add_task("", total=event.total)
                    if self.console.is_terminal:
                        self._bar.start()
                self._bar.update(self._task, completed=event.done)
            case TimingStarted():
                self._stop()
                self.console.print(f"timing on {event.device}")

    def __enter__(self) -> ExportReport:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.console.is_terminal:
            self._bar.stop()


def print_result(report: Report, result: ExportResult) -> None:
    """Print what was expected of the file beside what it does, and where it lies."""
    card, say = result.card, report.console.print
    parity, timing = card.parity, card.timing
    table = Table(title=f"{result.model.name}, {card.bytes / 1e6:.2f} MB", title_justify="left")
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
        f"on {parity.images} test images the top-1 agreement of torch and the file is "
        f"{parity.agreement:.2f} %; logits differ by at most {parity.max_abs_diff:.1e} "
        f"({parity.max_rel_diff:.1e} standard deviations)"
    )
    if timing is None:
        say(f"not timed: {card.untimed}")
    else:
        say(
            f"timed on {timing.source}, {timing.threads} thread(s) on core(s) {timing.cores}, "
            f"{timing.runs} runs in {timing.rounds} rounds: median just now "
            f"{timing.median_ms:.3f} ms, rounds {timing.low_ms:.3f} to {timing.high_ms:.3f} ms"
        )
        if timing.target_ms is not None:
            verdict = "kept" if timing.measured_ms <= timing.target_ms else "missed"
            say(f"latency cap {timing.target_ms:g} ms: {verdict}")
    if card.partitions is not None:
        count = sum(card.operators.values())
        say(f"{count} operators in {card.partitions} partition(s) of the CPU delegate")
    say(f"written to {result.model}")
