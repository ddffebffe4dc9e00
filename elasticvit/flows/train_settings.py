"""Settings of the train flow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elasticvit.errors import SettingError
from elasticvit.flows.settings import check_ranges, check_real
from elasticvit.reading import shown
from elasticvit.space import SearchSpace
from elasticvit.training.config import COMPLEXITIES, LIMITS, MIN_LR, MOST_BATCH, MOST_EPOCHS
from elasticvit.training.recipes import RECIPES

RANGES = {  # least and greatest value of whole numbers
    "epochs": (1, MOST_EPOCHS),
    "batch_size": (2, MOST_BATCH),
    "seed": (0, 2**31 - 1),
    "threads": (1, 256),
}


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of the train flow.

    Attributes:
        space: Search space: a preset, a TOML file, the name of the space that was used last, or
            the space itself. None: the one that was used last, or the one that suits the data set
            and the machine.
        data: Spec of the data set. None: the one that was used last, or scikit-learn's digits.
        recipe: How to train: `cpu-minutes`, `one-gpu` or `paper`. None: chosen by the size of the
            data set and the machine.
        epochs: Number of passes over the training part. None: as the recipe has it.
        batch_size: Images a step, over all ranks. None: as the recipe has it.
        lr: Highest learning rate. None: as the recipe has it.
        start_from: Trained weights to start from, for the same classes: a subnet's, which are
            spread over the supernet, or those of another training's supernet. The folder of a run
            or of a search, or a `subnet.pt`. None: initial weights.
        init: Trained weights to start from, for any classes; the classifier is made anew where
            these differ in number. As `start_from`, or the authors' checkpoint. None: initial
            weights.
        start_share: Share of the steps in which one subnet is trained alone, before its weights
            are spread over the supernet. None: as the recipe has it.
        complexity: Unit of the complexity levels: `macs` (multiply-accumulates) or `ms`.
        device: Device whose latency defines the levels in `ms`. None: the one that was profiled
            last.
        resume: Whether to fail unless there is an interrupted run with the same settings to resume.
            By default such a run is resumed if there is one, and otherwise a new run is started.
        fresh: Whether to start a new run even if there is one to resume.
        seed: Random seed of weights, image order, augmentation and subnet sampling.
        threads: Number of CPU threads. None: all cores.
        out: Folder of the run outside of the workspace, whose defaults and latest run then stay as
            they are. None: a new folder in the workspace.

    Raises:
        SettingError: A value is out of range, or contradicts another setting.
    """

    space: str | SearchSpace | None = None
    data: str | None = None
    recipe: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    start_from: Path | str | None = None
    init: Path | str | None = None
    start_share: float | None = None
    complexity: str = "macs"
    device: str | None = None
    resume: bool = False
    fresh: bool = False
    seed: int = 0
    threads: int | None = None
    out: Path | str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
        check_real("lr", self.lr, MIN_LR, 1)
        check_real("start_share", self.start_share, *LIMITS["start_share"])
        if self.recipe is not None and self.recipe not in RECIPES:
            raise SettingError(
                f"recipe is {shown(self.recipe)}; it must be one of {', '.join(RECIPES)}",
                settings=["recipe"],
            )
        starts = [n for n in ("start_from", "init", "start_share") if getattr(self, n)]
        if len(starts) > 1:
            raise SettingError(
                f"{' and '.join(starts)} exclude each other; choose one of them", settings=starts
            )
        for name in ("space", "data", "out", "start_from", "init"):
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
