"""The report of a profile: one HTML file that opens offline, charts and all."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from elasticvit.page import facts_table, figure, page, table
from elasticvit.svg import Dots, lines, scatter, stacked_bars
from lut.estimate import ESTIMATOR

LEVELS = 5  # groups of subnets by multiply-accumulates in the table of their errors


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Measured and predicted latency of one model.

    Attributes:
        name: Name of the model, shown under the pointer.
        group: Kind of a kernel; empty for a subnet.
        held_out: Whether the model was kept from fitting.
        measured_ms, predicted_ms: Latencies in milliseconds.
        mmacs: Millions of multiply-accumulates of the model.
    """

    name: str
    group: str
    held_out: bool
    measured_ms: float
    predicted_ms: float
    mmacs: float

    @property
    def error_pct(self) -> float:
        """Relative error of the prediction in percent."""
        return 100 * (self.predicted_ms / self.measured_ms - 1)


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Content of a report.

    Attributes:
        device: Name of the device.
        facts: Facts about the device and the measuring conditions, in the order shown.
        errors: Held-out errors in percent by what was predicted, each as
            `predictors.metrics.ErrorSummary.to_dict` returns it.
        kernels, subnets: Measured and predicted latencies.
        breakdown_ms: Milliseconds by kernel kind, by the name of an architecture.
        reference: Latency of the reference subnet over time as (minutes of profiling,
            milliseconds), by the name of the series.
        notes: Sentences at the end of the report.
    """

    device: str
    facts: Mapping[str, Any]
    errors: Mapping[str, Mapping[str, float]]
    kernels: Sequence[Pair]
    subnets: Sequence[Pair]
    breakdown_ms: Mapping[str, Mapping[str, float]]
    reference: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    notes: Sequence[str] = field(default_factory=tuple)


def render(data: ReportData) -> str:
    """The report as one HTML page that needs no other file."""
    title = f"Latency profile of {data.device}"
    sections = [
        f"<p>Written {time.strftime('%Y-%m-%d %H:%M')}. The latency of a model is the "
        f"{ESTIMATOR}.</p>",
        facts_table(data.facts),
        "<h2>Held-out errors</h2>",
        _errors(data.errors),
        '<h2>Predicted against measured</h2><div class="charts">',
        figure("whole subnets", _subnets(data.subnets)),
        figure("kernels on their own, held out", _kernels(data.kernels)),
        "</div><p>Solid line: predicted as measured. Dashed lines: 10 % above and below.</p>",
        '<h2>Error by kind and by complexity</h2><div class="charts">',
        figure("held-out kernels", _by_kind(data.kernels)),
        figure("held-out subnets", _by_level(data.subnets)),
        "</div><h2>Where the time goes</h2>",
        stacked_bars(data.breakdown_ms, "ms"),
        "<h2>Drift</h2><p>Latency of one reference subnet, timed throughout the profile.</p>",
        lines(data.reference, "minutes of profiling", "ms"),
        *(f"<p>{escape(note)}</p>" for note in data.notes),
    ]
    return page(title, sections)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>No model was held out.</p>"
    return table(head, rows)


def _errors(errors: Mapping[str, Mapping[str, float]]) -> str:
    head = ["", "count", "within 5 %", "within 10 %", "RMSPE", "bias"]
    rows = [
        [
            name,
            f"{e['count']:.0f}",
            f"{e['within_5_pct']:.1f} %",
            f"{e['within_10_pct']:.1f} %",
            f"{e['rmspe_pct']:.2f} %",
            f"{e['bias_pct']:+.2f} %",
        ]
        for name, e in errors.items()
    ]
    return _table(head, rows)


def _dots(label: str, pairs: Sequence[Pair], hollow: bool = False) -> Dots:
    points = [
        (
            p.measured_ms,
            p.predicted_ms,
            f"{p.name}: {p.measured_ms:.4g} ms measured, {p.predicted_ms:.4g} ms predicted",
        )
        for p in pairs
    ]
    return Dots(label, points, hollow)


def _subnets(pairs: Sequence[Pair]) -> str:
    groups = [
        _dots("held out", [p for p in pairs if p.held_out]),
        _dots("used for fitting", [p for p in pairs if not p.held_out], hollow=True),
    ]
    return scatter(groups, "measured, ms", "predicted, ms", log=True, equal=True)


def _kernels(pairs: Sequence[Pair]) -> str:
    groups = [
        _dots(kind, [p for p in pairs if p.held_out and p.group == kind])
        for kind in dict.fromkeys(p.group for p in pairs if p.held_out)
    ]
    return scatter(groups, "measured, ms", "predicted, ms", log=True, equal=True)


def _row(name: str, errors: Sequence[float]) -> list[str]:
    e = np.array(errors)
    return [
        name,
        str(len(e)),
        f"{np.sqrt(np.mean(e**2)):.1f} %",
        f"{np.mean(e):+.1f} %",
        f"{np.abs(e).max():.1f} %",
    ]


def _by_kind(pairs: Sequence[Pair]) -> str:
    errors: dict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        if pair.held_out:
            errors[pair.group].append(pair.error_pct)
    rows = [_row(kind, found) for kind, found in errors.items()]
    return _table(["kind", "count", "RMSPE", "bias", "worst"], rows)


def _by_level(pairs: Sequence[Pair]) -> str:
    held = sorted((p for p in pairs if p.held_out), key=lambda p: p.mmacs)
    rows = []
    for part in np.array_split(np.arange(len(held)), LEVELS):
        if len(part):
            chosen = [held[i] for i in part]
            name = f"{chosen[0].mmacs:,.0f} to {chosen[-1].mmacs:,.0f} M"
            rows.append(_row(name, [p.error_pct for p in chosen]))
    return _table(["multiply-accumulates", "count", "RMSPE", "bias", "worst"], rows)
