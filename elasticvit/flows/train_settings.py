"""Settings of the train flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from elasticvit.arch import Arch
from elasticvit.errors import SettingError
from elasticvit.flows.places import check_path
from elasticvit.flows.settings import check_ranges, check_real
from elasticvit.reading import shown
from elasticvit.space import SearchSpace
from elasticvit.training.config import (
    COMPLEXITIES,
    LIMITS,
    MIN_LR,
    MOST_BATCH,
    MOST_EPOCHS,
    MOST_SUBNETS,
    PRECISIONS,
)
from elasticvit.training.policy import KEEP, LR_SCALES, MOST_KEPT, Policy
from elasticvit.training.recipes import RECIPES
from elasticvit.training.sampling.options import check_sampling

MOST_STEPS = 10**9
RANGES = {  # least and greatest value of whole numbers
    "epochs": (1, MOST_EPOCHS),
    "batch_size": (2, MOST_BATCH),
    "seed": (0, 2**31 - 1),
    "threads": (1, 256),
    "device_threads": (1, 64),
    "workers": (0, 256),
    "accumulate": (1, MOST_BATCH),
    "keep": (1, MOST_KEPT),
    "subnets": (1, MOST_SUBNETS),
    "resume_from": (0, 2**53),
    "panel_every": (0, MOST_STEPS),
    "diagnose_every": (0, MOST_STEPS),
}
AUTO = "auto"
# settings that say which subnets of a supernet are trained
OF_SUPERNETS = (
    *("complexity", "sampling", "hss", "bank", "preference", "grow", "level_bias"),
    *("subnets", "diagnose_every"),
)


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
            or of a search, a `subnet.pt`, a supernet in one file (`.safetensors`), or the name of
            one that comes with the package. With `subnet`: of any classes. None: initial weights.
        init: Trained weights to start from, for any classes; the classifier is made anew where
            these differ in number. As `start_from`, or the authors' checkpoint. None: initial
            weights.
        start_share: Share of the steps in which one subnet is trained alone, before its weights
            are spread over the supernet. None: as the recipe has it.
        complexity: Unit of the complexity levels: `macs` (multiply-accumulates) or `ms`.
        device: Device whose latency defines the levels in `ms`. None: the one that was profiled
            last.
        device_threads, device_cores: Inference threads and CPU cores that its latency is of, where
            it was profiled with several. None: those that it was profiled with last, or else one
            thread on cores `auto`.
        sampling: Which subnets a step runs: `adjacent` (all of one complexity level, which moves
            by at most one from step to step), `uniform` (of the whole space at random) or
            `sandwich` (BigNAS: the largest, and the smallest and two random ones that learn from
            it).
        hss: Number of smallest subnets that are trained along: 1 for all complexity levels, or 3
            for a third of the levels each. None: 3 with levels (`adjacent`), else 1.
        bank: Whether good subnets of each level are remembered and drawn again. None: whenever
            there are levels.
        preference: Whether random subnets are chosen so that their cost comes from width rather
            than depth. None: whenever there are levels.
        grow: Share of the training after which all levels are let in, the smallest first; 0: all
            from the start. None: as the recipe has it.
        level_bias: How much more often cheap levels are visited: in proportion to their cost to
            the power of minus this; 0: all equally often. None: as the recipe has it.
        subnets: Number of sampled subnets a step, besides the smallest one. None: as the recipe
            has it.
        teacher: Networks that the sampled subnets learn from, one or several: a network of timm's
            (`NAME` for timm's weights, `NAME:FILE` for weights from a file), the folder of a
            training run (its largest subnet; `RUN@ARCH` for another one), likewise a supernet in
            one file or by its name, or the file of a subnet.
            With one teacher labels count for half of the loss, with several they do not count.
        soft_labels: File of what teachers said of the training images (see `write_soft_labels`),
            in place of teachers. None: no soft labels.
        subnet: One architecture to train alone, instead of a supernet: an `Arch`, its text form, or
            its name. None: the whole supernet.
        resume: Whether to fail unless there is an interrupted run with the same settings to resume.
            By default such a run is resumed if there is one, and otherwise a new run is started.
        fresh: Whether to start a new run even if there is one to resume.
        seed: Random seed of weights, image order, augmentation and subnet sampling.
        threads: Number of CPU threads: on a CPU, the subnets of a step that run at the same time,
            with more threads each where there are more. None: all cores.
        workers: Number of processes that decode images while others are trained on, for data sets
            that are not in memory, for each training process. 0: the training process decodes.
            None: all cores but one, at most 8. The number does not change the result.
        precision: What most layers compute in: `fp32`, `bf16` or `fp16`. `auto`: bf16 on GPUs that
            have it, fp16 on older ones, fp32 on the CPU.
        accumulate: Number of micro-batches that a step's images are taken in, which divides the
            memory that a step needs. Batch norms see one micro-batch at a time.
        keep: Number of latest checkpoints that are kept, besides the best one by the accuracy of
            the subnets that are judged during training.
        resume_from: Step of an earlier checkpoint to go on from, as where the latest one is
            damaged or the training has diverged since; the checkpoints behind it are removed. A
            run that is finished is then trained again from there. None: the latest one.
        lr_scale: Factor of the learning rates of all further steps of a run that is gone on with;
            the run stays the same one. None: the factor that it had last, at first 1.
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
    recipe: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    start_from: Path | str | None = None
    init: Path | str | None = None
    start_share: float | None = None
    complexity: str = "macs"
    device: str | None = None
    device_threads: int | None = None
    device_cores: str | None = None
    sampling: str = "adjacent"
    hss: int | None = None
    bank: bool | None = None
    preference: bool | None = None
    grow: float | None = None
    level_bias: float | None = None
    subnets: int | None = None
    teacher: str | Sequence[str] = ()
    soft_labels: Path | str | None = None
    subnet: str | Arch | None = None
    resume: bool = False
    fresh: bool = False
    seed: int = 0
    threads: int | None = None
    workers: int | None = None
    precision: str = AUTO
    accumulate: int = 1
    keep: int = KEEP
    resume_from: int | None = None
    lr_scale: float | None = None
    panel_every: int | None = None
    diagnose_every: int = 0
    out: Path | str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, RANGES)
        check_real("lr", self.lr, MIN_LR, 1)
        check_real("grow", self.grow, *LIMITS["grow"])
        check_real("level_bias", self.level_bias, *LIMITS["level_bias"])
        check_sampling(
            self.sampling, self.hss, self.bank, self.preference, self.grow, self.level_bias
        )
        teachers = (self.teacher,) if isinstance(self.teacher, str) else tuple(self.teacher)
        object.__setattr__(self, "teacher", teachers)
        for name in ("soft_labels", "start_from", "init"):
            check_path(name, getattr(self, name))
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
        check_real("lr_scale", self.lr_scale, *LR_SCALES)
        for name in ("space", "data", "out", "teacher", "subnet"):
            text = str(getattr(self, name))
            if not text or "\0" in text:
                raise SettingError(
                    f"{name} is {shown(text)}; it must not be empty or hold a null character",
                    settings=[name],
                )
        if self.complexity not in COMPLEXITIES:
            raise SettingError(
                f"complexity is {shown(self.complexity)}; it must be one of "
                f"{', '.join(COMPLEXITIES)}",
                settings=["complexity"],
            )
        if self.precision not in (AUTO, *PRECISIONS):
            raise SettingError(
                f"precision is {shown(self.precision)}; it must be one of "
                f"{', '.join((AUTO, *PRECISIONS))}",
                settings=["precision"],
            )
        of_device = ("device", "device_threads", "device_cores")
        named = [name for name in of_device if getattr(self, name) is not None]
        if named and self.complexity == "macs":
            raise SettingError(
                f"{named[0]} is {getattr(self, named[0])!r}, but complexity levels are in macs, "
                "which are the same on all devices; choose complexity ms, or name no device",
                settings=["complexity", *named],
            )
        if self.teacher and self.soft_labels is not None:
            raise SettingError(
                "teacher and soft_labels exclude each other; choose one of them",
                settings=["teacher", "soft_labels"],
            )
        if len(set(self.teacher)) < len(self.teacher):
            raise SettingError(
                f"teacher is {', '.join(self.teacher)}: one is named twice; name each one once",
                settings=["teacher"],
            )
        others = [n for n in ("init", "start_share") if getattr(self, n)]
        if self.subnet is not None and others:
            raise SettingError(
                f"subnet and {others[0]} exclude each other; name the weights that the subnet "
                "starts from with start_from",
                settings=["subnet", *others],
            )
        if self.subnet is not None:
            self._check_alone()
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

    def _check_alone(self) -> None:
        """Check that nothing is said of the sampling of subnets where one is trained alone."""
        usual = {field.name: field.default for field in fields(self)}
        named = [name for name in OF_SUPERNETS if getattr(self, name) != usual[name]]
        if named:
            raise SettingError(
                f"{', '.join(named)}: not with subnet, since one architecture alone has no other "
                "subnets to choose from; leave that out",
                settings=["subnet", *named],
            )

    @property
    def policy(self) -> Policy:
        """How the run is saved and gone on with."""
        return Policy(keep=self.keep, resume_from=self.resume_from, lr_scale=self.lr_scale)
