"""The report of a training: one HTML file that opens offline, curves and all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path

from elasticvit.files import write_atomic
from elasticvit.page import REPORT_FILE, facts_table, figure, page, table
from elasticvit.svg import stacked_bars
from elasticvit.svg_curves import DARK, PALE, Curve, curves, ramp, stacked_areas
from elasticvit.training.log import CHOICES, LogRow
from elasticvit.training.panel_result import PanelAccuracy, PanelResult
from elasticvit.training.report_data import ReportData
from elasticvit.training.report_diagnosis import diagnosis_sections

BINS = 60  # along the steps
CHOICE_BINS = 30
TIMES = 5  # of the training at which the front is drawn
PARTS = {  # of a step, by column
    "data_s": "waiting for data",
    "compute_s": "forward and backward passes",
    "update_s": "clipping, optimiser, average",
}
BETWEEN = {"checkpoint_s": "checkpoints", "judging_s": "judging and diagnosing"}
MINUTES_FROM_S = 600


def write_report(run: Path, data: ReportData) -> Path:
    """Write the report into the folder of the run; returns its path.

    Raises:
        FileError: It cannot be written; an earlier one stays.
    """
    path = run / REPORT_FILE
    write_atomic(path, render(data))
    return path


def render(data: ReportData) -> str:
    """The report as one HTML page that needs no other file."""
    sections = [
        f"<p>Written {time.strftime('%Y-%m-%d %H:%M')}.</p>",
        facts_table({**data.facts, **_latest(data.panel)}),
        '<h2>Learning</h2><div class="charts">',
        figure("accuracy of the panel on held-out images", _accuracy(data)),
        figure("loss of the sampled subnets in training", _loss(data)),
        "</div><p>The panel is a fixed set of subnets: the smallest, the largest, and up to three "
        "of each complexity level. They are judged with the moving average of the weights, batch "
        "norm recalibrated. A training loss is the mean over some steps at its level.</p>",
        "<h2>Front</h2>",
        '<div class="charts">',
        figure("best accuracy up to a size, at several times", _front(data.panel)),
        figure("the panel as it was judged last", _panel_table(data.panel[-1:])),
        "</div>",
        "<h2>How subnets were chosen</h2>",
        _choices(data.rows),
        '<h2>Speed</h2><div class="charts">',
        figure("images a second", _throughput(data)),
        figure("where the time of a step goes, by level", _step_parts(data)),
        "</div>",
        figure("where the time of the training went", _all_parts(data.rows)),
        *diagnosis_sections(data),
        "<h2>Settings</h2>",
        facts_table(data.settings),
    ]
    return page(f"Training {data.name}", sections)


def _latest(panel: Sequence[PanelResult]) -> dict[str, str]:
    if not panel:
        return {}
    last = panel[-1]
    ends = ", ".join(f"{s.name} {_plus_minus(s)}" for s in (last.smallest, last.largest))
    return {
        "accuracy of the panel": f"mean {last.mean:.1f} %, {ends}, on {last.images:,} images that "
        f"were not trained on, after {last.step:,} steps"
    }


def _plus_minus(subnet: PanelAccuracy) -> str:
    return f"{subnet.accuracy:.1f} ± {subnet.standard_error:.1f} %"


def _binned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points in order with their neighbours averaged, so that few are left."""
    size = max(1, -(-len(points) // BINS))
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    return [
        (sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts
    ]


def _rows_by_level(data: ReportData) -> dict[int, list[LogRow]]:
    found: dict[int, list[LogRow]] = {}
    for row in data.rows:
        found.setdefault(data.index(row.level), []).append(row)
    return dict(sorted(found.items()))


def _loss(data: ReportData) -> str:
    colours = ramp(len(data.levels))
    shown = [
        Curve(
            label=data.level_name(level),
            points=_binned([(row.step, row.loss) for row in rows]),
            colour=colours[level],
        )
        for level, rows in _rows_by_level(data).items()
    ]
    return curves(shown, "steps", "cross entropy")


def _accuracy(data: ReportData) -> str:
    colours = ramp(len(data.panel_levels))
    by_level = [(result.step, result.by_level()) for result in data.panel]
    shown = [
        Curve(
            label=data.panel_level_name(level),
            points=[(step, means[level]) for step, means in by_level if level in means],
            colour=colours[level],
            dots=True,
        )
        for level in range(len(data.panel_levels))
    ]
    ends = (
        ("smallest (dashed)", PALE, [(r.step, r.smallest.accuracy) for r in data.panel]),
        ("largest (dashed)", DARK, [(r.step, r.largest.accuracy) for r in data.panel]),
    )
    shown += [Curve(label=n, points=p, colour=c, dashed=True, dots=True) for n, c, p in ends]
    return curves(shown, "steps", "accuracy, %")


def _front(panel: Sequence[PanelResult]) -> str:
    chosen = sorted(
        {round(i * (len(panel) - 1) / (TIMES - 1)) for i in range(TIMES)} if panel else []
    )
    colours = ramp(len(chosen))
    shown = []
    for colour, i in zip(colours, chosen, strict=True):
        best, points, texts = -1.0, [], []
        for subnet in sorted(panel[i].subnets, key=lambda s: s.macs_m):
            if subnet.accuracy > best:
                best = subnet.accuracy
                points.append((subnet.macs_m, best))
                texts.append(f"{subnet.name}, {subnet.macs_m:.4g} MMACs: {_plus_minus(subnet)}")
        label = f"after {panel[i].step:,} steps"
        shown.append(Curve(label=label, points=points, colour=colour, dots=True, texts=texts))
    return curves(shown, "MMACs", "accuracy, %", log_x=True)


def _panel_table(last: Sequence[PanelResult]) -> str:
    if not last:
        return "<p>The panel has not been judged yet.</p>"
    rows = [
        [s.name, f"{s.macs_m:,.4g}", f"{s.accuracy:.1f}", f"± {s.standard_error:.1f}"]
        for s in last[0].subnets
    ]
    return table(["subnet", "MMACs", "accuracy, %", "standard error"], rows)


def _choices(rows: Sequence[LogRow]) -> str:
    known = [
        (row.step, [getattr(row, name) or 0 for name in CHOICES])
        for row in rows
        if row.uniform is not None
    ]
    size = max(2, -(-len(known) // CHOICE_BINS))
    xs, shares = [], []
    for start in range(0, len(known), size):
        part = known[start : start + size]
        sums = [sum(counts[i] for _, counts in part) for i in range(len(CHOICES))]
        if sum(sums):
            xs.append(sum(step for step, _ in part) / len(part))
            shares.append([100 * value / sum(sums) for value in sums])
    if not xs:
        return "<p>There is nothing to show yet.</p>"
    totals = [sum(counts[i] for _, counts in known) for i in range(len(CHOICES))]
    said = ", ".join(
        f"{name} {total:,} ({100 * total / sum(totals):.0f} %)"
        for name, total in zip(CHOICES, totals, strict=True)
        if total
    )
    if max(totals) == sum(totals):
        return f"<p>Sampled subnets: {said}.</p>"
    parts = {name: [share[i] for share in shares] for i, name in enumerate(CHOICES) if totals[i]}
    chart = stacked_areas(xs, parts, "steps", "share of the sampled subnets, %")
    return f"{figure('share of each way of choosing', chart)}<p>Sampled subnets: {said}.</p>"


def _throughput(data: ReportData) -> str:
    colours = ramp(len(data.levels))
    shown = [
        Curve(
            label=data.level_name(level),
            points=_binned(
                [(row.step, row.images_per_s) for row in rows if row.images_per_s is not None]
            ),
            colour=colours[level],
        )
        for level, rows in _rows_by_level(data).items()
    ]
    return curves(shown, "steps", "images a second", from_zero=True)


def _sums(rows: Sequence[LogRow], columns: dict[str, str]) -> dict[str, float]:
    return {
        name: sum(getattr(row, column) or 0.0 for row in rows) for column, name in columns.items()
    }


def _step_parts(data: ReportData) -> str:
    means = {}
    for level, rows in _rows_by_level(data).items():
        timed = [row for row in rows if row.seconds is not None]
        if timed:
            sums = _sums(timed, PARTS)
            means[data.level_name(level)] = {n: s / len(timed) for n, s in sums.items()}
    return stacked_bars(means, "s")


def _all_parts(rows: Sequence[LogRow]) -> str:
    sums = _sums(rows, PARTS | BETWEEN)
    whole = sum(sums.values())
    if not whole:
        return "<p>No times were recorded.</p>"
    scale, unit = (60.0, "min") if whole > MINUTES_FROM_S else (1.0, "s")
    bars = stacked_bars({"all steps": {n: s / scale for n, s in sums.items()}}, unit)
    said = ", ".join(f"{name} {100 * s / whole:.1f} %" for name, s in sums.items())
    return f"{bars}<p>{escape(said)}.</p>"
