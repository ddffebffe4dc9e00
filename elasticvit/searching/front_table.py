"""The front of a search, and its table for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from elasticvit.arch import Arch
from elasticvit.reading import NotNegative, Percent, Positive
from elasticvit.searching.winner import CapResult


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """An architecture that none beats in accuracy and cost.

    Attributes:
        arch: The architecture.
        predicted_ms, upper_ms: Predicted latency on the first device, and its upper bound; None
            without a predictor, or if the predictor gives no bound.
        macs_m: Millions of multiply-accumulates.
        accuracy: Accuracy on the search part in percent.
        costs: What each cap limits, in the order and the units of the caps; empty if an earlier
            version wrote the file.
    """

    arch: Arch
    predicted_ms: Positive | None
    upper_ms: Positive | None
    macs_m: Positive
    accuracy: Percent
    costs: tuple[NotNegative, ...] = ()


class HasFront(Protocol):
    """What a table of a front is made of (`SearchResult`)."""

    @property
    def front(self) -> Sequence[FrontPoint]: ...

    @property
    def other_caps(self) -> Sequence[tuple[int, CapResult]]: ...

    def chosen_for(self, arch: Arch) -> str: ...


def front_csv(result: HasFront) -> str:
    """The front as CSV text, a row a point, with a column for every capped cost."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    costs = ("predicted_ms", "upper_ms", "macs_m")
    more = [(i, cap.column) for i, cap in result.other_caps]
    names = [column for _, column in more]
    writer.writerow([*costs, "search_accuracy_percent", "chosen", "architecture", *names])
    for p in result.front:
        ms = ["" if v is None else f"{v:.6g}" for v in (p.predicted_ms, p.upper_ms)]
        own = [f"{p.costs[i]:.6g}" if p.costs else "" for i, _ in more]
        figures = [*ms, f"{p.macs_m:.6f}", f"{p.accuracy:.4f}"]
        writer.writerow([*figures, result.chosen_for(p.arch), str(p.arch), *own])
    return text.getvalue()
