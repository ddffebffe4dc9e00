"""What an export takes from a search: the chosen subnet, and what was predicted of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elasticvit.errors import ExportError, NextStep
from elasticvit.flows.places import path_text
from elasticvit.nn import Subnet
from elasticvit.searching.result import SUBNET_FILE, SearchResult


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Latency of a subnet on one device as a search predicted it.

    Attributes:
        predicted_ms: Predicted latency.
        upper_ms: Upper bound of the predicted latency; None if there is none.
        target_ms: Latency cap of the search; None if there was none on this device.
    """

    predicted_ms: float
    upper_ms: float | None
    target_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class SearchedSubnet:
    """The subnet that a search chose.

    Attributes:
        subnet: The subnet, recalibrated, on the CPU in evaluation mode.
        data: Canonical spec of the data set.
        macs_m: Multiply-accumulates, in millions.
        device: Device that the search was for; None if it capped multiply-accumulates.
        predictions: Predicted latency by device.
        sources: JSON-ready facts about where the subnet comes from.
    """

    subnet: Subnet
    data: str
    macs_m: float
    device: str | None
    predictions: Mapping[str, Prediction]
    sources: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> SearchedSubnet:
        """The subnet of a finished search.

        Args:
            folder: Folder of the search.

        Raises:
            CheckpointError: The folder holds no finished search, or a damaged one.
            ExportError: The weights are not those of the architecture that was chosen.
        """
        result = SearchResult.load(folder)
        if not result.has_weights:
            raise ExportError(
                f"the search in {folder} chose {result.arch} by {result.accuracy_source}, without "
                "a supernet, so there are no weights to export; train this subnet alone, or a "
                "supernet, and search in that",
                next_step=NextStep("train", {"subnet": str(result.arch)}),
            )
        subnet = Subnet.load(folder / SUBNET_FILE)
        if subnet.arch != result.arch:
            raise ExportError(
                f"{folder / SUBNET_FILE} holds {subnet.arch}, the search chose {result.arch}; "
                "search again",
                next_step=NextStep("search"),
            )
        if subnet.layout.classes != result.classes:
            raise ExportError(
                f"{folder / SUBNET_FILE} tells {subnet.layout.classes} classes apart, the search "
                f"{result.classes}; search again",
                next_step=NextStep("search"),
            )
        return cls(
            subnet=subnet,
            data=result.data,
            macs_m=result.macs_m,
            device=result.device,
            predictions=_predictions(result),
            sources={
                "space": result.space,
                "data": result.data,
                "search": path_text(folder),
                "run": result.run,
                "seed": result.seed,
                "search_accuracy": result.accuracy,
                "test_accuracy": result.test_accuracy,
            },
        )


def _predictions(result: SearchResult) -> dict[str, Prediction]:
    found = {
        cap.device: Prediction(predicted_ms=cap.predicted, upper_ms=cap.upper, target_ms=cap.target)
        for cap in result.caps
        if cap.device is not None and cap.unit == "ms"
    }
    if result.device is not None and result.predicted_ms is not None:
        first = Prediction(predicted_ms=result.predicted_ms, upper_ms=result.upper_ms)
        found.setdefault(result.device, first)
    return found
