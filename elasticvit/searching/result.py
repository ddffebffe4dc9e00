"""What a search ends with, as one JSON file beside the chosen subnet's weights."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from elasticvit.arch import Arch
from elasticvit.errors import ArchError, CheckpointError, NextStep
from elasticvit.files import write_atomic

SCHEMA = 2  # 1 had no text form of architectures, and no source of a cap but the first one's
RESULT_FILE = "search.json"
FRONT_FILE = "front.csv"
SUBNET_FILE = "subnet.pt"
FIRST_CAP = ("device", "source", "unit", "target")  # repeated in the file for its readers
SEARCH_AGAIN = NextStep("search")


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """An architecture that none beats in accuracy and cost.

    Attributes:
        arch: The architecture.
        predicted_ms, upper_ms: Predicted latency on the first device, and its upper bound; None
            without a predictor, or if the predictor gives no bound.
        macs_m: Millions of multiply-accumulates.
        accuracy: Accuracy on the search part in percent.
    """

    arch: Arch
    predicted_ms: float | None
    upper_ms: float | None
    macs_m: float
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class CapResult:
    """A cap, and how much of it the chosen architecture uses.

    Attributes:
        device: Name of the device whose latency is capped; None for multiply-accumulates.
        source: Where the latencies of that device come from, such as `host:CPU model`; None if
            not reported.
        unit: `ms` or `MMACs`.
        target: Largest value allowed.
        predicted: Predicted cost of the chosen architecture.
        upper: Upper bound of that cost; None if the cost has none.
    """

    device: str | None
    source: str | None = None
    unit: str
    target: float
    predicted: float
    upper: float | None


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """Outcome of a search.

    Attributes:
        space: Name of the space.
        data: Data set, as `open_data` takes it.
        classes: Number of classes.
        arch: The chosen architecture.
        predicted_ms, upper_ms: Its predicted latency on `device`, or on the device profiled last
            if only multiply-accumulates are capped, and its upper bound; None if unknown.
        macs_m: Its multiply-accumulates in millions.
        accuracy: Accuracy of the recalibrated subnet on the search part, in percent. It is the
            best of many on these images, so it flatters; `test_accuracy` does not.
        test_accuracy: Accuracy of the same subnet on the test part, in percent.
        search_images, test_images: Numbers of images of the two accuracies.
        front: Architectures that no other beats, cheapest first.
        caps: All caps, at least one; the first one's cost is the axis of the front.
        run: Folder of the training run.
        seed: Random seed of the search.
        evaluations: Number of architectures that were evaluated.
        complete: Whether all generations were done; False when the time was up before.
        evolution: Sizes of the evolution, by name.
    """

    space: str
    data: str
    classes: int
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

    @property
    def device(self) -> str | None:
        """Device of the first cap; None for multiply-accumulates."""
        return self.caps[0].device

    @property
    def source(self) -> str | None:
        """Where the latencies of `device` come from."""
        return self.caps[0].source

    @property
    def unit(self) -> str:
        """Unit of the first cap: `ms` or `MMACs`."""
        return self.caps[0].unit

    @property
    def target(self) -> float:
        """Largest value that the first cap allows."""
        return self.caps[0].target

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form with its schema version."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        first = {name: getattr(self, name) for name in FIRST_CAP}
        return {
            "schema": SCHEMA,
            **{name: data.pop(name) for name in ("space", "data", "classes")},
            **first,
            **data,
            **_both_forms(self.arch),
            "front": [{**vars(point), **_both_forms(point.arch)} for point in self.front],
            "caps": [asdict(cap) for cap in self.caps],
        }

    def save(self, folder: Path) -> None:
        """Write `search.json` and `front.csv` into a folder."""
        write_atomic(folder / FRONT_FILE, self._front_csv())
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        write_atomic(folder / RESULT_FILE, text + "\n")

    def _front_csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        costs = ("predicted_ms", "upper_ms", "macs_m")
        writer.writerow([*costs, "search_accuracy_percent", "chosen", "architecture"])
        for p in self.front:
            ms = ["" if v is None else f"{v:.6g}" for v in (p.predicted_ms, p.upper_ms)]
            chosen = int(p.arch == self.arch)
            writer.writerow([*ms, f"{p.macs_m:.6f}", f"{p.accuracy:.4f}", chosen, str(p.arch)])
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
                f"no search result at {path}; search first, or name the folder of a finished "
                "search",
                next_step=SEARCH_AGAIN,
            ) from error
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path} cannot be read: {error}; search again", next_step=SEARCH_AGAIN
            ) from error
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema not in range(1, SCHEMA + 1):
            raise CheckpointError(
                f"{path} has schema {schema!r}, this version reads 1 to {SCHEMA}; update "
                "elasticvit, or search again",
                next_step=SEARCH_AGAIN,
            )
        try:
            return cls._from_dict(data)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArchError) as error:
            raise CheckpointError(
                f"{path} is damaged: {error}; search again", next_step=SEARCH_AGAIN
            ) from error

    @classmethod
    def _from_dict(cls, data: Mapping[str, Any]) -> SearchResult:
        caps = [dict(cap) for cap in data["caps"]]
        if data["schema"] == 1:
            caps[0]["source"] = data["source"]
        fields = {k: v for k, v in data.items() if k not in ("schema", *FIRST_CAP)}
        result = cls(
            **_one_form(fields)
            | {
                "front": tuple(FrontPoint(**_one_form(point)) for point in data["front"]),
                "caps": tuple(CapResult(**cap) for cap in caps),
            }
        )
        result._check()
        for name in FIRST_CAP:
            if data[name] != getattr(result, name):
                raise ValueError(
                    f"{name} is {data[name]!r} but {getattr(result, name)!r} in the first cap"
                )
        return result

    def _check(self) -> None:
        for name in ("accuracy", "test_accuracy"):
            value = getattr(self, name)
            if not 0 <= value <= 100:
                raise ValueError(f"{name} is {value}; expected percent")
        positive = {name: getattr(self, name) for name in ("macs_m", "predicted_ms", "upper_ms")}
        for name, value in [*positive.items(), *(("target", cap.target) for cap in self.caps)]:
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}; expected a number above 0")


def _both_forms(arch: Arch) -> dict[str, Any]:
    """An architecture for programs (`arch`) and for people (`architecture`)."""
    return {"arch": arch.to_dict(), "architecture": str(arch)}


def _one_form(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with `arch` as an architecture.

    Raises:
        ValueError: the two forms contradict each other.
    """
    fields = {name: value for name, value in data.items() if name != "architecture"}
    fields["arch"] = arch = Arch.from_dict(data["arch"])
    if data.get("architecture", str(arch)) != str(arch):
        raise ValueError(f"architecture is {data['architecture']!r} but {str(arch)!r} in arch")
    return fields
