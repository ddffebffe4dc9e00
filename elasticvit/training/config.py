"""Settings of a training run, and what a recipe gives for a data set and a space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from elasticvit.errors import SettingError
from elasticvit.reading import shown
from elasticvit.space import SearchSpace
from elasticvit.training.distillation import Distillation
from elasticvit.training.recipes import CPU_MINUTES, LR_WIDTH, Recipe
from elasticvit.training.sampling.options import SUBNETS, check_sampling, default_sampling

if TYPE_CHECKING:
    from elasticvit.training.data import DataInfo

COMPLEXITIES = ("macs", "ms")
PRECISIONS = ("fp32", "bf16", "fp16")
WHOLE = ("epochs", "batch_size", "subnets", "accumulate")
MIN_LR = 5e-6
MOST_EPOCHS = 100_000
MOST_BATCH = 65_536
MOST_SUBNETS = 64
LIMITS: Mapping[str, tuple[float, float]] = {  # least and greatest value
    "epochs": (1, MOST_EPOCHS),
    "batch_size": (2, MOST_BATCH),
    "lr": (MIN_LR, 1),
    "min_lr": (1e-12, 1),
    "warmup_share": (0, 1),
    "weight_decay": (0, 10),
    "smoothing": (0, 0.99),
    "clip_factor": (1e-6, 1e6),
    "mixup": (0, 100),
    "cutmix": (0, 100),
    "erasing": (0, 1),
    "warmup_start": (0, 1),
    "final_share": (0, 0.9),
    "start_share": (0, 0.9),
    "ema_share": (0, 1),
    "ema_limit": (0, 1),
    "subnets": (1, MOST_SUBNETS),
    "grow": (0, 1),
    "level_bias": (0, 2),
    "accumulate": (1, MOST_BATCH),
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run.

    Attributes:
        epochs: Number of passes over the training part.
        batch_size: Images a step, over all ranks.
        lr: Highest learning rate.
        min_lr: Learning rate at the end of the cosine schedule.
        warmup_share: Share of the steps over which the learning rate rises.
        warmup_start: Learning rate of the first step, as a share of `lr`.
        final_share: Share of the steps that are left at `min_lr` after the cosine.
        weight_decay: Weight decay of weights; norms and biases have none.
        decay_convs: Whether convolutions decay: the first one and those of MBConv and downsampling
            blocks.
        decay_position_bias: Whether position biases decay.
        smoothing: Label smoothing.
        clip_factor: Adaptive gradient clipping: greatest norm of a unit's gradient, relative to
            the norm of its weights.
        mixup: Alpha of mixup; 0 turns mixup off.
        cutmix: Alpha of cutmix; 0 turns cutmix off.
        erasing: Probability that a rectangle of an image is replaced by noise.
        rand_augment: How images are distorted that are decoded one at a time, in timm's words.
        ema_share: Window of the moving average of the weights, as a share of all steps.
        ema_limit: Greatest decay of the moving average.
        subnets: Number of sampled subnets a step.
        complexity: Unit of the complexity levels, `macs` or `ms`.
        device: Device whose latency defines the levels; empty with `macs`.
        augment: Whether training images are augmented.
        sampling: Which subnets a step runs: those of one complexity level, which walks
            (`adjacent`), or of the whole space (`uniform`, `sandwich`).
        hss: Number of smallest subnets: 1 for all levels, or 3 for a third of them each.
        bank: Whether good subnets of each level are remembered and drawn again.
        preference: Whether random subnets follow the path preference rule.
        grow: Share of the training after which all levels are let in; 0: from the start.
        level_bias: How much more often cheap levels are visited: in proportion to their cost to
            the power of minus this; 0: all equally often.
        precision: What most layers compute in: `fp32`, `bf16` or `fp16`.
        accumulate: Number of micro-batches that each process takes a step's images in.
        distillation: Teachers that the sampled subnets learn from.
        recipe: Name of the recipe that the settings are of; empty if of none.
        start: SHA-256 of the weights that training starts from; empty if from initial ones.
        start_share: Share of the steps in which one subnet is trained, whose weights are then
            spread over the supernet; 0: none.

    Raises:
        SettingError: A value makes no sense; its setting is named.
    """

    epochs: int
    batch_size: int
    lr: float
    min_lr: float = MIN_LR
    warmup_share: float = 0.1
    weight_decay: float = 0.05
    smoothing: float = 0.1
    clip_factor: float = 0.1
    mixup: float = 0.0
    ema_share: float = 0.05
    ema_limit: float = 0.99985
    subnets: int = SUBNETS
    complexity: str = "macs"
    device: str = ""
    augment: bool = True
    sampling: str = "adjacent"
    hss: int = 3
    bank: bool = False
    preference: bool = False
    grow: float = 0.0
    precision: str = "fp32"
    accumulate: int = 1
    distillation: Distillation = field(default_factory=Distillation)
    warmup_start: float = 0.01
    decay_convs: bool = True
    decay_position_bias: bool = False
    cutmix: float = 0.0
    erasing: float = 0.0
    rand_augment: str = "rand-m5-n1-mstd0.5-inc1"
    recipe: str = field(default="", compare=False)  # a name; the numbers are what counts
    start: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""
    start_share: float = 0.0
    final_share: float = 0.0
    level_bias: float = 0.0

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            whole = isinstance(value, int)
            number = whole or (isinstance(value, float) and name not in WHOLE)
            if isinstance(value, bool) or not number or not least <= value <= most:
                kind = "a whole number" if name in WHOLE else "a number"
                raise SettingError(
                    f"{name} is {shown(value)}; it must be {kind} from {least:g} to {most:,g}",
                    settings=[name],
                )
        if self.min_lr > self.lr:
            raise SettingError(
                f"lr is {self.lr:g}; it must be at least min_lr, {self.min_lr:g}", settings=["lr"]
            )
        check_sampling(
            self.sampling, self.hss, self.bank, self.preference, self.grow, self.level_bias
        )
        for name, words in (("complexity", COMPLEXITIES), ("precision", PRECISIONS)):
            if getattr(self, name) not in words:
                raise SettingError(
                    f"{name} is {shown(getattr(self, name))}; it must be one of {', '.join(words)}",
                    settings=[name],
                )


def default_config(
    info: DataInfo,
    space: SearchSpace,
    recipe: Recipe = CPU_MINUTES,
    *,
    tuned: bool = False,
    **changes: Any,
) -> TrainConfig:
    """What a recipe comes to for a data set and a space.

    Args:
        info: Size of the data set.
        space: The search space.
        recipe: The recipe.
        tuned: Whether weights that were trained on other images are fine-tuned.
        changes: Settings that the user chose; one that is None keeps its default.

    Raises:
        SettingError: A value makes no sense, or a batch is larger than the training part; the
            setting is named.
    """
    width = space.largest.attn[-1].width if space.largest.attn else LR_WIDTH
    chosen = {k: v for k, v in changes.items() if v is not None}
    ruling = {k: chosen[k] for k in ("epochs", "batch_size", "lr") if k in chosen}
    settings = recipe.settings(images=info.train_images, width=width, tuned=tuned, **ruling)
    names = ("sampling", "hss", "bank", "preference")
    settings |= default_sampling(**{name: changes.get(name) for name in names})
    config = TrainConfig(**{**settings, **chosen})
    if config.batch_size > info.train_images:
        raise SettingError(
            f"batch_size is {config.batch_size:,}; it must be at most the {info.train_images:,} "
            f"training images of {info.name}",
            settings=["batch_size"],
        )
    return config
