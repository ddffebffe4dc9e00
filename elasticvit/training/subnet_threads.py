"""How many subnets of a step run at the same time: on a CPU all, where memory is enough and they
are not many more than the cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from elasticvit.nn.side_by_side import MOST, side_by_side
from elasticvit.training.processes import processes_here
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.start import computer_bytes
from elasticvit.training.step_memory import step_memory
from elasticvit.training.trainer import Trainer

CROWD = 2  # subnets a core; of more, few cores are idle at the end of a step anyway
MEMORY_SHARE = 0.7  # of the computer's that the trainings on it may take for it


@contextmanager
def subnet_threads(trainer: Trainer, sampler: Sampler) -> Iterator[None]:
    """Within the context the trainer runs as many subnets at the same time as it can.

    Args:
        trainer: The trainer.
        sampler: A sampler that is not the trainer's.
    """
    parallel = _parallel(trainer, dearest_draw(trainer, sampler))
    if parallel < 2:
        yield
        return
    with side_by_side(parallel=parallel) as threads:
        trainer.engine.threads = threads
        try:
            yield
        finally:
            trainer.engine.threads = None


def dearest_draw(trainer: Trainer, sampler: Sampler) -> Draw:
    """Subnets that are as costly as those of any step."""
    draw, largest = sampler.draw_at(len(sampler.levels) - 1), trainer.info.space.largest
    if trainer.config.sampling != "adjacent":  # any architecture may be drawn
        draw = replace(draw, archs=(largest,) * len(draw.archs))
    if trainer.config.sampling == "sandwich":  # of which the students are random ones, too
        draw = replace(draw, students=(largest,) * len(draw.students))
    return draw


def _parallel(trainer: Trainer, dearest: Draw) -> int:
    """Number of subnets at the same time: dropout would draw its numbers in the order in which
    threads come by. All of them on fewer cores leave none idle while the last one runs."""
    cores, subnets = torch.get_num_threads(), len(dearest.archs) + len(dearest.students)
    if trainer.ranks.device.type != "cpu" or trainer.info.options.head_dropout or cores == 1:
        return 1
    most = min(subnets if subnets <= CROWD * cores else cores, MOST)
    memory = step_memory(trainer, dearest) if most > 1 else None
    if memory is None:
        return most
    there = MEMORY_SHARE * computer_bytes() / processes_here()
    return next((n for n in range(most, 1, -1) if memory.total(n) <= there), 1)
