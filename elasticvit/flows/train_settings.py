"""Settings of the train flow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elasticvit.errors import SettingError
from elasticvit.flows.settings import check_ranges, check_real
from elasticvit.reading import shown
from elasticvit.space import SearchSpace
from elasticvit.training.config import COMPLEXITIES, MIN_LR, MOST_BATCH, MOST_EPOCHS
from elasticvit.training.policy import KEEP, LR_SCALES, MOST_KEPT, Policy

RANGES = {  # least and greatest value of whole numbers
    "epochs": (1, MOST_EPOCHS),
    "batch_size": (2, MOST_BATCH),
    "seed": (0, 2**31 - 1),
    "threads": (1, 256),
    "keep": (1, MOST_KEPT),
    "resume_from": (0, 2**53),
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
        keep: Number of latest checkpoints that are kept, besides the best one by the accuracy of
            the subnets that are judged during training.
        resume_from: Step of an earlier checkpoint to go on from, as where the latest one is
            damaged or the training has diverged since; the checkpoints behind it are removed. A
            run that is finished is then trained again from there. None: the latest one.
        lr_scale: Factor of the learning rates of all further steps of a run that is gone on with;
            the run stays the same one. None: the factor that it had last, at first 1.
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
    keep: int = KEEP
    resume_from: int | None = None
    lr_scale: float | None = None
    out: Path | str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
        check_real("lr", self.lr, MIN_LR, 1)
        check_real("lr_scale", self.lr_scale, *LR_SCALES)
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
        for name in ("resume_from", "lr_scale"):
            if self.fresh and getattr(self, name) is not None:
                raise SettingError(
                    f"{name} and fresh exclude each other: {name} is for an interrupted run",
                    settings=[name, "fresh"],
                )
        if self.resume and self.fresh:
            raise SettingError(
                "resume and fresh exclude each other; choose one of them",
                settings=["resume", "fresh"],
            )

    @property
    def policy(self) -> Policy:
        """How the run is saved and gone on with."""
        return Policy(keep=self.keep, resume_from=self.resume_from, lr_scale=self.lr_scale)
