"""What a training ends with, as `result.json` in the folder of the run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from elasticvit.arch import Arch
from elasticvit.errors import CheckpointError, NextStep
from elasticvit.files import write_atomic
from elasticvit.flows.single_run import is_single
from elasticvit.reading import Count, Format, NotNegative, Percent, Positive, Whole
from elasticvit.training.panel_result import PanelAccuracy

if TYPE_CHECKING:
    from elasticvit.nn import Supernet

RESULT_FILE = "result.json"


@dataclass(frozen=True, kw_only=True)
class SubnetAccuracy:
    """Accuracy of one subnet after training, batch norm recalibrated.

    Attributes:
        name: Name of the subnet in reports, such as `smallest` or `at 300 MMACs`.
        arch: The architecture.
        macs_m: Multiply-accumulates, in millions.
        accuracy: Top-1 accuracy on held-out images, in percent.
    """

    name: str
    arch: Arch
    macs_m: Positive
    accuracy: Percent

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**vars(self), "arch": self.arch.to_dict()}


class ResultFile(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a training as `result.json` holds it; see `TrainResult`."""

    space: str
    data: str
    seed: Count
    epochs: Whole
    subnets: Annotated[tuple[SubnetAccuracy, ...], Meta(min_length=1)]
    images: Whole | None = None
    panel: tuple[PanelAccuracy, ...] = ()
    expected_s: NotNegative
    took_s: NotNegative
    unreadable: Count = 0
    lr_scale: Positive = 1.0


RESULT_FORMAT = Format(
    kind=ResultFile,
    what="the result of a training",
    error=CheckpointError,
    mend="remove it, and train with the same settings to have it made again from the checkpoint",
)


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A finished training.

    Attributes:
        folder: Folder of the run.
        space: Name of the search space.
        data: Canonical spec of the data set.
        seed: Random seed.
        epochs: Number of passes over the training part.
        subnets: Accuracies of a small, a middle and a large subnet of the panel.
        panel: Accuracies of the whole panel, smallest first; empty if not recorded.
        images: Number of held-out images behind these accuracies; None if not recorded.
        expected_s: Seconds that the last session was expected to take.
        took_s: Seconds that it took.
        unreadable: Number of training images that could not be read, each of which was replaced by
            another one of its class.
        lr_scale: Factor of the learning rates in the last steps.
        suggested_target_ms: Suggested target latency: the median of the space on the device that
            was profiled last; None if no device was, or its predictor cannot price the space.
    """

    folder: Path
    space: str
    data: str
    seed: int
    epochs: int
    subnets: tuple[SubnetAccuracy, ...]
    images: int | None
    expected_s: float
    took_s: float
    unreadable: int = 0
    lr_scale: float = 1.0
    panel: tuple[PanelAccuracy, ...] = ()
    suggested_target_ms: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "command": "evit-train",
            "run": str(self.folder).encode(errors="surrogateescape").decode(errors="replace"),
            "space": self.space,
            "data": self.data,
            "seed": self.seed,
            "epochs": self.epochs,
            "subnets": [subnet.to_dict() for subnet in self.subnets],
            "images": self.images,
            "panel": [subnet.to_dict() for subnet in self.panel],
            "expected_s": self.expected_s,
            "took_s": self.took_s,
            "unreadable": self.unreadable,
            "lr_scale": self.lr_scale,
        }

    def save(self) -> None:
        """Write `result.json` into the folder of the run.

        Raises:
            FileError: It cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        write_atomic(self.folder / RESULT_FILE, text + "\n")

    @property
    def single(self) -> bool:
        """Whether one architecture was trained alone, which is exported without a search."""
        return is_single(self.folder)

    @classmethod
    def load(cls, folder: Path | str) -> TrainResult:
        """Read the result of a finished training.

        Args:
            folder: Folder of the run; it may have been moved since.

        Raises:
            CheckpointError: The folder holds no finished training, or a damaged result.
        """
        path = Path(folder) / RESULT_FILE
        if not path.exists():
            raise CheckpointError(
                f"no finished training in {folder}; train to the end first",
                next_step=NextStep("train"),
            )
        file = RESULT_FORMAT.read_json(path)
        return cls(folder=Path(folder), **msgspec.structs.asdict(file))

    def supernet(self) -> Supernet:
        """The trained supernet, on the CPU in evaluation mode.

        Raises:
            CheckpointError: The checkpoint is missing, truncated or foreign.
        """
        from elasticvit.training.checkpoint import load_supernet

        return load_supernet(self.folder)
