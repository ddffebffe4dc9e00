"""Settings of a training run, and what an expert would choose for a data set and a space.

The recipe for large sets is the paper's (AdamW, cosine, adaptive gradient clipping, label
smoothing, mixup, moving average). Small sets need few images a step and a high learning rate
instead: there the number of steps is what is short.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from elasticvit.errors import TrainingError
from elasticvit.space import SearchSpace
from elasticvit.training.data import DataInfo

TINY_IMAGES = 5_000  # up to this many training images
SMALL_IMAGES = 200_000
LR_WIDTH = 128  # of the last stage, for which the learning rates below are meant


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run.

    Attributes:
        epochs: passes over the training part.
        batch_size: images a step, over all ranks.
        lr: highest learning rate.
        min_lr: learning rate at the end of the cosine.
        warmup_share: share of the steps over which the learning rate rises.
        weight_decay: of weights; norms, biases and position biases have none.
        smoothing: of the labels.
        clip_factor: of adaptive gradient clipping, a unit's gradient to its weights.
        mixup: alpha of mixup; 0 is without.
        ema_share: window of the weights' moving average, as a share of all steps.
        ema_limit: greatest decay of the average.
        subnets: sampled subnets a step.
        complexity: what levels are measured in, `macs` or `ms`.
        device: whose milliseconds; empty with `macs`.
        augment: vary the training images.

    Raises:
        TrainingError: a setting that makes no sense; it is named.
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
                raise TrainingError(f"{name} is {value}; it must be at least {least}")
        if not 0 < self.min_lr <= self.lr < 1:
            raise TrainingError(f"lr is {self.lr:g}; it must lie between {self.min_lr:g} and 1")
        if self.complexity not in ("macs", "ms"):
            raise TrainingError(f"complexity is {self.complexity!r}; it is macs or ms")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """Inverse of `to_dict`; fields that this version does not know are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in data.items() if k in known})


def default_config(info: DataInfo, space: SearchSpace, **changes: Any) -> TrainConfig:
    """What an expert would choose for a data set of this size and a space of this width.

    Short trainings on small sets need the highest learning rate that is stable, which falls
    as networks get wider; the long one on large sets is the paper's.

    Args:
        changes: settings that the user chose; None leaves the choice here.
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
