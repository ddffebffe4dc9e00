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
from predictors.svg import CHART_STYLE, Dots, lines, scatter, stacked_bars

LEVELS = 5  # groups of subnets by multiply-accumulates in the table of their errors
STYLE = f"""
:root {{ color-scheme: light dark; --ink: #1d2126; --paper: #fff; --faint: #d9dde2; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e4e6e9; --paper: #17191c; --faint: #3a3f45; }}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 980px; margin: 2em auto; padding: 0 1em; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.5em; }} h2 {{ font-size: 1.15em; margin-top: 2em; }}
.scroll {{ overflow-x: auto; overflow-wrap: normal; }} .scroll td {{ white-space: nowrap; }}
.scroll td:first-child {{ white-space: normal; min-width: 6em; }}
table {{ border-collapse: collapse; margin: .6em 0; }}
td, th {{ padding: .25em .8em; border-bottom: 1px solid var(--faint); text-align: right; }}
td:first-child, th:first-child, .facts td {{ text-align: left; vertical-align: top; }}
.facts td:first-child {{ overflow-wrap: normal; }}
.charts {{ display: flex; flex-wrap: wrap; gap: 1.5em; }}
figure {{ margin: 0; min-width: 0; max-width: 100%; }}
figcaption {{ font-weight: 600; }}
figure .legend {{ max-width: 460px; }}
@media (max-width: 600px) {{ td, th {{ padding: .25em .4em; }} }}
{CHART_STYLE}"""


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
    title = f"Latency profile of {escape(data.device)}"
    sections = [
        f"<h1>{title}</h1>",
        f"<p>Written {time.strftime('%Y-%m-%d %H:%M')}. The latency of a model is the "
        f"{ESTIMATOR}.</p>",
        _facts(data.facts),
        "<h2>Held-out errors</h2>",
        _errors(data.errors),
        '<h2>Predicted against measured</h2><div class="charts">',
        _figure("whole subnets", _subnets(data.subnets)),
        _figure("kernels on their own, held out", _kernels(data.kernels)),
        "</div><p>Solid line: predicted as measured. Dashed lines: 10 % above and below.</p>",
        '<h2>Error by kind and by complexity</h2><div class="charts">',
        _figure("held-out kernels", _by_kind(data.kernels)),
        _figure("held-out subnets", _by_level(data.subnets)),
        "</div><h2>Where the time goes</h2>",
        stacked_bars(data.breakdown_ms, "ms"),
        "<h2>Drift</h2><p>Latency of one reference subnet, timed throughout the profile.</p>",
        lines(data.reference, "minutes of profiling", "ms"),
        *(f"<p>{escape(note)}</p>" for note in data.notes),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(sections)}</body></html>\n"
    )


def _figure(caption: str, content: str) -> str:
    return f"<figure><figcaption>{escape(caption)}</figcaption>{content}</figure>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>No model was held out.</p>"
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{cells}</tr>{body}</table></div>'


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
