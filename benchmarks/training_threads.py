"""The subnets of a training step side by side, and one after the other on all threads of torch.

    python benchmarks/training_threads.py [--space tiny] [--steps 24] [--rounds 6] [--threads N]

Whole steps of recipe `cpu-minutes` on digits, at the complexity levels that a training meets when
all are in: side by side, each subnet in a thread (`elasticvit.training.subnet_threads`), one after
the other on all threads, and on one; on the machine as it is, and while another program keeps one
core busy. Interleaved; one JSON line with median seconds of so many steps, ratios to the first way
and their spread over the rounds (largest over smallest), and whether the first and the last way end
with the same bits.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, cycle

import numpy as np
import torch
from thread_timing import busy, timed

from elasticvit.cost import MacsCost
from elasticvit.nn.side_by_side import side_by_side
from elasticvit.space import PRESETS, SearchSpace
from elasticvit.training.batch import Batch
from elasticvit.training.config import TrainConfig, default_config
from elasticvit.training.data import ImageData, open_data
from elasticvit.training.levels import levels_for
from elasticvit.training.recipes import CPU_MINUTES
from elasticvit.training.run_info import RunInfo, RunSettings
from elasticvit.training.sampling.build import make_sampler, sampled_levels
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.trainer import Trainer

DONE = 0.6  # of the training, whose levels are all in after half


class Training:
    """A training that takes steps of a kind.

    Args:
        space: The search space.
        data: The data set.
        batch_size: Images a step.
        torch_threads: Threads of torch.
        together: Whether subnets run at the same time.
    """

    def __init__(
        self,
        space: SearchSpace,
        data: ImageData,
        batch_size: int,
        torch_threads: int,
        together: bool,
    ) -> None:
        self.torch_threads, self.together = torch_threads, together
        config = default_config(data.info, space, CPU_MINUTES, batch_size=batch_size)
        self.trainer = trainer_of(space, data, config)
        self.batches = endless(self.trainer)

    def take(self, steps: int) -> None:
        """Take steps."""
        torch.set_num_threads(self.torch_threads)
        if self.together:
            with side_by_side(parallel=self.trainer.config.subnets + 1) as threads:
                self.trainer.engine.threads = threads
                self._take(steps)
        else:
            self._take(steps)

    def _take(self, steps: int) -> None:
        trainer = self.trainer
        for _ in range(steps):
            trainer.step_at(next(self.batches), trainer.sampler.draw(DONE)).losses()
            trainer.step += 1


def trainer_of(space: SearchSpace, data: ImageData, config: TrainConfig) -> Trainer:
    """What trains on a data set."""
    info = RunInfo(
        space=space,
        data=data.info.spec,
        seed=0,
        mean=data.mean,
        std=data.std,
        settings=RunSettings(**vars(config)),
    )
    return Trainer(info, data, sampler(space, config))


def endless(trainer: Trainer) -> Iterator[Batch]:
    """Batches of a training, epoch after epoch."""
    return chain.from_iterable(map(trainer.loader.batches, cycle(range(100))))


def sampler(space: SearchSpace, config: TrainConfig) -> Sampler:
    """A sampler of a training."""
    cost = MacsCost(space)
    levels = levels_for(space, cost, np.random.default_rng(0))
    return make_sampler(
        space, cost, sampled_levels(levels, space, cost, config), config, seed=0, steps=1000
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", choices=PRESETS, default="tiny")
    parser.add_argument("--batch-size", type=int, default=CPU_MINUTES.batch_size)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    data = open_data("digits")
    space = PRESETS[options.space].with_classes(data.info.classes)

    def training(threads: int, together: bool) -> Training:
        return Training(space, data, options.batch_size, threads, together)

    trainings = {
        "side_by_side": training(options.threads, True),
        "all_threads": training(options.threads, False),
        "one_thread": training(1, False),
    }
    ways: Mapping[str, Callable[[], None]] = {
        name: lambda one=one: one.take(options.steps)  # type: ignore[misc]
        for name, one in trainings.items()
    }
    quiet = timed(ways, options.rounds)
    with busy():
        loaded = timed(ways, options.rounds)
    first, *_, last = (list(t.trainer.supernet.parameters()) for t in trainings.values())
    line = {
        "benchmark": "training_threads",
        "space": options.space,
        "batch_size": options.batch_size,
        "threads": options.threads,
        "steps": options.steps,
        "as_it_is": quiet,
        "one_core_busy": loaded,
        "same_bits": all(torch.equal(a, b) for a, b in zip(first, last, strict=True)),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
