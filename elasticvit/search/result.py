"""What a search ends with, as one JSON file beside the chosen subnet's weights."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from elasticvit.arch import Arch
from elasticvit.errors import ArchError, CheckpointError
from elasticvit.workspace import write_atomic

SCHEMA = 1
RESULT_FILE = "search.json"
FRONT_FILE = "front.csv"
SUBNET_FILE = "subnet.pt"


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """An architecture that none beats in accuracy and cost.

    Attributes:
        arch: the architecture.
        predicted_ms, upper_ms: latency on the first device, and its upper bound; None where
            there is no predictor, or it gives no bound.
        macs_m: millions of multiply-accumulates.
        accuracy: on the search part, in percent.
    """

    arch: Arch
    predicted_ms: float | None
    upper_ms: float | None
    macs_m: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class CapResult:
    """A limit, and what the chosen architecture has of it.

    Attributes:
        device: whose latency, or None for multiply-accumulates.
        unit: `ms` or `MMACs`.
        target: the limit.
        predicted, upper: of the chosen architecture; `upper` is None where there is no bound.
    """

    device: str | None
    unit: str
    target: float
    predicted: float
    upper: float | None


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """Outcome of a search.

    Attributes:
        space, data, classes: what was searched, on which data set, with how many classes.
        device: the first device whose latency was limited; None for multiply-accumulates.
        source: where that device's latencies come from, such as `host:CPU model`.
        unit, target: of the first limit.
        arch: the chosen architecture.
        predicted_ms, upper_ms: its latency on `device`, and its upper bound, where known.
        macs_m: its multiply-accumulates, in millions.
        accuracy: of the recalibrated subnet on the search part, in percent. It is the best of
            many on these images, so it flatters; `test_accuracy` does not.
        test_accuracy: of the same subnet on the test part, in percent.
        search_images, test_images: how many images the two accuracies are of.
        front: what the search found, cheapest first.
        caps: every limit.
        run: folder of the training run.
        seed: of the search.
        evaluations: architectures that were evaluated.
        complete: all generations were done; False when the time was up before.
        evolution: sizes of the search, by name.
    """

    space: str
    data: str
    classes: int
    device: str | None
    source: str | None
    unit: str
    target: float
    arch: Arch
    predicted_ms: float | None
    upper_ms: float | None
    macs_m: float
    accuracy: float
    test_accuracy: float
    search_images: int
    test_images: int
    front: tuple[FrontPoint, ...]
    caps: tuple[CapResult, ...]
    run: str
    seed: int
    evaluations: int
    complete: bool
    evolution: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form with its schema version."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data["arch"] = self.arch.to_dict()
        data["front"] = [{**vars(p), "arch": p.arch.to_dict()} for p in self.front]
        data["caps"] = [asdict(cap) for cap in self.caps]
        return {"schema": SCHEMA, **data}

    def save(self, folder: Path) -> None:
        """Write `search.json` and `front.csv` into a folder."""
        write_atomic(folder / FRONT_FILE, self._front_csv())
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        write_atomic(folder / RESULT_FILE, text + "\n")

    def _front_csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            ["predicted_ms", "upper_ms", "macs_m", "search_accuracy_percent", "chosen", "genes"]
        )
        for p in self.front:
            ms = ["" if v is None else f"{v:.6g}" for v in (p.predicted_ms, p.upper_ms)]
            genes = " ".join(map(str, p.arch.genes))
            chosen = int(p.arch == self.arch)
            writer.writerow([*ms, f"{p.macs_m:.6f}", f"{p.accuracy:.4f}", chosen, genes])
        return text.getvalue()

    @classmethod
    def load(cls, folder: Path) -> SearchResult:
        """Read `search.json`.

        Raises:
            CheckpointError: missing, truncated, of another schema, or with values that cannot be.
        """
        path = folder / RESULT_FILE
        try:
            data = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise CheckpointError(
                f"no search result at {path}; run evit-search --target-ms N"
            ) from error
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path} cannot be read: {error}; run evit-search again"
            ) from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            schema = data.get("schema") if isinstance(data, dict) else None
            raise CheckpointError(
                f"{path} has schema {schema!r}, this version reads {SCHEMA}; update elasticvit, "
                "or run evit-search again"
            )
        try:
            result = cls._from_dict({k: v for k, v in data.items() if k != "schema"})
        except (KeyError, TypeError, ValueError, AttributeError, ArchError) as error:
            raise CheckpointError(f"{path} is damaged: {error}; run evit-search again") from error
        return result

    @classmethod
    def _from_dict(cls, data: dict[str, Any]) -> SearchResult:
        data["arch"] = Arch.from_dict(data["arch"])
        points = [{**point, "arch": Arch.from_dict(point["arch"])} for point in data["front"]]
        data["front"] = tuple(FrontPoint(**point) for point in points)
        data["caps"] = tuple(CapResult(**cap) for cap in data["caps"])
        result = cls(**data)
        for name in ("accuracy", "test_accuracy"):
            value = getattr(result, name)
            if not 0 <= value <= 100:
                raise ValueError(f"{name} is {value}; expected percent")
        for name in ("target", "macs_m", "predicted_ms", "upper_ms"):
            value = getattr(result, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}; expected a number above 0")
        return result
