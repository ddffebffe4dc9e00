"""Recipes: everything that a training does besides what it trains and on what.

A number of `PAPER` is the authors' (ElasticViT, ICCV 2023, section 5 and the supplement, and their
code where the two differ), unless its comment says otherwise. The other recipes keep the method's
losses and optimiser, and change what a short training on one machine needs changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from elasticvit.training.sampling.options import SUBNETS

LR_WIDTH = 128  # channels of the last stage that the learning rates of short recipes are meant for
NARROWEST = 2e-3  # the learning rate falls no further with the width
HIGHEST_LR = 1.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train, for any data set and space. Fields without a word here are those of
    `TrainConfig`.

    Attributes:
        name: Name of the recipe.
        steps: Number of steps that a training takes, in whole epochs; None: as `epochs` says.
        epochs: Number of passes over the training part; with `steps`, the most of them.
        batch_size: Images a step, over all ranks; all images of a smaller training part.
        lr: Highest learning rate.
        lr_batch: Images a step that the learning rates are meant for: they grow in proportion to
            the batch. None: they are the same for every batch.
        tuned_share: Share of `lr` that is used where weights that were trained on other images are
            fine-tuned.
        falls_with_width: Whether `lr` is meant for `LR_WIDTH` channels of the last stage, and
            falls with the square of wider ones.
    """

    name: str
    steps: int | None
    epochs: int
    batch_size: int
    lr: float
    lr_batch: int | None = None
    tuned_share: float = 0.25  # as is usual; not measured
    falls_with_width: bool = False
    min_lr: float = 5e-6
    warmup_share: float = 0.1
    warmup_start: float = 0.01
    weight_decay: float = 0.05
    decay_convs: bool = True
    decay_position_bias: bool = False
    smoothing: float = 0.1
    clip_factor: float = 0.1
    mixup: float = 0.0
    cutmix: float = 0.0
    erasing: float = 0.0
    rand_augment: str = "rand-m5-n1-mstd0.5-inc1"
    ema_share: float = 0.05
    ema_limit: float = 0.99985
    start_share: float = 0.0
    final_share: float = 0.0
    subnets: int = SUBNETS
    level_bias: float = 0.0
    grow: float = 0.0

    def settings(
        self,
        *,
        images: int,
        width: int,
        tuned: bool = False,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
    ) -> dict[str, Any]:
        """Settings of a training, by the names of `TrainConfig`.

        Args:
            images: Number of images that are trained on.
            width: Channels of the last stage of the largest architecture.
            tuned: Whether weights that were trained on other images are fine-tuned.
            epochs: Number of epochs that the user chose.
            batch_size: Images a step that the user chose.
            lr: Highest learning rate that the user chose.
        """
        batch = min(self.batch_size, images) if batch_size is None else batch_size
        if epochs is None:
            epochs = self.epochs
            if self.steps is not None:
                epochs = min(epochs, max(1, round(self.steps * batch / images)))
        scale = 1.0 if self.lr_batch is None else batch / self.lr_batch
        narrow = min(max((LR_WIDTH / width) ** 2, NARROWEST), 1) if self.falls_with_width else 1.0
        share = narrow * (self.tuned_share if tuned else 1.0)
        highest = min(self.lr * scale * share, HIGHEST_LR)
        same = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in OWN_FIELDS
        }
        return {
            **same,
            "recipe": self.name,
            "epochs": epochs,
            "batch_size": batch,
            "lr": highest if lr is None else lr,
            "min_lr": self.min_lr * scale,
        }


OWN_FIELDS = (
    *("name", "steps", "epochs", "batch_size", "lr", "lr_batch", "tuned_share"),
    *("falls_with_width", "min_lr"),
)

PAPER = Recipe(
    name="paper",
    steps=None,
    epochs=610,  # 600, and the 10 at the lowest rate that the authors' code adds at the end
    batch_size=768,  # 96 on each of 8 GPUs
    lr=5e-4,  # at 512 images a step, in proportion: 7.5e-4 at 768
    lr_batch=512,
    min_lr=5e-6,  # scaled as lr is
    warmup_share=5 / 610,  # 5 epochs
    final_share=10 / 610,
    warmup_start=1e-6 / 5e-4,  # of lr
    weight_decay=0.05,
    decay_convs=False,  # 0 in the first convolution and all MBConv blocks, downsampling included
    decay_position_bias=True,  # as the authors' code does
    smoothing=0.1,  # ours: the authors have two teachers and no labels
    clip_factor=0.1,
    mixup=0.01,
    cutmix=0.01,
    erasing=0.01,
    rand_augment="rand-n1-m1-mstd0.5-inc1",
    ema_limit=0.99985,
)

# one accelerator and some ten thousand images: an hour or so. Not measured yet
ONE_GPU = Recipe(
    name="one-gpu",
    steps=12_000,  # an estimate: some 10 steps a second for small networks
    epochs=100,
    batch_size=128,
    lr=4e-3,  # alone, an architecture of tiny learns photographs better with it than with 8e-3
    falls_with_width=True,
    mixup=0.2,
)

# one core and a quarter of an hour
CPU_MINUTES = Recipe(
    name="cpu-minutes",
    steps=5_000,  # a seventh of a second a step for tiny on one core
    epochs=25,
    batch_size=32,
    # better than 8e-3 for photographs (an architecture of tiny alone) and for digits (97.2 against
    # 95.5 % of the held-out images)
    lr=4e-3,
    # a subnet fine-tuned on photographs of five other classes of CIFAR-10, in 234 and 780 steps:
    # a quarter of the rate 56.7 and 63.5 %, half 60.5 and 64.8, all of it 62.8 and 66.9
    tuned_share=1.0,
    falls_with_width=True,
    # a second buys 2.6 times as many steps (benchmarks/cheaper.py); chosen among
    # eight settings on CIFAR-10's held-out images
    subnets=1,
    level_bias=0.5,
    grow=0.5,
)

RECIPES: Mapping[str, Recipe] = {r.name: r for r in (CPU_MINUTES, ONE_GPU, PAPER)}
