"""What an export takes from a search: the chosen subnet, and what was predicted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import ExportError, NextStep, SettingError
from elasticvit.events import Notice
from elasticvit.flows.places import path_text
from elasticvit.flows.run_data import open_run_data
from elasticvit.flows.single_run import train_step
from elasticvit.nn import Subnet
from elasticvit.searching.result import SearchResult, subnet_file
from elasticvit.searching.winner import Winner

if TYPE_CHECKING:
    from elasticvit.training.data import ImageData, Normalisation


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Latency of a subnet on one device as a search predicted it.

    Attributes:
        predicted_ms: Predicted latency; None if the file is of another precision.
        upper_ms: Upper bound of the predicted latency; None if there is none.
        target_ms: Latency cap of the search; None if there was none on this device.
        cpu: Threads and cores that it is of; None if they are not known.
    """

    predicted_ms: float | None
    upper_ms: float | None
    target_ms: float | None = None
    cpu: CpuSetting | None = None

    def of_another_precision(self) -> Prediction:
        """What holds of a file in another precision: the cap alone."""
        return replace(self, predicted_ms=None, upper_ms=None)


@dataclass(frozen=True, kw_only=True)
class SearchedSubnet:
    """The subnet that a search chose.

    Attributes:
        subnet: The subnet, recalibrated, on the CPU in evaluation mode.
        data: Canonical spec of the data set.
        macs_m: Multiply-accumulates, in millions.
        device: Device that the search was for; None if it capped multiply-accumulates.
        precision: Precision that the search was for, of all predicted latencies.
        predictions: Predicted latency by device.
        sources: JSON-ready facts about where the subnet comes from.
        normalisation: Mean and standard deviation of each channel that it asks for; None for those
            of the data set.
    """

    subnet: Subnet
    data: str
    macs_m: float
    device: str | None
    precision: str
    predictions: Mapping[str, Prediction]
    sources: Mapping[str, Any]
    normalisation: Normalisation | None = None

    labelled: ClassVar[bool] = True
    remarks: ClassVar[tuple[Notice, ...]] = ()
    fitting: ClassVar[None] = None

    def images(self) -> ImageData:
        """The data set of the search.

        Raises:
            DataError: It is gone or unreadable, or has other classes now.
        """
        return open_run_data(self.data, self.subnet.layout.classes, self.normalisation)

    @classmethod
    def load(cls, folder: Path, goal: int = 1) -> SearchedSubnet:
        """The subnet of a finished search.

        Args:
            folder: Folder of the search.
            goal: Number of the goal that the subnet was chosen for, from 1.

        Raises:
            CheckpointError: The folder holds no finished search, or a damaged one.
            SettingError: The search has no such goal.
            ExportError: The weights are not those of the architecture that was chosen.
        """
        result = SearchResult.load(folder)
        if not result.has_weights:
            raise ExportError(
                f"the search in {folder} chose {result.arch} by {result.accuracy_source}, without "
                "a supernet, so there are no weights to export; train this subnet alone, or a "
                "supernet, and search in that",
                next_step=train_step(result.space, result.arch),
            )
        winner = _winner(result, goal, folder)
        path = folder / subnet_file(goal)
        subnet = Subnet.load(path)
        if subnet.arch != winner.arch:
            raise ExportError(
                f"{path} holds {subnet.arch}, the search chose {winner.arch}; search again",
                next_step=NextStep("search"),
            )
        if subnet.layout.classes != result.classes:
            raise ExportError(
                f"{path} tells {subnet.layout.classes} classes apart, the search "
                f"{result.classes}; search again",
                next_step=NextStep("search"),
            )
        return cls(
            subnet=subnet,
            data=result.data,
            macs_m=winner.macs_m,
            device=result.device,
            precision=result.precision,
            predictions=_predictions(winner, result.device),
            normalisation=result.normalisation,
            sources={
                "space": result.space,
                "data": result.data,
                "search": path_text(folder),
                "run": result.run,
                "seed": result.seed,
                "goal": goal,
                "search_accuracy": winner.accuracy,
                "test_accuracy": winner.test_accuracy,
            },
        )


def _winner(result: SearchResult, goal: int, folder: Path) -> Winner:
    """What was chosen for a goal.

    Raises:
        SettingError: The search has no such goal.
    """
    winners = result.goals
    if goal > len(winners):
        told = "; ".join(
            f"{number}: " + " and ".join(f"{cap.target:g} {cap.unit}" for cap in winner.caps)
            for number, winner in enumerate(winners, 1)
        )
        raise SettingError(
            f"goal is {goal}; the search in {folder} has {len(winners)} ({told})",
            settings=["goal"],
        )
    return winners[goal - 1]


def _predictions(winner: Winner, device: str | None) -> dict[str, Prediction]:
    found = {
        cap.device: Prediction(
            predicted_ms=cap.predicted, upper_ms=cap.upper, target_ms=cap.target, cpu=cap.cpu
        )
        for cap in winner.caps
        if cap.device is not None and cap.unit == "ms"
    }
    if device is not None and winner.predicted_ms is not None:
        first = Prediction(predicted_ms=winner.predicted_ms, upper_ms=winner.upper_ms)
        found.setdefault(device, first)
    return found
