"""The part of a training's report that shows how much the gradients of subnets agree."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from elasticvit.page import figure, table
from elasticvit.svg import COLOURS
from elasticvit.svg_curves import PALE, Curve, curves
from elasticvit.training.diagnosis_table import ACROSS, GOOD, RANDOM, DiagnosisRow
from elasticvit.training.report_data import ReportData

BINS = 8  # of distances
MOST_DOTS = 1500


def diagnosis_sections(data: ReportData) -> list[str]:
    """HTML of the diagnosis; nothing if there was none."""
    if not data.diagnosis:
        return []
    across = [row for row in data.diagnosis if row.pair == ACROSS]
    times = len({row.step for row in data.diagnosis})
    said = f"{times} times" if times > 1 else "once"
    return [
        "<h2>Diagnosis: do subnets agree?</h2>",
        "<p>Cosine similarity of the gradients of two subnets, of the label loss by the weights "
        "that both use: 1 where they pull these the same way, 0 where they have nothing to do with "
        f"each other, below 0 where they disagree. Compared {said}, on the same images.</p>",
        '<div class="charts">',
        figure("against the distance of their complexity", _against_distance(across, data.unit)),
        figure("over the training, pairs within one level", _over_time(data.diagnosis)),
        "</div>",
        _good_table(data),
    ]


def by_distance(rows: Sequence[DiagnosisRow]) -> list[tuple[float, float]]:
    """Medians (distance, cosine) of pairs, in groups of equal size by their distance."""
    ordered = sorted(rows, key=lambda row: row.distance)
    groups = min(BINS, len(ordered))
    parts = [
        ordered[i * len(ordered) // groups : (i + 1) * len(ordered) // groups]
        for i in range(groups)
    ]
    return [
        (
            statistics.median(row.distance for row in part),
            statistics.median(row.cosine for row in part),
        )
        for part in parts
    ]


def _against_distance(rows: Sequence[DiagnosisRow], unit: str) -> str:
    shown = rows[:: -(-len(rows) // MOST_DOTS) or 1]
    dots = Curve(
        label="pairs of subnets",
        points=[(row.distance, row.cosine) for row in shown],
        colour=PALE,
        line=False,
        dots=True,
        texts=[
            f"step {row.step}: {row.cost_a:.4g} and {row.cost_b:.4g} {unit}: {row.cosine:.3f}"
            for row in shown
        ],
    )
    medians = Curve(
        label="median by distance", points=by_distance(rows), colour=COLOURS[1], dots=True
    )
    return curves([dots, medians], f"distance, {unit}", "cosine of gradients", level=0.0)


def _over_time(rows: Sequence[DiagnosisRow]) -> str:
    names = {GOOD: "good subnets", RANDOM: "random subnets", ACROSS: "of all levels"}
    shown = []
    for colour, (pair, name) in zip(COLOURS[2::-1], names.items(), strict=True):
        by_step: dict[int, list[float]] = {}
        for row in rows:
            if row.pair == pair:
                by_step.setdefault(row.step, []).append(row.cosine)
        points = [(float(step), statistics.fmean(found)) for step, found in by_step.items()]
        shown.append(Curve(label=name, points=points, colour=colour, dots=True))
    return curves(shown, "steps", "mean cosine", level=0.0)


def _good_table(data: ReportData) -> str:
    def cell(level: int, pair: str) -> str:
        found = [row.cosine for row in data.diagnosis if (row.pair, row.level) == (pair, level)]
        return f"{statistics.fmean(found):.3f} ({len(found)})" if found else "none"

    rows = [
        [data.panel_level_name(level), cell(level, GOOD), cell(level, RANDOM)]
        for level in range(len(data.panel_levels))
        if any(row.level == level for row in data.diagnosis)
    ]
    return table(["mean cosine (pairs) within a level", "good subnets", "random subnets"], rows)
