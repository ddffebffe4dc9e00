"""What is shown of model files that were timed: how far it is, and tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted, file_size, printable
from elasticvit.events import Event
from elasticvit.flows.model_events import TimingProgress

if TYPE_CHECKING:
    from rich.table import Table

    from elasticvit.flows.model_timing_result import DeviceTiming, ModelTiming

NAMED = 4  # operators that are named before the rest is counted


class ModelEvents:
    """Handler of the events of timing model files, which come from one thread a device."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __call__(self, event: Event) -> None:
        if isinstance(event, TimingProgress):
            self.report.activity.progress(
                f"timing on {event.device}", event.done, event.total, "rounds", event.model
            )
        else:
            self.report.show(event)


def show_models(report: Report, result: DeviceTiming) -> None:
    """The tables of one device: latencies, files, conditions, and how to repeat it."""
    show_latencies(report, result)
    show_files(report, result)
    show_conditions(report, result)
    report.place(str(result.folder), "raw runs:")
    report.say(f"the same again: {result.command}", wrap=False)


def show_latencies(report: Report, result: DeviceTiming) -> None:
    """A row a model with its latency."""
    report.say(f"{result.device} ({result.source}), {result.runtime}")
    table = numbers_table("ms", "95 % interval", "median run", "of the rounds", "runs")
    for model in result.models:
        name = printable(model.name)
        timing = result.timings.get(model.name)
        if timing is None:
            why = result.refused.get(model.name, "not timed before the device went away")
            table.add_row(name, "-")
            report.warn(f"{name}: {'refused: ' if model.name in result.refused else ''}{why}")
            continue
        table.add_row(
            name,
            f"{timing.ms:.4g}",
            f"{timing.low_ms:.4g} - {timing.high_ms:.4g}",
            f"{timing.median_ms:.4g}",
            f"{timing.fastest_ms:.4g} - {timing.slowest_ms:.4g}",
            str(timing.runs),
        )
    report.say(table)


def show_files(report: Report, result: DeviceTiming) -> None:
    """A row a model with what its file says and how it starts, and what is not delegated."""
    started = any(t.load_ms is not None or t.first_ms is not None for t in result.timings.values())
    starts = ("load, ms", "first run, ms") if started else ()
    table = numbers_table("input", "weights", "size", "MMACs, counted", *starts)
    for model in result.models:
        facts, timing = model.facts, result.timings.get(model.name)
        table.add_row(
            printable(model.name),
            ", ".join(one.text for one in facts.inputs) or "-",
            facts.weight_type or "-",
            file_size(facts.bytes),
            f"{facts.macs_m:.4g}",
            *([some_ms(timing.load_ms), some_ms(timing.first_ms)] if starts and timing else []),
        )
    report.say(table)
    for model in result.models:
        name, count = printable(model.name), sum(model.facts.operators.values())
        for note in model.notes:
            report.say(f"{name}: {printable(note)}")
        taken = model.delegation
        if taken is not None and taken.whole:
            report.say(f"{name}: the CPU delegate takes all {count} operators in one piece")
        elif taken is not None:
            report.warn(
                f"{name}: the CPU delegate takes {count - sum(taken.left.values())} of {count} "
                f"operators, in {counted(taken.partitions, 'partition')}; left to the reference "
                f"kernels: {operators_text(taken.left)}"
            )


def numbers_table(*columns: str) -> Table:
    """A table of models whose other columns are numbers that stay in one line."""
    from rich.table import Table

    table = Table()
    table.add_column("model", overflow="fold", min_width=8)
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def operators_text(left: Mapping[str, int]) -> str:
    """Operators with their numbers, the most frequent ones by name."""
    if not left:
        return "none"
    shown = [f"{count} {name}" for name, count in list(left.items())[:NAMED]]
    rest = sum(list(left.values())[NAMED:])
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def show_conditions(report: Report, result: DeviceTiming) -> None:
    """Under which conditions it was measured, and what must be known of the figures."""
    timed: list[ModelTiming] = list(result.timings.values())
    if timed:
        first = timed[0]
        started = first.threads_started
        seen = "" if started is None else f" ({started} seen at work)"
        parts = [counted(result.rounds, "round")]
        parts += [f"{counted(first.threads, 'thread')}{seen} on core(s) {first.cores}"]
        parts += range_texts(result)
        known = [t.interrupted_runs for t in timed if t.interrupted_runs is not None]
        if known:
            parts.append(f"{sum(known)} of {sum(t.runs for t in timed)} runs interrupted")
        report.say("; ".join(parts))
    report.say(f"ms: {result.estimator}")
    if result.quality is not None:
        report.say(result.quality)
    for warning in result.warnings:
        report.warn(printable(warning))


def range_texts(result: DeviceTiming) -> list[str]:
    """Temperature, clock and evenness of the load, as far as they are known."""
    parts = []
    if result.temperature_c is not None:
        parts.append("{:.0f} to {:.0f} °C".format(*result.temperature_c))
    if result.frequency_mhz is not None:
        parts.append("{:.0f} to {:.0f} MHz".format(*result.frequency_mhz))
    if result.calibration_spread is not None:
        parts.append(
            f"80 % of the calibration models' readings within {result.calibration_spread:.1%}"
        )
    return parts


def some_ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
