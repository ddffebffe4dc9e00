"""What an export ends with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.errors import DeviceError

if TYPE_CHECKING:
    from export.accuracy_drop import AccuracyDrop
    from export.card import Card


@dataclass(frozen=True, kw_only=True)
class ExportedFile:
    """One file of an export.

    Attributes:
        card: Everything about the file.
        seconds: Seconds that the conversion took.
        drop: What the comparison with torch says of its accuracy.
        untimed: The error that kept the file from being timed; None if it was timed.
        unchecked: The error that kept its logits on a device from being compared; None if they
            were, or were not to be.
    """

    card: Card
    seconds: float
    drop: AccuracyDrop
    untimed: DeviceError | None = None
    unchecked: DeviceError | None = None


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """An exported model.

    Attributes:
        model: Path of the model's file: `ExportSettings.out` if it was named.
        folder: Folder of the bundle: the model, its card, and the names of the classes.
        card: Everything about the model: input, parity with torch, latency, sources.
        seconds: Seconds that the conversion took.
        untimed: The error that kept the model from being timed, with the settings that would
            change that; None if it was timed.
        files: All files of the bundle, the first of which is the one above.
        remark: What is to be known of the figures, as a sentence without a full stop; None if
            nothing is.
    """

    model: Path
    folder: Path
    card: Card
    seconds: float
    untimed: DeviceError | None = None
    files: tuple[ExportedFile, ...] = ()
    remark: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "command": "evit-export",
            "path": str(self.model),
            "folder": str(self.folder),
            **_facts(self.card, self.seconds),
            "files": [
                {"file": one.card.file, **_facts(one.card, one.seconds)} for one in self.files
            ],
        }


def _facts(card: Card, seconds: float) -> dict[str, Any]:
    """JSON-ready facts of one file."""
    timing, parity, fresh = card.timing, card.parity, card.fresh
    return {
        "network": card.title,
        "format": card.format,
        "precision": card.precision,
        "tensor_types": card.tensor_types,
        "calibration_images": None if card.calibration is None else card.calibration.images,
        "bytes": card.bytes,
        "convert_s": round(seconds, 2),
        "device": None if timing is None else timing.device,
        "predicted_ms": None if timing is None else timing.predicted_ms,
        "measured_ms": None if timing is None else timing.measured_ms,
        "median_ms": None if timing is None else timing.median_ms,
        "ratio": None if timing is None else timing.ratio,
        "target_ms": None if timing is None else timing.target_ms,
        "kept": None if timing is None else timing.kept,
        "untimed": card.untimed,
        "images": parity.images,
        "torch_accuracy": parity.torch_accuracy,
        "exported_accuracy": parity.exported_accuracy,
        "accuracy_error": parity.accuracy_error,
        "drop_error": parity.drop_error,
        "lost": parity.lost,
        "gained": parity.gained,
        "max_abs_diff": parity.max_abs_diff,
        "max_rel_diff": parity.max_rel_diff,
        "min_cosine": parity.min_cosine,
        "agreement": parity.agreement,
        "operators": card.operators,
        "partitions": card.partitions,
        "fresh": None if fresh is None else asdict(fresh),
        "device_check": None if card.device_check is None else asdict(card.device_check),
    }
