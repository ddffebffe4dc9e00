"""What a comparison of models ends with, and its table as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elasticvit.flows.compare_candidates import Candidate
from elasticvit.flows.model_timing_result import DeviceTiming, ModelTiming

CSV_FILE, PAGE_FILE = "compare.csv", "compare.html"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Latency of a model over that of the first one.

    Attributes:
        value: Median over the rounds in which both were timed.
        low, high: Ends of its 95 % interval, from the same pairs.
        rounds: Number of pairs.
    """

    value: float
    low: float
    high: float
    rounds: int

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves no doubt which of the two is faster."""
        return not self.low <= 1 <= self.high


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One model of a comparison.

    Attributes:
        candidate: The model.
        timing: Its latency; None if the device's runtime refuses it, or it was not reached.
        refused: Why the runtime refuses it; None if it does not.
        ratio: Its latency over that of the first model; None for the first one, and where either
            was not timed.
    """

    candidate: Candidate
    timing: ModelTiming | None
    refused: str | None
    ratio: Ratio | None

    @property
    def name(self) -> str:
        """Its name in tables."""
        return self.candidate.model.name

    def to_row(self) -> dict[str, Any]:
        """JSON-ready figures, flat; None for what is not known."""
        model, timing, ratio = self.candidate.model, self.timing, self.ratio
        accuracy, taken = self.candidate.accuracy, model.delegation
        return {
            "name": self.name,
            "path": str(model.path),
            "kind": self.candidate.kind,
            "described": self.candidate.described,
            "ms": timing and timing.ms,
            "low_ms": timing and timing.low_ms,
            "high_ms": timing and timing.high_ms,
            "ratio": ratio and ratio.value,
            "ratio_low": ratio and ratio.low,
            "ratio_high": ratio and ratio.high,
            "ratio_rounds": ratio and ratio.rounds,
            "told_apart": ratio and ratio.told_apart,
            "median_ms": timing and timing.median_ms,
            "fastest_round_ms": timing and timing.fastest_ms,
            "slowest_round_ms": timing and timing.slowest_ms,
            "rounds": timing and timing.rounds,
            "runs": timing and timing.runs,
            "threads": timing and timing.threads,
            "cores": timing and timing.cores,
            "load_ms": timing and timing.load_ms,
            "first_run_ms": timing and timing.first_ms,
            "accuracy_pct": accuracy and accuracy.percent,
            "accuracy_error_pct": accuracy and accuracy.error,
            "accuracy_images": accuracy and accuracy.images,
            "accuracy_data": accuracy and accuracy.data,
            "accuracy_of": accuracy and accuracy.of,
            "counted_macs_m": model.facts.macs_m,
            "bytes": model.facts.bytes,
            "weights": model.facts.weight_type,
            "operators": sum(model.facts.operators.values()),
            "partitions": taken and taken.partitions,
            "left_operators": None if taken is None else sum(taken.left.values()),
            "refused": self.refused,
            "sha256": model.facts.sha256,
        }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several models, timed in one session under the same conditions.

    Attributes:
        timing: The session.
        models: The models, in the order in which they were named.
    """

    timing: DeviceTiming
    models: tuple[Compared, ...]

    @property
    def csv(self) -> Path:
        """The table."""
        return self.timing.folder / CSV_FILE

    @property
    def page(self) -> Path:
        """The table and the picture, as a page that opens offline."""
        return self.timing.folder / PAGE_FILE

    @property
    def judged(self) -> tuple[Compared, ...]:
        """The timed models whose accuracy is known, if there are two of the same data set."""
        known = [one for one in self.models if one.timing and one.candidate.accuracy]
        sets = {one.candidate.accuracy.data for one in known if one.candidate.accuracy}
        return tuple(known) if len(known) >= 2 and len(sets) == 1 else ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "command": "evit-export",
            "csv": str(self.csv),
            "page": str(self.page),
            "compared": [one.to_row() for one in self.models],
            "session": self.timing.to_dict(),
        }

    def to_csv(self) -> str:
        """A row a model, with the device in every row."""
        own = {"device": self.timing.device, "source": self.timing.source}
        own |= {"runtime": self.timing.runtime}
        rows = [{**one.to_row(), **own} for one in self.models]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()
