"""The picture of a search: accuracy against cost, everything that was looked at and the front."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from elasticvit.arrays import FloatArray
from elasticvit.cost import MacsCost
from elasticvit.files import write_atomic
from elasticvit.searching.pareto import on_front
from elasticvit.searching.result import FrontPoint, SearchResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "front"
SEEN, FRONT, CHOSEN, LIMIT = "#9aa5b1", "#1f5fa8", "#d1495b", "#4a4a4a"


def _chosen(result: SearchResult) -> str:
    if len(result.winners) > 1:
        return f"chosen for each target ({result.unit})"
    if result.test_accuracy is None:
        return f"chosen: score {result.accuracy:.1f}"
    return f"chosen: {result.accuracy:.1f} % (test part: {result.test_accuracy:.1f} %)"


def draw_front(folder: Path, result: SearchResult, cost: FloatArray, accuracy: FloatArray) -> None:
    """Write `front.png` and `front.svg` into a folder.

    Args:
        folder: Folder of the search.
        result: Outcome of the search.
        cost: Cost of every architecture that was evaluated, in `result.unit`, shape (n,).
        accuracy: Accuracy of each on the search part in percent, shape (n,).
    """
    from matplotlib.figure import Figure  # takes a second to load

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    axes = figure.subplots()
    own = result.has_weights
    seen = "evaluated, on the first images" if own else "evaluated"
    axes.scatter(cost, accuracy, s=12, color=SEEN, alpha=0.55, linewidths=0, label=seen, zorder=1)
    front = np.array([(_first_cost(point, result), point.accuracy) for point in result.front])
    line = front[on_front(front * (1, -1))]  # with several costs there are points below it
    axes.step(line[:, 0], line[:, 1], where="post", color=FRONT, linewidth=1.2, zorder=2)
    label = "front, judged again with more images" if own else "front"
    axes.scatter(front[:, 0], front[:, 1], s=28, color=FRONT, zorder=3, label=label)
    chosen = [(winner.caps[0], winner.accuracy) for winner in result.winners]
    chosen = chosen or [(result.caps[0], result.accuracy)]
    axes.scatter(
        [cap.predicted for cap, _ in chosen],
        [value for _, value in chosen],
        s=170,
        marker="*",
        color=CHOSEN,
        edgecolors="white",
        linewidths=0.8,
        zorder=5,
        label=_chosen(result),
    )
    high = max(front[:, 0].max(), float(cost.max()))
    bounded = "its upper bound" if len(chosen) == 1 else "their upper bounds"
    for cap, value in chosen:
        if cap.upper is not None and cap.upper > cap.predicted:
            high = max(high, cap.upper)
            axes.plot(
                [cap.predicted, cap.upper], [value] * 2, color=CHOSEN, linewidth=1.4, zorder=4,
                marker="|", markersize=9, markevery=[1], label=bounded,
            )  # fmt: skip
            bounded = "_"  # one entry of the legend for all
    # a limit far to the right would squeeze everything else
    targets = sorted({cap.target for cap, _ in chosen if cap.target <= 1.5 * high})
    for target in targets:
        axes.axvline(target, color=LIMIT, linestyle="--", linewidth=1, zorder=1)
        _name_target(axes, target, result.unit, alone=len(targets) == 1)
    axes.set_xlabel(_axis(result))
    axes.set_ylabel(
        "accuracy on the search part (%)" if own else f"score: {result.accuracy_source}"
    )
    where = f" on {Path(result.data).name}" if own else ""
    axes.set_title(
        f"{result.evaluations} architectures of space {result.space}{where}",
        loc="left",
        fontsize=11,
        pad=16 if len(targets) < 2 else 34,
    )
    axes.grid(color="#e6e9ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    for kind in ("png", "svg"):
        picture = io.BytesIO()
        figure.savefig(picture, format=kind)
        write_atomic(folder / f"{PICTURE}.{kind}", picture.getvalue())


def _name_target(axes: Axes, target: float, unit: str, *, alone: bool) -> None:
    """Write a target above its line; several are slanted, since they may lie close together."""
    axes.annotate(
        f"target {target:g} {unit}" if alone else f"{target:g}",
        (target, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center" if alone else "left",
        va="bottom",
        rotation=0 if alone else 35,
        rotation_mode="anchor",
        color=LIMIT,
        fontsize=8,
    )


def _first_cost(point: FrontPoint, result: SearchResult) -> float:
    """Cost of a point that is the axis of the front."""
    if point.costs:
        return point.costs[0]
    return float((point.predicted_ms if result.unit == "ms" else point.macs_m) or 0)


def _axis(result: SearchResult) -> str:
    """What the axis of costs shows."""
    if result.device is not None:
        return f"predicted latency on {result.caps[0].place} (ms)"
    return "MACs (millions)" if result.unit == MacsCost.unit else result.unit
