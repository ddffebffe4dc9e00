"""What an export leaves behind: a folder with the model, its card and its labels.

`model.json`, the card, says everything that a person or a program needs to use the model and
to know where its numbers come from. `labels.txt` has one class name a line.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from elasticvit.arch import Arch
from elasticvit.errors import ArchError, ExportError
from elasticvit.version import __version__
from elasticvit.workspace import write_atomic
from export.parity import Parity

SCHEMA = 1
CARD_FILE, LABELS_FILE, MODEL_NAME = "model.json", "labels.txt", "model"


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """How to feed the model: RGB in 0..1, then (x - mean) / std a channel.

    Attributes:
        shape: (1, R, R, channels), float32, channels last.
        mean, std: a channel.
    """

    shape: tuple[int, int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: str = "NHWC"
    dtype: str = "float32"
    channels: str = "RGB"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The file timed on a device, beside what the search predicted.

    Attributes:
        device, source, runtime, threads, cores: conditions of the measurement.
        measured_ms: latency by the rule that the latency table uses (`estimator`), so that it
            may stand beside the prediction.
        median_ms: median of all runs, which other programs on the device make longer.
        low_ms, high_ms: the fastest and the slowest round's median.
        rounds, runs: how many rounds, and runs in all.
        predicted_ms, upper_ms, target_ms: of the search, for the same device; None where
            it priced none.
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
        """Predicted over measured."""
        return None if self.predicted_ms is None else self.predicted_ms / self.measured_ms


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything about an exported model.

    Attributes:
        format: name of the format.
        file: name of the model's file in the folder.
        bytes, sha256: of the file.
        arch: the architecture; `layout` what its space fixes.
        input: how to feed it.
        classes: number of outputs (logits); `labels` their names, where known.
        macs_m: multiply-accumulates, in millions.
        parity: comparison with torch on held-out images.
        timing: on the device; None where it was not timed, and why in `untimed`.
        operators: number of each operator; `partitions` of the CPU delegate. TFLite only.
        sources: data set, search and training run it comes from.
        versions: libraries that took part.
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
    timing: Timing | None = None
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
            ExportError: another schema, or fields that are missing, unknown or damaged.
        """
        if data.get("schema") != SCHEMA:
            raise ExportError(
                f"model card of schema {data.get('schema')!r}, this version reads {SCHEMA}; "
                "update elasticvit, or run evit-export again"
            )
        fields = {k: v for k, v in data.items() if k != "schema"}
        try:
            fields["arch"] = Arch.from_dict(fields["arch"])
            fields["input"] = ImageInput(**_tuples(fields["input"]))
            fields["parity"] = Parity(**fields["parity"])
            if fields["timing"] is not None:
                timing = {k: v for k, v in fields["timing"].items() if k != "ratio"}
                fields["timing"] = Timing(**timing)
            return cls(**_tuples(fields))
        except (KeyError, TypeError, AttributeError, ArchError) as error:
            raise ExportError(f"model card is damaged: {error}; run evit-export again") from error


def write_bundle(folder: Path, data: bytes, card: Card) -> Path:
    """Write model, card and labels; the card last, so that a folder with one is complete.

    Returns:
        The model's path.
    """
    path = folder / card.file
    write_atomic(path, data)
    if card.labels:
        write_atomic(folder / LABELS_FILE, "\n".join(card.labels) + "\n")
    write_card(folder, card)
    return path


def write_card(folder: Path, card: Card) -> None:
    """Write the card alone, after something was added to it."""
    text = json.dumps(card.to_dict(), indent=2, allow_nan=False)
    write_atomic(folder / CARD_FILE, text + "\n")


def load_bundle(folder: Path) -> tuple[bytes, Card]:
    """Model and card of a folder.

    Raises:
        ExportError: something is missing or damaged, or the model is not the card's.
    """
    path = folder / CARD_FILE
    try:
        data = json.loads(path.read_text())
        card = Card.from_dict(data if isinstance(data, dict) else {})
        model = (folder / card.file).read_bytes()
    except (OSError, ValueError) as error:
        raise ExportError(f"no complete export in {folder}: {error}; run evit-export") from error
    if sha256(model) != card.sha256:
        raise ExportError(
            f"{folder / card.file} is not the file that {CARD_FILE} describes (another sha256); "
            "run evit-export again"
        )
    return model, card


def timed(card: Card, timing: Timing) -> Card:
    """The card with a measurement."""
    return replace(card, timing=timing, untimed=None)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
