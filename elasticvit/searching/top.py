"""The best architectures of each goal of a search, as a table beside its result."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.events import Event
from elasticvit.files import write_atomic
from elasticvit.searching.archive import best_first
from elasticvit.searching.goal import Goal
from elasticvit.searching.report_data import Judgements
from elasticvit.searching.summary import summarise_caps
from elasticvit.searching.winner import CapResult
from elasticvit.space import SearchSpace

TOP_FILE = "top.csv"


@dataclass(frozen=True, kw_only=True)
class RankedArch:
    """One of the best architectures of a goal.

    Attributes:
        goal: The goal, such as `15 ms`.
        rank: 1 for the best.
        arch: The architecture.
        accuracy: Accuracy in percent, or score of a proxy.
        error: Its standard error.
        images: Number of images of the accuracy; 0 where images play no part.
        macs_m: Multiply-accumulates in millions.
        caps: What it uses of each cap of the goal.
    """

    goal: str
    rank: int
    arch: Arch
    accuracy: float
    error: float
    images: int
    macs_m: float
    caps: tuple[CapResult, ...]


@dataclass(frozen=True, kw_only=True)
class TopRanked(Event):
    """The best architectures are known.

    Attributes:
        rows: Those of each goal, the best first.
    """

    rows: tuple[RankedArch, ...]


def rank_top(
    space: SearchSpace, goals: Sequence[Goal], judgements: Sequence[Judgements], count: int
) -> list[RankedArch]:
    """The `count` best architectures of each goal, fewer if fewer keep it.

    Args:
        judgements: What was judged, on the most images first; an architecture has the first
            figure that is there, and those of a set come before those of the next, whose figures
            are of fewer images.
    """
    found = []
    for goal in goals:
        best: dict[Arch, tuple[float, float, int]] = {}
        for part in judgements:
            loads = goal.loads(part.archs)
            for row in best_first(part.judged.accuracy, loads):
                if len(best) == count:
                    break
                if loads[row] <= 1:
                    figures = float(part.judged.accuracy[row]), float(part.judged.error[row])
                    best.setdefault(part.archs[int(row)], (*figures, part.images))
        found += _ranked(space, goal, best)
    return found


def _ranked(
    space: SearchSpace, goal: Goal, best: dict[Arch, tuple[float, float, int]]
) -> list[RankedArch]:
    if not best:
        return []
    archs = ArchBatch.of(list(best))
    macs_m = MacsCost(space).price(archs)
    return [
        RankedArch(
            goal=str(goal),
            rank=i + 1,
            arch=arch,
            accuracy=accuracy,
            error=error,
            images=images,
            macs_m=float(macs_m[i]),
            caps=summarise_caps(goal.caps, archs.take(np.array([i]))),
        )
        for i, (arch, (accuracy, error, images)) in enumerate(best.items())
    ]


def write_top(folder: Path, rows: Sequence[RankedArch]) -> Path:
    """Write the table into the folder of a search; returns its path.

    Columns: goal, rank, accuracy with its standard error and number of images, millions of
    multiply-accumulates, prediction and upper bound of each cap, architecture.

    Raises:
        FileError: It cannot be written; an earlier one stays.
    """
    names = list(dict.fromkeys(_name(cap) for row in rows for cap in row.caps))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["goal", "rank", "accuracy", "standard_error", "images", "macs_m"]
    costs = [column for name in names for column in (f"predicted_{name}", f"upper_{name}")]
    writer.writerow([*head, *costs, "architecture"])
    for row in rows:
        used = {_name(cap): cap for cap in row.caps}
        cells = []
        for name in names:
            cap = used.get(name)
            values = (None, None) if cap is None else (cap.predicted, cap.upper)
            cells += ["" if value is None else f"{value:.6g}" for value in values]
        figures = [f"{row.accuracy:.6g}", f"{row.error:.4g}", row.images, f"{row.macs_m:.6f}"]
        writer.writerow([row.goal, row.rank, *figures, *cells, str(row.arch)])
    path = folder / TOP_FILE
    write_atomic(path, text.getvalue())
    return path


def _name(cap: CapResult) -> str:
    """What the columns of a cap are called, such as `ms_pixel6`."""
    return cap.unit.lower() if cap.device is None else f"{cap.unit}_{cap.device}"
