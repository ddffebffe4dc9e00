"""The card of an exported model: all that is needed to use it, and where its figures come from."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from elasticvit.arch import Arch
from elasticvit.errors import ExportError, NextStep
from elasticvit.kernels import Layout, lower
from elasticvit.precisions import FP32, Precision
from elasticvit.reading import Count, Format, Positive, Whole
from elasticvit.version import __version__
from export.calibration import CALIBRATED, Calibration
from export.card_parts import DeviceCheck, ExportTiming, ImageInput, ProofFile
from export.fresh_run import FreshRun
from export.parity import Parity

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything about an exported model.

    Attributes:
        format: Name of the export format.
        file: Name of the model's file beside the card.
        bytes: Size of the file.
        sha256: SHA-256 of the file.
        arch: The architecture; None if the network is of no search space.
        layout: What the search space fixes; None if the network is of none.
        model: Name of the network if it is of no search space; None if it is of one.
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
        undelegated: Number of each operator that the CPU delegate leaves to slower kernels, by
            name; empty if it leaves none, or the file is not TFLite.
        fresh: What the file does in fresh processes of the exporting computer; None if an earlier
            version exported it.
        proof: Test images with torch's logits, to prove the file again; None if there are none.
        device_check: Logits on a device beside those here; None if they were not compared.
        others: Names of the cards of the other files of the same subnet beside this one.
        precision: Precision of the file, whose parity, accuracy and latency these are.
        tensor_types: Number of tensors of each type as read back from the file; empty if the
            format does not tell.
        calibration: How the ranges of 8-bit activations were found; None if there are none.
        created: Local time of the export.
        elasticvit: Version of elasticvit.

    Raises:
        ValueError: Fields contradict each other.
    """

    format: str
    file: str
    bytes: Whole
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    arch: Arch | None = None
    layout: Layout | None = None
    model: str | None = None
    input: ImageInput
    classes: Whole
    labels: tuple[str, ...]
    macs_m: Positive
    parity: Parity
    sources: dict[str, Any]
    versions: dict[str, str]
    timing: ExportTiming | None = None
    untimed: str | None = None
    operators: dict[str, Whole] = field(default_factory=dict)
    partitions: Count | None = None
    undelegated: dict[str, Whole] = field(default_factory=dict)
    fresh: FreshRun | None = None
    proof: ProofFile | None = None
    device_check: DeviceCheck | None = None
    others: tuple[str, ...] = ()
    precision: Precision = FP32
    tensor_types: dict[str, Whole] = field(default_factory=dict)
    calibration: Calibration | None = None
    created: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    elasticvit: str = __version__

    def __post_init__(self) -> None:
        classes, side, channels = self.classes, self.input.shape[1], self.input.shape[3]
        if self.arch is not None and self.layout is not None:
            lower(self.arch, self.layout)  # raises unless they fit each other
            classes, channels = self.layout.classes, self.layout.in_channels
            side = self.arch.resolution
        rules = {
            "there must be arch and layout, or model": (self.arch is None)
            == (self.layout is None)
            == bool(self.model),
            "file must be the name of a file beside the card": _is_name(self.file),
            "proof.file must be the name of a file beside the card": self.proof is None
            or _is_name(self.proof.file),
            "others must be names of files beside the card": all(map(_is_name, self.others)),
            f"classes must be those of layout, {classes}": self.classes == classes,
            f"labels must name the {self.classes} classes": len(self.labels) in (0, self.classes),
            f"input.shape must be [1, {side}, {side}, {channels}]": self.input.shape
            == (1, side, side, channels),
            f"input.mean and input.std must have {channels} numbers": len(self.input.mean)
            == len(self.input.std)
            == channels,
            "calibration must be there for int8-full alone": (self.calibration is not None)
            == (self.precision in CALIBRATED),
            "timing and untimed exclude each other": self.timing is None or self.untimed is None,
        }
        for rule, kept in rules.items():
            if not kept:
                raise ValueError(rule)

    @property
    def title(self) -> str:
        """The architecture, or the name of the network."""
        return str(self.arch if self.arch is not None else self.model)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form with its schema version."""
        data = asdict(self)
        if self.arch is not None and self.layout is not None:
            data["arch"], data["layout"] = self.arch.to_dict(), self.layout.to_dict()
        if self.timing is not None:
            data["timing"] |= {"ratio": self.timing.ratio, "kept": self.timing.kept}
        data["parity"] |= {
            "accuracy_error": self.parity.accuracy_error,
            "drop": self.parity.drop,
            "drop_error": self.parity.drop_error,
        }
        return {"schema": SCHEMA, **data}

    def to_json(self) -> str:
        """Content of the card's file."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"


def _is_name(file: str) -> bool:
    """Whether a text is the name of a file in the same folder."""
    return file not in ("", "..") and Path(file).name == file and "\0" not in file


CARD_FORMAT: Format[Card] = Format(
    kind=Card,
    what="the card of an export",
    error=ExportError,
    mend="export again",
    next_step=NextStep("export"),
    schema=SCHEMA,
)


def timed(card: Card, timing: ExportTiming) -> Card:
    """The card with the latency of the model on a device."""
    return replace(card, timing=timing, untimed=None)
