"""Judging architectures side by side, and one after the other on all threads of torch.

    python benchmarks/judging_threads.py [--archs 12] [--rounds 5] [--threads N]

Random architectures of space `tiny` are recalibrated on 128 random images and run on 192, as a
search does: side by side, each on one thread (`elasticvit.searching.workers`), and one after the
other on all threads; on the machine as it is, and while another program keeps one core busy.
Interleaved; one JSON line with median seconds, their ratio, and the spread (largest over smallest)
of the first way.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from elasticvit.arch import Arch
from elasticvit.nn.judging import correct, recalibrate
from elasticvit.nn.subnet import Subnet
from elasticvit.nn.supernet import Supernet
from elasticvit.searching.workers import working
from elasticvit.space import TINY

BATCH = 64
BUSY = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archs", type=int, default=12, help="Number of architectures.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.manual_seed(0)
    supernet = Supernet(TINY).eval()
    archs = list(TINY.sample(options.archs, np.random.default_rng(1)))
    sides = sorted({arch.resolution for arch in archs})
    labels = torch.zeros(BATCH, dtype=torch.int64)
    batches = {side: [(torch.randn(BATCH, 3, side, side), labels)] for side in sides}

    def judged(arch: Arch) -> Tensor:
        batch = batches[arch.resolution]
        return correct(recalibrate(Subnet.cut(supernet, arch), batch * 2, 2), batch * 3)

    def side_by_side() -> None:
        with working(options.threads) as workers:
            list(workers.map(judged, archs))

    def one_by_one() -> None:
        torch.set_num_threads(options.threads)
        list(map(judged, archs))

    quiet = timed({"side_by_side": side_by_side, "one_by_one": one_by_one}, options.rounds)
    with busy():
        loaded = timed({"side_by_side": side_by_side, "one_by_one": one_by_one}, options.rounds)
    line = {"benchmark": "judging_threads", "threads": options.threads, "archs": options.archs}
    print(json.dumps(line | {"as_it_is": quiet, "one_core_busy": loaded}))


def timed(ways: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each way, their ratio, and the spread of the first."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    first, second = medians
    return {
        **{f"{name}_s": round(median, 3) for name, median in medians.items()},
        "ratio": round(medians[second] / medians[first], 2),
        "spread": round(max(seconds[first]) / min(seconds[first]), 2),
    }


@contextmanager
def busy() -> Iterator[None]:
    """Another program that takes one core."""
    other = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        other.kill()
        other.wait()


if __name__ == "__main__":
    main()
