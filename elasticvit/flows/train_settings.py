"""Settings of the train flow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elasticvit.errors import SettingError
from elasticvit.flows.settings import check_ranges, check_real
from elasticvit.reading import shown
from elasticvit.space import SearchSpace
from elasticvit.training.config import COMPLEXITIES, MIN_LR, MOST_BATCH, MOST_EPOCHS

MOST_STEPS = 10**9
RANGES = {  # least and greatest value of whole numbers
    "epochs": (1, MOST_EPOCHS),
    "batch_size": (2, MOST_BATCH),
    "seed": (0, 2**31 - 1),
    "threads": (1, 256),
    "panel_every": (0, MOST_STEPS),
    "diagnose_every": (0, MOST_STEPS),
}


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of the train flow.

    Attributes:
        space: Search space: a preset, a TOML file, the name of the space that was used last, or
            the space itself. None: the one that was used last, or `mobile`.
        data: Spec of the data set. None: the one that was used last, or scikit-learn's digits.
        epochs: Number of passes over the training part. None: chosen by the size of the data set.
        batch_size: Images a step, over all ranks. None: chosen by the size of the data set.
        lr: Highest learning rate. None: chosen by the size of the data set and the width of the
            space.
        complexity: Unit of the complexity levels: `macs` (multiply-accumulates) or `ms`.
        device: Device whose latency defines the levels in `ms`. None: the one that was profiled
            last.
        resume: Whether to fail unless there is an interrupted run with the same settings to resume.
            By default such a run is resumed if there is one, and otherwise a new run is started.
        fresh: Whether to start a new run even if there is one to resume.
        seed: Random seed of weights, image order, augmentation and subnet sampling.
        threads: Number of CPU threads. None: all cores.
        panel_every: Number of steps after which a fixed panel of subnets is judged on held-out
            images, again and again; 0 judges it at the end alone. None: as often as a twentieth of
            the training's time allows. It is judged at the end in any case, and never changes what
            is trained.
        diagnose_every: Number of steps after which the gradients of pairs of subnets are compared,
            again and again; each time takes some five to ten steps' time. 0: never.
        out: Folder of the run outside of the workspace, whose defaults and latest run then stay as
            they are. None: a new folder in the workspace.

    Raises:
        SettingError: A value is out of range, or contradicts another setting.
    """

    space: str | SearchSpace | None = None
    data: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    complexity: str = "macs"
    device: str | None = None
    resume: bool = False
    fresh: bool = False
    seed: int = 0
    threads: int | None = None
    panel_every: int | None = None
    diagnose_every: int = 0
    out: Path | str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
        check_real("lr", self.lr, MIN_LR, 1)
        for name in ("space", "data", "out"):
            text = str(getattr(self, name))
            if "\0" in text:
                raise SettingError(
                    f"{name} is {shown(text)}; it must not hold a null character",
                    settings=[name],
                )
        if self.complexity not in COMPLEXITIES:
            raise SettingError(
                f"complexity is {shown(self.complexity)}; it must be one of "
                f"{', '.join(COMPLEXITIES)}",
                settings=["complexity"],
            )
        if self.device is not None and self.complexity == "macs":
            raise SettingError(
                f"device is {self.device!r}, but complexity levels are in macs, which are the "
                "same on all devices; choose complexity ms, or name no device",
                settings=["complexity", "device"],
            )
        if self.resume and self.fresh:
            raise SettingError(
                "resume and fresh exclude each other; choose one of them",
                settings=["resume", "fresh"],
            )
