"""A first look at what a training step costs: short passes at the cheapest complexity level.

No step is taken. Weights, statistics of the batch norms, optimiser and random generators are
afterwards as they were, so a training that is probed ends with the same weights.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from elasticvit.training.batch import Batch
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.step_memory import FEWEST, step_memory
from elasticvit.training.targets import Targets
from elasticvit.training.trainer import Trainer

BUDGET_S = 5.0  # a larger part of the batch is run while it is expected to end within this time
TAUGHT = 8  # images that teachers are timed with
GROWTH = 4  # from one part of the batch to the next


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What the passes took.

    Attributes:
        fixed_s: Seconds of a step whatever the number of images.
        image_s: Seconds for each image of a step at the cheapest level.
        loading_s: Seconds to make a batch, and what teachers say of it.
        memory_bytes: Estimate of the memory that training needs at most, on the CPU with all that
            the process holds; None if it cannot be estimated.
    """

    fixed_s: float
    image_s: float
    loading_s: float
    memory_bytes: int | None


def probe(trainer: Trainer, cheapest: Draw, dearest: Draw) -> Probe:
    """Run passes with growing parts of a batch, until one is expected to take too long.

    Memory is never more than that of a training step at the cheapest level: the dearest level is
    only run forwards, with two images, to see what they keep in memory.

    Args:
        trainer: The trainer; it is left as it was.
        cheapest: Subnets of the lowest complexity level.
        dearest: Subnets of the highest complexity level.
    """
    batch, loading_s = _loading_s(trainer)
    with _left_as_it_was(trainer):
        parts = trainer.config.accumulate
        images, labels = batch.parts(parts)[0].images, batch.parts(parts)[0].labels
        images = images.contiguous(memory_format=torch.channels_last)
        if trainer.config.distillation.teachers:
            loading_s += _teaching_s(trainer, batch)
        few = (images[:FEWEST], labels[:FEWEST])
        _pass_s(trainer, *few, cheapest)  # the first pass allocates and compiles
        times = {len(few[0]): _pass_s(trainer, *few, cheapest)}
        started_s = time.monotonic()
        for count in _sizes(len(images)):
            last, last_s = max(times.items())
            expected_s = last_s * count / last
            if time.monotonic() - started_s + expected_s > BUDGET_S:
                break
            part = images[:count], labels[:count]
            times[count] = _pass_s(trainer, *part, cheapest)
            if time.monotonic() - started_s + times[count] <= BUDGET_S:  # the first one allocates
                times[count] = min(times[count], _pass_s(trainer, *part, cheapest))
        fixed_s, image_s = _line(times)
        threads = trainer.engine.threads
        parallel = 1 if threads is None else threads.parallel
        memory = step_memory(trainer, dearest)
    return Probe(
        fixed_s=fixed_s,
        image_s=image_s,
        loading_s=loading_s,
        memory_bytes=None if memory is None else memory.total(parallel),
    )


def _loading_s(trainer: Trainer) -> tuple[Batch, float]:
    """A batch, and the seconds that one takes; without processes the first one also prepares the
    data set, so it is the second one's where there is one."""
    workers, batches = trainer.loader.workers, trainer.loader.batches(0)
    started_s = time.monotonic()
    batch = next(batches)
    loaded_s = time.monotonic() - started_s
    if workers == 0 and next(batches, None) is not None:
        loaded_s = min(loaded_s, time.monotonic() - started_s - loaded_s)
    return batch, loaded_s / max(workers, 1)


def _teaching_s(trainer: Trainer, batch: Batch) -> float:
    """Seconds that the teachers take for a batch, expected from a few of its images."""
    for count in (FEWEST, TAUGHT):  # the first pass allocates
        images, labels, rows = batch.images[:count], batch.labels[:count], batch.rows[:count]
        started_s = time.perf_counter()
        part = Batch(images=images, labels=labels, rows=rows)
        trainer.targets(part, None, trainer.engine.threads)
        took_s = time.perf_counter() - started_s
    return took_s * len(batch) / len(images)


def _sizes(images: int) -> list[int]:
    """Numbers of images of the passes after the first, rising to the whole batch."""
    sizes, size = [], FEWEST * GROWTH
    while size < images:
        sizes.append(size)
        size *= GROWTH
    return [*sizes, images] if images > FEWEST else []


def _pass_s(trainer: Trainer, images: Tensor, labels: Tensor, draw: Draw) -> float:
    """Seconds of one step without that of the optimiser."""
    started_s = time.perf_counter()
    targets = Targets(labels=labels, smoothing=trainer.config.smoothing)
    trainer.engine.run_step(images, targets, draw).losses()  # reading waits for the device
    return time.perf_counter() - started_s


def _line(times: dict[int, float]) -> tuple[float, float]:
    """Fixed seconds, and seconds an image, through the two largest numbers of images."""
    (large, large_s), *others = sorted(times.items(), reverse=True)
    if not others:
        return 0.0, large_s / large
    small, small_s = others[0]
    image_s = (large_s - small_s) / (large - small)
    if image_s <= 0:  # the accelerator does not notice so few images
        return large_s, 0.0
    fixed_s = max(large_s - large * image_s, 0.0)
    return fixed_s, (large_s - fixed_s) / large


@contextmanager
def _left_as_it_was(trainer: Trainer) -> Iterator[None]:
    """Put buffers, gradients and torch's random generators back afterwards."""
    buffers = {name: b.detach().clone() for name, b in trainer.supernet.named_buffers()}
    devices = [trainer.ranks.device] if trainer.ranks.device.type == "cuda" else []
    trainer.optimiser.zero_grad(set_to_none=True)
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            trainer.optimiser.zero_grad(set_to_none=True)
            with torch.no_grad():
                for name, buffer in trainer.supernet.named_buffers():
                    buffer.copy_(buffers[name])
