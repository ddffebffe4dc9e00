"""The charts of a search's report: the front on each capped cost, and convergence."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel
from elasticvit.page import figure
from elasticvit.searching.judge import Judged
from elasticvit.searching.pareto import on_front
from elasticvit.searching.report_data import Judgements, SearchPage, cost_title, price_of
from elasticvit.svg import COLOURS
from elasticvit.svg_curves import PALE, Curve, curves, ramp
from elasticvit.svg_marks import Mark

MOST_TEXTS = 1000  # dots of a chart that have a text under the pointer, the most accurate ones
FAR = 1.5  # times the largest cost drawn, beyond which a cap would squeeze all else
LOW_SHARE = 0.05  # of the figures, which may lie below a chart if they would squeeze all else


def goal_colours(page: SearchPage) -> list[str]:
    """A colour for each goal."""
    return [COLOURS[1]] if len(page.goals) == 1 else ramp(len(page.goals))


def front_figures(page: SearchPage) -> list[str]:
    """A chart for each capped cost: everything that was judged, the front, winners and caps."""
    found = []
    for cost in page.capped_costs:
        chart, notes = _front(page, cost)
        said = "".join(f"<p>{escape(note)}</p>" for note in notes)
        found.append(figure(f"{_kind(page)} against {_predicted(cost)}", chart + said))
    return found


def _kind(page: SearchPage) -> str:
    return "score" if page.proxy else "accuracy"


def _predicted(cost: CostModel) -> str:
    return f"predicted {cost.name}" if cost.unit == "ms" else cost_title(cost)


def _front(page: SearchPage, cost: CostModel) -> tuple[str, list[str]]:
    """The chart of one cost, and sentences on what lies outside of it."""
    colours, notes = goal_colours(page), []
    prices, accuracy = cost.price(page.evaluated.archs), page.evaluated.judged.accuracy
    front, front_prices = _front_of(page.best_judged, cost)
    stars = [
        Curve(
            label="winner" if len(page.goals) == 1 else f"winner for {page.goals[index]}",
            points=[(price_of(cost, winner.arch), winner.accuracy)],
            colour=colours[index],
            line=False,
            stars=True,
            texts=_winner_texts(page, index),
            errors=_ends([winner.accuracy], [winner.error]),
            reach=_reach(page, cost, index),
        )
        for index, winner in enumerate(page.winners)
    ]
    kept = [*front.judged.accuracy, *(winner.accuracy for winner in page.winners)]
    floor = min(_floor(accuracy), *kept)
    inside = np.flatnonzero(accuracy >= floor)
    if len(inside) < len(accuracy):
        notes.append(
            f"{len(accuracy) - len(inside)} of the {len(accuracy):,} evaluated architectures lie "
            f"below the chart, the lowest at {page.figure(float(accuracy.min()), 0.0)}."
        )
    caps = page.caps_of(cost)
    drawn = [curve for curve in stars if curve.points]
    highest = max([*prices[inside], *(x for curve in drawn for x in curve.xs())])
    marks = {
        cap.target: Mark(at=cap.target, label=f"{cap.target:g} {cost.unit}", colour=colours[index])
        for index, cap in caps
        if cap.target <= FAR * highest
    }
    far = sorted({cap.target for _, cap in caps} - set(marks))
    if far:
        names = ", ".join(f"{target:g}" for target in far)
        notes.append(f"To the right of the chart: the cap of {names} {cost.unit}.")
    again = page.finalists is not None
    chart = curves(
        [
            *_dots(page, page.evaluated.take(inside), prices[inside]),
            Curve(
                label="front, judged again with more images" if again else "front",
                points=list(zip(front_prices, front.judged.accuracy, strict=True)),
                colour=COLOURS[0],
                dots=True,
                stairs=True,
                texts=page.described(front),
                errors=_ends(front.judged.accuracy, front.judged.error),
            ),
            *stars,
        ],
        f"{_predicted(cost)}, {cost.unit}",
        page.figure_name,
        upright=list(marks.values()),
    )
    return chart, notes


def _front_of(judgements: Judgements, cost: CostModel) -> tuple[Judgements, FloatArray]:
    """Those that no other beats in figure and cost, cheapest first, and their costs."""
    prices = cost.price(judgements.archs)
    points = np.stack([prices, -judgements.judged.accuracy], axis=1)
    rows = np.flatnonzero(on_front(points))
    _, first = np.unique(points[rows], axis=0, return_index=True)
    rows = rows[first]
    return judgements.take(rows), prices[rows]


def _floor(figures: FloatArray) -> float:
    """Least figure that a chart shows: the lowest few are left out if they take half of it."""
    low, share, high = np.quantile(figures, [0.0, LOW_SHARE, 1.0])
    return float(share if share - low > high - share else low)


def _dots(page: SearchPage, judgements: Judgements, prices: FloatArray) -> list[Curve]:
    """All that was evaluated, the least accurate without texts if there are very many."""
    order = np.argsort(-judgements.judged.accuracy, kind="stable")
    sets = []
    for rows, named in ((order[MOST_TEXTS:], False), (order[:MOST_TEXTS], True)):
        part = judgements.take(rows)
        sets.append(
            Curve(
                label="evaluated",
                points=list(zip(prices[rows], part.judged.accuracy, strict=True)),
                colour=PALE,
                line=False,
                dots=named,
                faint=True,
                texts=page.described(part) if named else (),
            )
        )
    return sets


def _winner_texts(page: SearchPage, index: int) -> list[str]:
    winner = page.winners[index]
    judged = Judged(accuracy=np.array([winner.accuracy]), error=np.array([winner.error]))
    one = Judgements(archs=ArchBatch.of([winner.arch]), judged=judged)
    return [f"winner for {page.goals[index]}: {text}" for text in page.described(one)]


def _reach(page: SearchPage, cost: CostModel, index: int) -> list[float | None]:
    """Upper bound of a winner's cost."""
    upper = cost.upper(ArchBatch.of([page.winners[index].arch]))
    return [None if upper is None else float(upper[0])]


def _ends(
    values: Sequence[float] | FloatArray, errors: Sequence[float] | FloatArray
) -> list[tuple[float, float]]:
    """Ends of error bars, one standard error to either side; none if no error is known."""
    pairs = list(zip(map(float, values), map(float, errors), strict=True))
    return [(v - e, v + e) for v, e in pairs] if any(e for _, e in pairs) else []


def convergence(page: SearchPage) -> str:
    """The best figure under each goal's caps over the number of evaluations."""
    archs, accuracy = page.evaluated.archs, page.evaluated.judged.accuracy
    shown = []
    for goal, colour in zip(page.goals, goal_colours(page), strict=True):
        best = np.maximum.accumulate(np.where(goal.loads(archs) <= 1, accuracy, -np.inf))
        rises = np.flatnonzero(best > np.concatenate([[-np.inf], best[:-1]]))
        points = [(float(row + 1), float(best[row])) for row in rises]
        texts = [
            f"evaluation {row + 1:,}: {page.figure(best[row], 0.0)}\n{archs[int(row)]}"
            for row in rises
        ]
        if points and rises[-1] + 1 < len(best):
            points.append((float(len(best)), points[-1][1]))
            texts.append(f"after {len(best):,} evaluations: {page.figure(best[-1], 0.0)}")
        label = f"under {goal}"
        shown.append(
            Curve(label=label, points=points, colour=colour, dots=True, stairs=True, texts=texts)
        )
    return curves(shown, "evaluations", page.figure_name)
