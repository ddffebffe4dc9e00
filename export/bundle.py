"""The bundle that an export writes: a folder with the model, its card and its labels.

`model.json`, the card, holds all that is needed to use the model and the origin of its figures.
`labels.txt` has one class name a line.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from elasticvit.arch import Arch
from elasticvit.errors import ArchError, ExportError, NextStep
from elasticvit.files import write_atomic
from elasticvit.version import __version__
from export.parity import Parity

SCHEMA = 1
CARD_FILE, LABELS_FILE, MODEL_NAME = "model.json", "labels.txt", "model"


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """How to feed the model: RGB in 0..1, then (x - mean) / std a channel.

    Attributes:
        shape: Shape of the input tensor, (1, R, R, channels).
        mean: Mean of each channel.
        std: Standard deviation of each channel.
        layout: Order of the axes.
        dtype: Type of the values.
        channels: Order of the channels.
    """

    shape: tuple[int, int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: str = "NHWC"
    dtype: str = "float32"
    channels: str = "RGB"


@dataclass(frozen=True, kw_only=True)
class ExportTiming:
    """Latency of the exported file on a device, beside what the search predicted.

    Attributes:
        device: Name of the device.
        source: Where the figures come from, such as `host:CPU model`.
        runtime: Name and version of the runtime.
        threads: Number of inference threads.
        cores: The cores that were used, such as `1` or `4-7`.
        measured_ms: Latency by the estimator of the latency table, so that it may stand beside
            the prediction.
        estimator: The estimator in words.
        median_ms: Median of all runs, which other programs on the device make longer.
        low_ms: Median of the fastest round.
        high_ms: Median of the slowest round.
        rounds: Number of rounds.
        runs: Number of runs in all rounds.
        predicted_ms: Predicted latency on this device; None if the search did not price it.
        upper_ms: Upper bound of the predicted latency; None if there is none.
        target_ms: Latency cap of the search on this device; None if there was none.
    """

    device: str
    source: str
    runtime: str
    threads: int
    cores: str
    measured_ms: float
    estimator: str
    median_ms: float
    low_ms: float
    high_ms: float
    rounds: int
    runs: int
    predicted_ms: float | None = None
    upper_ms: float | None = None
    target_ms: float | None = None

    @property
    def ratio(self) -> float | None:
        """Predicted latency over measured latency; None if there is no prediction."""
        return None if self.predicted_ms is None else self.predicted_ms / self.measured_ms


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything about an exported model.

    Attributes:
        format: Name of the export format.
        file: Name of the model's file beside the card.
        bytes: Size of the file.
        sha256: SHA-256 of the file.
        arch: The architecture.
        layout: What the search space fixes.
        input: Shape and normalisation of the input.
        classes: Number of outputs (logits).
        labels: Names of the classes; empty if not known.
        macs_m: Multiply-accumulates, in millions.
        parity: Comparison with torch on held-out images.
        sources: Data set, search and training run that the model comes from.
        versions: Versions of the libraries that took part.
        timing: Latency on a device; None if the model was not timed.
        untimed: Why the model was not timed; None if it was.
        operators: Number of each operator, by name; empty if the file is not TFLite.
        partitions: Pieces that the CPU delegate takes the model in; None if not TFLite.
        created: Local time of the export.
        elasticvit: Version of elasticvit.
    """

    format: str
    file: str
    bytes: int
    sha256: str
    arch: Arch
    layout: dict[str, Any]
    input: ImageInput
    classes: int
    labels: tuple[str, ...]
    macs_m: float
    parity: Parity
    sources: dict[str, Any]
    versions: dict[str, str]
    timing: ExportTiming | None = None
    untimed: str | None = None
    operators: dict[str, int] = field(default_factory=dict)
    partitions: int | None = None
    created: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    elasticvit: str = __version__

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form with its schema version."""
        data = asdict(self)
        data["arch"] = self.arch.to_dict()
        if self.timing is not None:
            data["timing"]["ratio"] = self.timing.ratio
        return {"schema": SCHEMA, **data}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Card:
        """Inverse of `to_dict`.

        Raises:
            ExportError: The card is of another schema, or fields are missing, unknown or
                damaged.
        """
        if data.get("schema") != SCHEMA:
            raise ExportError(
                f"model card of schema {data.get('schema')!r}, this version reads {SCHEMA}; "
                "update elasticvit, or export again",
                next_step=NextStep("export"),
            )
        fields = {k: v for k, v in data.items() if k != "schema"}
        try:
            fields["arch"] = Arch.from_dict(fields["arch"])
            fields["input"] = ImageInput(**_tuples(fields["input"]))
            fields["parity"] = Parity(**fields["parity"])
            if fields["timing"] is not None:
                timing = {k: v for k, v in fields["timing"].items() if k != "ratio"}
                fields["timing"] = ExportTiming(**timing)
            return cls(**_tuples(fields))
        except (KeyError, TypeError, AttributeError, ArchError) as error:
            raise ExportError(
                f"model card is damaged: {error}; export again", next_step=NextStep("export")
            ) from error


def card_path(model: Path) -> Path:
    """Path of the card that describes a model."""
    return model.with_suffix(".json")


def labels_path(model: Path) -> Path:
    """Path of the class names of a model: `labels.txt` in a folder of its own."""
    own = model.stem == MODEL_NAME
    return model.with_name(LABELS_FILE if own else f"{model.stem}.{LABELS_FILE}")


def write_bundle(folder: Path, data: bytes, card: Card) -> Path:
    """Write model, labels and card; the card last, so that a model with one is complete.

    Args:
        folder: Folder to write into; made if it is missing.
        data: Content of the model's file.
        card: The card, which names the file.

    Returns:
        Path of the model.

    Raises:
        OSError: A file cannot be written.
    """
    path = folder / card.file
    write_atomic(path, data)
    if card.labels:
        write_atomic(labels_path(path), "\n".join(card.labels) + "\n")
    write_card(folder, card)
    return path


def write_card(folder: Path, card: Card) -> None:
    """Write the card alone, after something was added to it."""
    text = json.dumps(card.to_dict(), indent=2, allow_nan=False)
    write_atomic(card_path(folder / card.file), text + "\n")


def load_bundle(path: Path) -> tuple[bytes, Card]:
    """Content of a model's file, and its card.

    Args:
        path: Folder of an export, or the model's file with its card beside it.

    Raises:
        ExportError: A file is missing or damaged, or the model is not the one of the card.
    """
    described = path / CARD_FILE if path.is_dir() else card_path(path)
    try:
        data = json.loads(described.read_text())
        card = Card.from_dict(data if isinstance(data, dict) else {})
        model = described.with_name(card.file).read_bytes()
    except (OSError, ValueError) as error:
        raise ExportError(
            f"no complete export at {path}: {error}; export again", next_step=NextStep("export")
        ) from error
    if sha256(model) != card.sha256:
        raise ExportError(
            f"{described.with_name(card.file)} is not the file that {described.name} describes "
            "(another sha256); export again",
            next_step=NextStep("export"),
        )
    return model, card


def timed(card: Card, timing: ExportTiming) -> Card:
    """The card with the latency of the model on a device."""
    return replace(card, timing=timing, untimed=None)


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
