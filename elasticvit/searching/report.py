"""The picture of a search: accuracy against cost, everything that was looked at and the front."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.files import write_atomic
from elasticvit.searching.caps import Pricing
from elasticvit.searching.pareto import on_front
from elasticvit.searching.result import SearchResult
from elasticvit.searching.winner import Winner

PICTURE = "front"
SEEN, FRONT, CHOSEN, LIMIT = "#9aa5b1", "#1f5fa8", "#d1495b", "#4a4a4a"


def _chosen(winner: Winner) -> str:
    if winner.test_accuracy is None:
        return f"chosen: score {winner.accuracy:.1f}"
    return f"chosen: {winner.accuracy:.1f} % (test part: {winner.test_accuracy:.1f} %)"


def _draw_winner(axes: Any, winner: Winner, *, label: bool, high: float, accuracy: str) -> None:
    """Draw what was chosen for a goal, its upper bound and its target.

    Args:
        label: Whether it stands in the legend for all winners.
        high: Greatest cost that is drawn.
        accuracy: Its accuracies as a text.
    """
    cap = winner.caps[0]
    axes.scatter(
        [cap.predicted],
        [winner.accuracy],
        s=170,
        marker="*",
        color=CHOSEN,
        edgecolors="white",
        linewidths=0.8,
        zorder=5,
        label=accuracy if label else None,
    )
    if cap.upper is not None and cap.upper > cap.predicted:
        axes.plot(
            [cap.predicted, cap.upper], [winner.accuracy] * 2, color=CHOSEN, linewidth=1.4,
            zorder=4, marker="|", markersize=9, markevery=[1],
            label="its upper bound" if label else None,
        )  # fmt: skip
    if cap.target <= 1.5 * high:  # a limit far to the right would squeeze everything else
        axes.axvline(cap.target, color=LIMIT, linestyle="--", linewidth=1, zorder=1)
        axes.annotate(
            f"{'target ' if label else ''}{cap.target:g} {cap.unit}",
            (cap.target, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=LIMIT,
            fontsize=8,
        )


def draw_front(
    folder: Path, result: SearchResult, archs: ArchBatch, accuracy: FloatArray, price: Pricing
) -> None:
    """Write `front.png` and `front.svg` into a folder.

    Args:
        folder: Folder of the search.
        result: Outcome of the search.
        archs: Every architecture that was evaluated, n of them.
        accuracy: Accuracy of each on the search part in percent, shape (n,).
        price: Cost of architectures in `result.unit`.
    """
    from matplotlib.figure import Figure  # takes a second to load

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    axes = figure.subplots()
    cost = price(archs)
    axes.scatter(
        cost, accuracy, s=12, color=SEEN, alpha=0.55, linewidths=0, label="evaluated", zorder=1
    )
    x = [float(value) for value in price(ArchBatch.of([p.arch for p in result.front]))]
    y = [p.accuracy for p in result.front]
    points = np.column_stack([x, y])
    line = points[on_front(points * (1, -1))]  # with several capped costs others lie below it
    axes.step(line[:, 0], line[:, 1], where="post", color=FRONT, linewidth=1.2, zorder=2)
    again = ", judged again with more images" if result.has_weights else ""
    axes.scatter(x, y, s=28, color=FRONT, zorder=3, label=f"front{again}")
    high = max([*x, float(cost.max()), *(w.caps[0].upper or 0 for w in result.winners)])
    for number, winner in enumerate(result.winners):
        text = _chosen(winner) if len(result.winners) == 1 else "chosen"
        _draw_winner(axes, winner, label=number == 0, high=high, accuracy=text)
    on_device = f"predicted latency on {result.device} (ms)"
    axes.set_xlabel(on_device if result.device is not None else result.unit)
    own = result.has_weights
    axes.set_ylabel(
        "accuracy on the search part (%)" if own else f"score: {result.accuracy_source}"
    )
    where = f" on {result.data}" if own else ""
    axes.set_title(
        f"{result.evaluations} architectures of space {result.space}{where}",
        loc="left",
        fontsize=11,
        pad=16,
    )
    axes.grid(color="#e6e9ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    for kind in ("png", "svg"):
        picture = io.BytesIO()
        figure.savefig(picture, format=kind)
        write_atomic(folder / f"{PICTURE}.{kind}", picture.getvalue())
