"""The charts of a search's report: the front on each capped cost, and convergence."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel
from elasticvit.page import figure
from elasticvit.searching.pareto import on_front
from elasticvit.searching.report_data import SearchPage, cost_title
from elasticvit.svg import COLOURS
from elasticvit.svg_curves import PALE, Curve, curves, ramp
from elasticvit.svg_marks import Mark

MOST_TEXTS = 1000  # dots of a chart that have a text under the pointer, the most accurate ones
FAR = 1.5  # times the largest cost drawn, beyond which a cap would squeeze all else
LOW_SHARE = 0.05  # of the figures, which lie below a chart if they would take half of it


def goal_colours(page: SearchPage) -> list[str]:
    """A colour for each goal."""
    return [COLOURS[1]] if len(page.goals) == 1 else ramp(len(page.goals))


def front_figures(page: SearchPage) -> list[str]:
    """A chart for each capped cost: everything that was judged, the front, winners and caps."""
    found = []
    for cost in page.capped_costs:
        chart, notes = _front(page, cost)
        said = "".join(f"<p>{escape(note)}</p>" for note in notes)
        found.append(figure(f"{page.what} against {_predicted(cost)}", chart + said))
    return found


def _predicted(cost: CostModel) -> str:
    return f"predicted {cost.name}" if cost.unit == "ms" else cost_title(cost)


def _front(page: SearchPage, cost: CostModel) -> tuple[str, list[str]]:
    """The chart of one cost, and sentences on what lies outside of it."""
    notes, prices = [], cost.price(page.archs)
    line, stars = _front_curve(page, cost), _stars(page, cost)
    kept = [y for curve in (line, *stars) for _, y in curve.points]
    floor = min(_floor(page.accuracy), *kept)
    inside = np.flatnonzero(page.accuracy >= floor)
    if len(inside) < len(prices):
        notes.append(
            f"{len(prices) - len(inside)} of the {len(prices):,} evaluated architectures lie below "
            f"the chart, the lowest at {page.figure(float(page.accuracy.min()))}."
        )
    highest = max([*prices[inside], *(x for curve in (line, *stars) for x in curve.xs())])
    colours = goal_colours(page)
    caps = {cap.target: colours[number] for number, _, cap in page.caps_of(cost)}
    marks = [
        Mark(at=target, label=f"{target:g} {cost.unit}", colour=colour)
        for target, colour in caps.items()
        if target <= FAR * highest
    ]
    far = sorted(set(caps) - {mark.at for mark in marks})
    if far:
        names = ", ".join(f"{target:g}" for target in far)
        notes.append(f"To the right of the chart: the cap of {names} {cost.unit}.")
    chart = curves(
        [*_dots(page, inside, prices), line, *stars],
        f"{_predicted(cost)}, {cost.unit}",
        page.axis,
        upright=marks,
    )
    return chart, notes


def _front_curve(page: SearchPage, cost: CostModel) -> Curve:
    """Those of the result's front that no other beats in this cost alone."""
    archs = ArchBatch.of([point.arch for point in page.result.front])
    values = np.array([point.accuracy for point in page.result.front])
    errors = np.array([page.again.get(arch, 0.0) for arch in archs])
    prices = cost.price(archs)
    rows = np.flatnonzero(on_front(np.stack([prices, -values], axis=1)))
    rows = rows[np.argsort(prices[rows], kind="stable")]
    return Curve(
        label="front, judged again with more images" if page.again else "front",
        points=list(zip(prices[rows].tolist(), values[rows].tolist(), strict=True)),
        colour=COLOURS[0],
        dots=True,
        stairs=True,
        texts=page.described(archs.take(rows), values[rows].tolist(), errors[rows].tolist()),
        errors=_ends(values[rows], errors[rows]),
    )


def _stars(page: SearchPage, cost: CostModel) -> list[Curve]:
    """The winner of each goal that caps this cost, up to its upper bound."""
    found, colours = [], goal_colours(page)
    for number, index, _ in page.caps_of(cost):
        winner, goal = page.winners[number], page.goals[number]
        used = winner.caps[index]
        batch = ArchBatch.of([winner.arch])
        (text,) = page.described(batch, [winner.accuracy], [winner.error])
        found.append(
            Curve(
                label="winner" if len(page.goals) == 1 else f"winner for {goal}",
                points=[(used.predicted, winner.accuracy)],
                colour=colours[number],
                line=False,
                stars=True,
                texts=[f"winner for {goal}: {text}"],
                errors=_ends([winner.accuracy], [winner.error]),
                reach=[used.upper],
            )
        )
    return found


def _floor(figures: FloatArray) -> float:
    """Least figure that a chart shows: those far below nearly all others are left out."""
    share, high = np.quantile(figures, [LOW_SHARE, 1.0])
    return float(figures[figures >= share - (high - share)].min())


def _dots(page: SearchPage, inside: np.ndarray, prices: FloatArray) -> list[Curve]:
    """All that was evaluated, the least accurate without texts if there are very many."""
    order = inside[np.argsort(-page.accuracy[inside], kind="stable")]
    errors, sets = page.errors, []
    for rows, named in ((order[MOST_TEXTS:], False), (order[:MOST_TEXTS], True)):
        values = page.accuracy[rows].tolist()
        archs = page.archs.take(rows)
        sets.append(
            Curve(
                label="evaluated",
                points=list(zip(prices[rows].tolist(), values, strict=True)),
                colour=PALE,
                line=False,
                dots=named,
                faint=True,
                texts=page.described(archs, values, errors[rows].tolist()) if named else (),
            )
        )
    return sets


def _ends(
    values: Sequence[float] | FloatArray, errors: Sequence[float] | FloatArray
) -> list[tuple[float, float]]:
    """Ends of error bars, one standard error to either side; none if no error is known."""
    pairs = list(zip(map(float, values), map(float, errors), strict=True))
    return [(v - e, v + e) for v, e in pairs] if any(e for _, e in pairs) else []


def convergence(page: SearchPage) -> str:
    """The best figure under each goal's caps over the number of evaluations."""
    shown = []
    for goal, colour in zip(page.goals, goal_colours(page), strict=True):
        under = np.where(goal.loads(page.archs) <= 1, page.accuracy, -np.inf)
        best = np.maximum.accumulate(under)
        rises = np.flatnonzero(best > np.concatenate([[-np.inf], best[:-1]])).tolist()
        points = [(row + 1.0, float(best[row])) for row in rises]
        texts = [
            f"evaluation {row + 1:,}: {page.figure(best[row])}\n{page.archs[row]}" for row in rises
        ]
        if points and points[-1][0] < len(best):
            points.append((float(len(best)), points[-1][1]))
            texts.append(f"after {len(best):,} evaluations: {page.figure(best[-1])}")
        label = f"under {goal}"
        shown.append(
            Curve(label=label, points=points, colour=colour, dots=True, stairs=True, texts=texts)
        )
    return curves(shown, "evaluations", page.axis)
