"""Settings of a training run, and what an expert would choose for a data set and a space.

The recipe for large sets is the paper's (AdamW, cosine, adaptive gradient clipping, label
smoothing, mixup, moving average). Small sets need few images a step and a high learning rate
instead: there the number of steps is what is short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from elasticvit.errors import CheckpointError, SettingError
from elasticvit.space import SearchSpace

if TYPE_CHECKING:
    from elasticvit.training.data import DataInfo

TINY_IMAGES = 5_000  # up to this many training images
SMALL_IMAGES = 200_000
COMPLEXITIES = ("macs", "ms")
LR_WIDTH = 128  # channels of the last stage that the learning rates below are meant for


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run.

    Attributes:
        epochs: Number of passes over the training part.
        batch_size: Images a step, over all ranks.
        lr: Highest learning rate.
        min_lr: Learning rate at the end of the cosine schedule.
        warmup_share: Share of the steps over which the learning rate rises.
        weight_decay: Weight decay of weights; norms, biases and position biases have none.
        smoothing: Label smoothing.
        clip_factor: Adaptive gradient clipping: greatest norm of a unit's gradient, relative to
            the norm of its weights.
        mixup: Alpha of mixup; 0 turns mixup off.
        ema_share: Window of the moving average of the weights, as a share of all steps.
        ema_limit: Greatest decay of the moving average.
        subnets: Number of sampled subnets a step.
        complexity: Unit of the complexity levels, `macs` or `ms`.
        device: Device whose latency defines the levels; empty with `macs`.
        augment: Whether training images are augmented.

    Raises:
        SettingError: A value makes no sense; its setting is named.
    """

    epochs: int
    batch_size: int
    lr: float
    min_lr: float = 5e-6
    warmup_share: float = 0.1
    weight_decay: float = 0.05
    smoothing: float = 0.1
    clip_factor: float = 0.1
    mixup: float = 0.0
    ema_share: float = 0.05
    ema_limit: float = 0.99985
    subnets: int = 3
    complexity: str = "macs"
    device: str = ""
    augment: bool = True

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("subnets", 1)):
            value = getattr(self, name)
            if value < least:
                raise SettingError(
                    f"{name} is {value}; it must be at least {least}", settings=[name]
                )
        if not 0 < self.min_lr <= self.lr < 1:
            raise SettingError(
                f"lr is {self.lr:g}; it must lie between {self.min_lr:g} and 1", settings=["lr"]
            )
        if self.complexity not in COMPLEXITIES:
            raise SettingError(
                f"complexity is {self.complexity!r}; it must be one of {', '.join(COMPLEXITIES)}",
                settings=["complexity"],
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """Inverse of `to_dict`; names that this version does not know are left out.

        Raises:
            CheckpointError: A setting without a default is missing.
        """
        known = {f.name for f in fields(cls)}
        try:
            return cls(**{k: v for k, v in data.items() if k in known})
        except TypeError as error:
            raise CheckpointError(f"settings of a training are incomplete: {error}") from error


def default_config(info: DataInfo, space: SearchSpace, **changes: Any) -> TrainConfig:
    """What an expert would choose for a data set of this size and a space of this width.

    Short trainings on small sets need the highest learning rate that is stable, which falls
    as networks get wider; the long one on large sets is the paper's.

    Args:
        info: Size of the data set.
        space: The search space.
        changes: Settings that the user chose; one that is None keeps its default.

    Raises:
        SettingError: A value makes no sense; its setting is named.
    """
    width = space.largest.attn[-1].width if space.largest.attn else LR_WIDTH
    narrow = (LR_WIDTH / width) ** 2
    if info.train_images <= TINY_IMAGES:
        settings: dict[str, Any] = {"epochs": 10, "batch_size": 32, "lr": 8e-3 * min(narrow, 1)}
    elif info.train_images <= SMALL_IMAGES:
        settings = {"epochs": 30, "batch_size": 128, "lr": 4e-3 * min(narrow, 1), "mixup": 0.2}
    else:
        settings = {"epochs": 600, "batch_size": 768, "lr": 5e-4, "mixup": 0.2}
        settings["warmup_share"] = 5 / 600
    settings["batch_size"] = min(settings["batch_size"], info.train_images)
    chosen = {k: v for k, v in changes.items() if v is not None}
    return TrainConfig(**{**settings, **chosen})
