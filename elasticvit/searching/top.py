"""The best architectures of each goal of a search, as a table beside its result."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from elasticvit.arch import Arch
from elasticvit.cost import MacsCost
from elasticvit.events import Event
from elasticvit.files import write_atomic
from elasticvit.searching.summary import summarise_caps
from elasticvit.searching.verified import Choice, R
from elasticvit.searching.winner import CapResult
from elasticvit.space import SearchSpace

TOP_FILE = "top.csv"


@dataclass(frozen=True, kw_only=True)
class RankedArch:
    """One of the best architectures of a goal.

    Attributes:
        goal: Number of the goal, from 1.
        rank: 1 for the winner.
        arch: The architecture.
        accuracy: Accuracy in percent, or score.
        error: Its standard error; 0 for scores.
        images: Number of images of the accuracy; 0 for scores.
        macs_m: Multiply-accumulates in millions.
        caps: What it uses of each cap of the goal.
    """

    goal: int
    rank: int
    arch: Arch
    accuracy: float
    error: float
    images: int
    macs_m: float
    caps: tuple[CapResult, ...]


@dataclass(frozen=True, kw_only=True)
class TopRanked(Event):
    """The best architectures are known, and their table is written.

    Attributes:
        rows: Those of each goal, the best first.
    """

    rows: tuple[RankedArch, ...]


def rank_top(
    space: SearchSpace, choices: Sequence[Choice[R]], count: int
) -> tuple[RankedArch, ...]:
    """The `count` best finalists of each goal, its winner first; fewer if there are fewer.

    Those that timing said to miss a cap are left out.

    Args:
        choices: Finalists of each goal, and what timing said of them.
    """
    found = []
    for number, choice in enumerate(choices, 1):
        ranking, verified = choice.ranking, choice.verified
        others = (r for r in range(len(ranking.archs)) if r not in {verified.row, *verified.passed})
        rows = np.array([verified.row, *others][:count])
        archs = ranking.archs.take(rows)
        macs_m = MacsCost(space).price(archs)
        errors, images = getattr(ranking, "error", None), getattr(ranking, "images", None)
        for i, row in enumerate(rows.tolist()):
            ranked = RankedArch(
                goal=number,
                rank=i + 1,
                arch=archs[i],
                accuracy=float(ranking.accuracy[row]),
                error=0.0 if errors is None else float(errors[row]),
                images=0 if images is None else int(images[row]),
                macs_m=float(macs_m[i]),
                caps=summarise_caps(verified.goal.caps, archs.take(slice(i, i + 1))),
            )
            found.append(ranked)
    return tuple(found)


def write_top(folder: Path, rows: Sequence[RankedArch]) -> Path:
    """Write the table into the folder of a search; returns its path.

    Columns: goal and rank, accuracy or score with its standard error and number of images,
    millions of multiply-accumulates, prediction and upper bound of each cap, architecture.

    Raises:
        FileError: It cannot be written; an earlier one stays.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    costs = [f"{kind}_{cap.column}" for cap in rows[0].caps for kind in ("predicted", "upper")]
    head = ["goal", "rank", "accuracy", "standard_error", "images", "macs_m"]
    writer.writerow([*head, *costs, "architecture"])
    for row in rows:
        used = [value for cap in row.caps for value in (cap.predicted, cap.upper)]
        cells = ["" if value is None else f"{value:.6g}" for value in used]
        figures = [f"{row.accuracy:.6g}", f"{row.error:.4g}", row.images, f"{row.macs_m:.6f}"]
        writer.writerow([row.goal, row.rank, *figures, *cells, str(row.arch)])
    path = folder / TOP_FILE
    write_atomic(path, text.getvalue())
    return path


def top_subnet_file(row: RankedArch) -> str:
    """Name of the file with the subnet of an architecture behind the winner."""
    goal = "" if row.goal == 1 else f"-{row.goal}"
    return f"subnet{goal}-rank-{row.rank}.pt"
