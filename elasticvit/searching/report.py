"""The picture of a search: accuracy against cost, everything that was looked at and the front."""

from __future__ import annotations

import io
from pathlib import Path

from elasticvit.arrays import FloatArray
from elasticvit.files import write_atomic
from elasticvit.searching.result import SearchResult

PICTURE = "front"
SEEN, FRONT, CHOSEN, LIMIT = "#9aa5b1", "#1f5fa8", "#d1495b", "#4a4a4a"


def _chosen(result: SearchResult) -> str:
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
    axes.scatter(
        cost, accuracy, s=12, color=SEEN, alpha=0.55, linewidths=0, label="evaluated", zorder=1
    )
    in_ms = result.unit == "ms"
    points = [(p.predicted_ms if in_ms else p.macs_m, p.accuracy) for p in result.front]
    x, y = [float(px or 0) for px, _ in points], [py for _, py in points]
    axes.step(x, y, where="post", color=FRONT, linewidth=1.2, zorder=2)
    axes.scatter(x, y, s=28, color=FRONT, zorder=3, label="front, judged again with more images")
    chosen_x = result.caps[0].predicted
    axes.scatter(
        [chosen_x],
        [result.accuracy],
        s=170,
        marker="*",
        color=CHOSEN,
        edgecolors="white",
        linewidths=0.8,
        zorder=5,
        label=_chosen(result),
    )
    upper = result.caps[0].upper
    if upper is not None and upper > chosen_x:
        axes.plot(
            [chosen_x, upper], [result.accuracy] * 2, color=CHOSEN, linewidth=1.4, zorder=4,
            marker="|", markersize=9, markevery=[1], label="its upper bound",
        )  # fmt: skip
    high = max([*x, float(cost.max()), chosen_x, upper or 0])
    if result.target <= 1.5 * high:  # a limit far to the right would squeeze everything else
        axes.axvline(result.target, color=LIMIT, linestyle="--", linewidth=1, zorder=1)
        axes.annotate(
            f"target {result.target:g} {result.unit}",
            (result.target, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=LIMIT,
            fontsize=8,
        )
    what = f"predicted latency on {result.device} (ms)" if in_ms else "MACs (millions)"
    axes.set_xlabel(what)
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
