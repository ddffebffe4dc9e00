"""A space that trains in seconds, for the tests of training."""

from pathlib import Path

import numpy as np
import torch

from elasticvit.cost import MacsCost
from elasticvit.kernels import Layout
from elasticvit.space import SearchSpace
from elasticvit.training.config import TrainConfig, default_config
from elasticvit.training.data import open_data
from elasticvit.training.levels import levels_for
from elasticvit.training.ranks import Ranks
from elasticvit.training.run_info import RunInfo, RunSettings
from elasticvit.training.sampling.build import make_sampler, sampled_levels
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.trainer import Trainer

MICRO = SearchSpace(
    "micro",
    Layout(
        conv_strides=(2,),
        conv_se=(True,),
        attn_strides=(1,),
        head_expansion=2,
        head_hidden=64,
        classes=10,
    ),
    (
        (16, 24),
        *((8,), (1,), (1,), (3, 5)),
        *((16, 24), (1, 2), (2, 3), (3, 5)),
        *((32, 48), (1, 2), (2, 3), (2, 3)),
    ),
)
DATA = open_data("digits")
torch.set_num_threads(1)  # the networks are so small that more threads only wait for each other


def config(**changes: object) -> TrainConfig:
    return default_config(
        DATA.info,
        MICRO,
        **{
            "epochs": 1,
            "batch_size": 64,
            "lr": 5e-3,
            "bank": False,
            "preference": False,
            "subnets": 3,
            "level_bias": 0.0,
            "grow": 0.0,
            **changes,
        },
    )


def run_info(settings: TrainConfig, seed: int = 0) -> RunInfo:
    return RunInfo(
        space=MICRO,
        data="digits",
        seed=seed,
        mean=DATA.mean,
        std=DATA.std,
        settings=RunSettings(**vars(settings)),
    )


def sampler(seed: int = 0, settings: TrainConfig | None = None) -> Sampler:
    settings, cost = settings or config(), MacsCost(MICRO)
    levels = levels_for(MICRO, cost, np.random.default_rng(0))
    levels = sampled_levels(levels, MICRO, cost, settings)
    steps = settings.epochs * (DATA.info.train_images // settings.batch_size)
    return make_sampler(MICRO, cost, levels, settings, seed=seed, steps=steps)


def trainer(
    settings: TrainConfig | None = None, seed: int = 0, ranks: Ranks | None = None
) -> Trainer:
    settings = settings or config()
    return Trainer(run_info(settings, seed), DATA, sampler(seed, settings), ranks)


def train(folder: str, seed: int = 0, checkpoint_s: float = 0.0) -> None:
    """Train a run to its end, as a process of its own that may be killed."""
    from elasticvit.training import loop as module

    module.CHECKPOINT_S = checkpoint_s
    module.CHECKPOINT_SHARE = 1e9  # write after every step
    module.run_training(trainer(seed=seed), Path(folder))
