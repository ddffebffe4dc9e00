"""What an export ends with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.errors import DeviceError

if TYPE_CHECKING:
    from export.card import Card


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """An exported model.

    Attributes:
        model: Path of the model's file: `ExportSettings.out` if it was named.
        folder: Folder of the bundle: the model, its card, and the names of the classes.
        card: Everything about the model: input, parity with torch, latency, sources.
        seconds: Seconds that the conversion took.
        untimed: The error that kept the model from being timed, with the settings that would
            change that; None if it was timed, or no device can time its format.
        remark: What is to be known of the figures, as a sentence without a full stop; None if
            nothing is.
    """

    model: Path
    folder: Path
    card: Card
    seconds: float
    untimed: DeviceError | None = None
    remark: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        timing, parity = self.card.timing, self.card.parity
        return {
            "command": "evit-export",
            "path": str(self.model),
            "folder": str(self.folder),
            "format": self.card.format,
            "precision": self.card.precision,
            "tensor_types": self.card.tensor_types,
            "calibration_images": None
            if self.card.calibration is None
            else self.card.calibration.images,
            "bytes": self.card.bytes,
            "convert_s": round(self.seconds, 2),
            "device": None if timing is None else timing.device,
            "predicted_ms": None if timing is None else timing.predicted_ms,
            "measured_ms": None if timing is None else timing.measured_ms,
            "median_ms": None if timing is None else timing.median_ms,
            "ratio": None if timing is None else timing.ratio,
            "target_ms": None if timing is None else timing.target_ms,
            "kept": None if timing is None else timing.kept,
            "untimed": self.card.untimed,
            "images": parity.images,
            "torch_accuracy": parity.torch_accuracy,
            "exported_accuracy": parity.exported_accuracy,
            "max_abs_diff": parity.max_abs_diff,
            "max_rel_diff": parity.max_rel_diff,
            "agreement": parity.agreement,
            "operators": self.card.operators,
            "partitions": self.card.partitions,
        }
