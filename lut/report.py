"""The report of a profile: one HTML file that opens offline, charts and all."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from lut.estimate import ESTIMATOR
from lut.svg import Dots, lines, scatter, stacked_bars

LEVELS = 5  # of complexity, that the errors of subnets are shown by
STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --paper: #fff; --faint: #d9dde2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6e9; --paper: #17191c; --faint: #3a3f45; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 980px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; margin: .6em 0; }
td, th { padding: .25em .8em; border-bottom: 1px solid var(--faint); text-align: right; }
td:first-child, th:first-child, .facts td { text-align: left; }
svg { max-width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--ink); }
.grid { stroke: var(--faint); stroke-width: .6; } .box { fill: none; stroke: var(--ink); }
.rule { stroke: var(--ink); stroke-width: .8; }
.charts { display: flex; flex-wrap: wrap; gap: 1.5em; } figure { margin: 0; }
figcaption { font-weight: 600; }
.legend span { margin-right: 1.2em; white-space: nowrap; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
"""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A model measured and predicted.

    Attributes:
        name: shown under the pointer.
        group: kind of a kernel; empty for subnets.
        held_out: whether it was kept from fitting.
        measured_ms, predicted_ms: milliseconds.
        mmacs: millions of multiply-accumulates.
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
    """What a report shows.

    Attributes:
        device: its name.
        facts: what is known of the device and the conditions, in order.
        errors: rows of errors in percent, as `predictors.metrics.ErrorSummary.to_dict`.
        kernels, subnets: measured and predicted.
        breakdown_ms: milliseconds by kernel kind of each architecture shown.
        reference: (minutes of profiling, milliseconds) of the model that shows drift, by what
            the milliseconds are.
        notes: sentences to end with.
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
    """The report as HTML."""
    sections = [
        f"<h1>Latency profile of {escape(data.device)}</h1>",
        f"<p>Written {time.strftime('%Y-%m-%d %H:%M')}. A model counts as the {ESTIMATOR}.</p>",
        _facts(data.facts),
        "<h2>Errors on models that were never fitted</h2>",
        _errors(data.errors),
        '<h2>Predicted against measured</h2><div class="charts">',
        _figure("whole subnets", _subnets(data.subnets)),
        _figure("kernels on their own, held out", _kernels(data.kernels)),
        "</div><p>Solid line: equal. Dashed: 10 % off.</p>",
        '<h2>Error by kind and by complexity</h2><div class="charts">',
        _figure("held-out kernels", _by_kind(data.kernels)),
        _figure("held-out subnets", _by_level(data.subnets)),
        "</div><h2>Where the time goes</h2>",
        stacked_bars(data.breakdown_ms, "ms"),
        "<h2>Drift</h2><p>The same subnet, timed again and again.</p>",
        lines(data.reference, "minutes into the profiles", "ms"),
        *(f"<p>{escape(note)}</p>" for note in data.notes),
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>'
        f"Latency profile of {escape(data.device)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(sections)}</body></html>\n"
    )


def _figure(caption: str, content: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{content}</figure>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>nothing was held out</p>"
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{body}</table>"


def _facts(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(str(name))}</td><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f'<table class="facts">{rows}</table>'


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
        _dots("fitted to", [p for p in pairs if not p.held_out], hollow=True),
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
