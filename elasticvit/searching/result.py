"""What a search ends with, as one JSON file beside the chosen subnet's weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from elasticvit.arch import Arch
from elasticvit.cost import MacsCost
from elasticvit.errors import CheckpointError, NextStep
from elasticvit.files import write_atomic
from elasticvit.precisions import FP32, Precision
from elasticvit.reading import Count, Format, Percent, Positive, Share, Whole, shown
from elasticvit.searching.front_table import FrontPoint as FrontPoint
from elasticvit.searching.front_table import front_csv
from elasticvit.searching.judge import standard_errors
from elasticvit.searching.winner import Agreement, CapResult, Winner

SCHEMA = 3  # 1 had no text form of architectures, and no source of a cap but the first one's;
# 2 had one goal alone
RESULT_FILE = "search.json"
FRONT_FILE = "front.csv"
SUBNET_FILE = "subnet.pt"  # of the first goal's winner
SUPERNET = "supernet"  # accuracy source of a search in a trained supernet
FIRST_CAP = ("device", "source", "unit", "target")  # repeated in the file for its readers
FIRST_WINNER = ("arch", "caps", "macs_m", "predicted_ms", "upper_ms", "accuracy", "test_accuracy")


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
            best of many on these images, so it flatters; `test_accuracy` does not. Without a
            supernet, the score (`accuracy_source`).
        test_accuracy: Accuracy of the same subnet on the test part, in percent; None without a
            supernet.
        search_images, test_images: Numbers of images of the two accuracies; 0 without a supernet.
        front: Architectures that no other beats in accuracy and what the caps limit, cheapest
            first.
        caps: The caps of the first goal, at least one; the first one's cost is the axis of the
            front.
        winners: What was chosen for each goal, in the order of the goals; the fields above are
            those of the first one. Empty if an earlier version wrote the file.
        agreement: How well the accuracy predictor ranked what it chose; None without one.
        accuracy_source: What the accuracies are: `supernet`; `proxy NAME`, scores that are no
            accuracies; or `file NAME`, a regression fitted to the accuracies in a file.
        run: Folder of the training run.
        seed: Random seed of the search.
        precision: Precision that the architectures are to be deployed in, of all latencies; the
            accuracies are those of fp32.
        evaluations: Number of architectures that were evaluated.
        complete: Whether all generations were done; False when the time was up before.
        evolution: Sizes of the evolution, by name.
        normalisation: Mean and standard deviation of each channel that the supernet asks its images
            to be normalised by, for pixels in 0..1; None for those of the data set.
    """

    space: str
    data: str
    classes: Whole
    arch: Arch
    predicted_ms: Positive | None
    upper_ms: Positive | None
    macs_m: Positive
    accuracy: Percent
    test_accuracy: Percent | None
    search_images: Count
    test_images: Count
    front: tuple[FrontPoint, ...]
    caps: Annotated[tuple[CapResult, ...], Meta(min_length=1)]
    run: str
    seed: Count
    evaluations: Whole
    complete: bool
    evolution: dict[str, int | float | bool] = field(default_factory=dict)
    winners: tuple[Winner, ...] = ()
    agreement: Agreement | None = None
    accuracy_source: str = SUPERNET
    precision: Precision = FP32
    normalisation: tuple[tuple[Share, ...], tuple[Positive, ...]] | None = None

    @property
    def has_weights(self) -> bool:
        """Whether there are weights of the chosen architectures."""
        return self.accuracy_source == SUPERNET

    @property
    def goals(self) -> tuple[Winner, ...]:
        """What was chosen for each goal, whichever version wrote the file."""
        if self.winners:
            return self.winners
        alone = Winner(
            arch=self.arch,
            caps=self.caps,
            macs_m=self.macs_m,
            predicted_ms=self.predicted_ms,
            upper_ms=self.upper_ms,
            accuracy=self.accuracy,
            error=float(standard_errors(np.array([self.accuracy]), max(self.search_images, 1))[0]),
            test_accuracy=self.test_accuracy,
        )
        return (alone,)

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
            "winners": [_winner_dict(winner) for winner in self.winners],
            "agreement": None if self.agreement is None else asdict(self.agreement),
        }

    def save(self, folder: Path) -> None:
        """Write `search.json` and `front.csv` into a folder."""
        write_atomic(folder / FRONT_FILE, front_csv(self))
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        write_atomic(folder / RESULT_FILE, text + "\n")

    @property
    def other_caps(self) -> list[tuple[int, CapResult]]:
        """The caps with their numbers from 0, but for the first latency and multiply-accumulates,
        which every point of the front has a field for."""
        first_ms = next((i for i, cap in enumerate(self.caps) if cap.device is not None), None)
        return [
            (i, cap)
            for i, cap in enumerate(self.caps)
            if i != first_ms and cap.unit != MacsCost.unit
        ]

    def chosen_for(self, arch: Arch) -> str:
        """Numbers of the goals, from 1, that an architecture was chosen for; 0 for none."""
        goals = (str(i) for i, winner in enumerate(self.goals, 1) if winner.arch == arch)
        return " ".join(goals) or "0"

    @classmethod
    def load(cls, folder: Path) -> SearchResult:
        """Read `search.json`.

        Raises:
            CheckpointError: It is missing, unreadable or damaged, or a later version wrote it.
        """
        path = folder / RESULT_FILE
        text = RESULT_FORMAT.read_bytes(path)
        result = RESULT_FORMAT.parse_json(text, str(path))
        repeats = REPEATS_FORMAT.parse_json(text, str(path))
        if repeats.schema == 1:
            first = replace(result.caps[0], source=repeats.source)
            result = replace(result, caps=(first, *result.caps[1:]))
        for name, repeated, value in repeats.pairs(result):
            if repeated != value:
                raise RESULT_FORMAT.failure(
                    f"{path}: {name[0]} is {shown(repeated)}, but {name[1]} is {shown(value)}; "
                    "they must be the same"
                )
        for own in FIRST_WINNER:
            if getattr(result, own) != getattr(result.goals[0], own):
                raise RESULT_FORMAT.failure(
                    f"{path}: {own} is not that of winners[0]; they must be the same"
                )
        for winner in result.goals:
            used = {cap.precision for cap in winner.caps} | {m.precision for m in winner.measured}
            for other in used - {result.precision}:
                raise RESULT_FORMAT.failure(
                    f"{path}: precision is {result.precision}, but that of a cap or a "
                    f"measurement is {other}; they must be the same"
                )
        return result


class PointRepeats(msgspec.Struct, frozen=True, kw_only=True):
    """What the file repeats of a point of the front."""

    architecture: str | None = None


class ResultRepeats(msgspec.Struct, frozen=True, kw_only=True):
    """What the file repeats for its readers: the first cap, and architectures as text.

    Attributes:
        device, source, unit, target: Those of the first cap.
        architecture: Text form of the chosen architecture; None if schema 1 wrote the file.
        front: What is repeated of each point of the front.
    """

    schema: int
    device: str | None = None
    source: str | None = None
    unit: str
    target: Positive
    architecture: str | None = None
    front: tuple[PointRepeats, ...]

    def pairs(self, result: SearchResult) -> Iterator[tuple[tuple[str, str], Any, Any]]:
        """Iterate over two fields that must be equal, and the value of each."""
        for name in FIRST_CAP:
            yield (name, f"caps[0].{name}"), getattr(self, name), getattr(result, name)
        texts = [("", self.architecture, result.arch)]
        for index, (repeats, point) in enumerate(zip(self.front, result.front, strict=True)):
            texts.append((f"front[{index}].", repeats.architecture, point.arch))
        for where, text, arch in texts:
            if text is not None or self.schema > 1:
                yield (f"{where}architecture", f"{where}arch"), text, str(arch)


FORMAT_FACTS: dict[str, Any] = {
    "what": "the result of a search",
    "error": CheckpointError,
    "mend": "search again, or name the folder of a finished search",
    "next_step": NextStep("search"),
    "settings": ("search",),
    "schema": SCHEMA,
}
RESULT_FORMAT: Format[SearchResult] = Format(kind=SearchResult, **FORMAT_FACTS)
REPEATS_FORMAT: Format[ResultRepeats] = Format(kind=ResultRepeats, **FORMAT_FACTS)


def subnet_file(number: int) -> str:
    """Name of the file with the subnet of a goal's winner.

    Args:
        number: Number of the goal, from 1.
    """
    return SUBNET_FILE if number == 1 else f"subnet-{number}.pt"


def _winner_dict(winner: Winner) -> dict[str, Any]:
    """JSON-ready form of a winner."""
    return {
        **vars(winner),
        **_both_forms(winner.arch),
        "runner_up": None if winner.runner_up is None else winner.runner_up.to_dict(),
        "caps": [asdict(cap) for cap in winner.caps],
        "measured": [{**vars(one), **_both_forms(one.arch)} for one in winner.measured],
    }


def _both_forms(arch: Arch) -> dict[str, Any]:
    """An architecture for programs (`arch`) and for people (`architecture`)."""
    return {"arch": arch.to_dict(), "architecture": str(arch)}
