"""Training steps on a CPU whose freed memory stays with the process, and gives it back as usual.

    python benchmarks/freed_memory.py [--space mobile] [--level 1] [--subnets 3] [--batch-size 16]
        [--steps 2] [--rounds 7]

Two processes with the same training, one within `elasticvit.training.freed_memory`, take turns: so
many whole steps at one complexity level, the subnets of each side by side
(`elasticvit.training.subnet_threads`). One JSON line with the median seconds of a step, the ratio
of giving back to keeping and its spread over the rounds (largest over smallest), the pages that the
system had to clear a step, and the most memory that each process held.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import resource
import statistics
import time
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from training_threads import endless, sampler, trainer_of

from elasticvit.space import PRESETS
from elasticvit.training.config import default_config
from elasticvit.training.data import open_data
from elasticvit.training.freed_memory import freed_memory_kept
from elasticvit.training.recipes import CPU_MINUTES
from elasticvit.training.subnet_threads import subnet_threads

WAYS = ("kept", "given_back")
WARM_UP = 3  # steps


def train(way: str, options: Any, pipe: Connection) -> None:
    """Take steps whenever asked; tell the seconds a step, the pages a step and the memory held."""
    data = open_data("digits")
    space = PRESETS[options.space].with_classes(1000)
    config = default_config(data.info, space, CPU_MINUTES, batch_size=options.batch_size)
    config = replace(config, subnets=options.subnets)
    trainer = trainer_of(space, data, config)
    batches = endless(trainer)

    def take(steps: int) -> None:
        for _ in range(steps):
            draw = trainer.sampler.draw_at(options.level)
            trainer.step_at(next(batches), draw).losses()
            trainer.step += 1

    with ExitStack() as held:
        if way == "kept":
            held.enter_context(freed_memory_kept("cpu"))
        held.enter_context(subnet_threads(trainer, sampler(space, config)))
        take(WARM_UP)
        pipe.send(trainer.sampler.levels.values[options.level])
        while pipe.recv():
            before, started_s = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
            take(options.steps)
            took_s = time.perf_counter() - started_s
            after = resource.getrusage(resource.RUSAGE_SELF)
            pages = (after.ru_minflt - before.ru_minflt) / options.steps
            pipe.send((took_s / options.steps, pages, after.ru_maxrss / 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", choices=PRESETS, default="mobile")
    parser.add_argument("--level", type=int, default=1, help="Index of the complexity level.")
    parser.add_argument("--subnets", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    context, pipes = mp.get_context("spawn"), {}
    for way in WAYS:
        pipes[way], theirs = context.Pipe()
        context.Process(target=train, args=(way, options, theirs), daemon=True).start()
        level = pipes[way].recv()
    found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    for _ in range(options.rounds):
        for way, pipe in pipes.items():
            pipe.send(True)
            found[way].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(False)
    ratios = [b[0] / a[0] for a, b in zip(found["kept"], found["given_back"], strict=True)]
    line: dict[str, Any] = {"benchmark": "freed_memory", **vars(options), "level": level}
    for way, rows in found.items():
        seconds, pages, megabytes = zip(*rows, strict=True)
        line[way] = {
            "step_s": round(statistics.median(seconds), 3),
            "pages": round(statistics.median(pages)),
            "most_mb": round(max(megabytes)),
        }
    line |= {
        "ratio": round(statistics.median(ratios), 3),
        "ratio_spread": round(max(ratios) / min(ratios), 2),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
