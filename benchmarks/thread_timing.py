"""Timing of ways to use the cores of a CPU, interleaved, also beside another program."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

BUSY = "while True: pass"


def timed(ways: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each way over the rounds; the median ratio of each other way to the first
    one, round by round, and the largest of these ratios over the smallest."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    first, *others = seconds
    line = {f"{name}_s": round(statistics.median(taken), 3) for name, taken in seconds.items()}
    for name in others:
        ratios = [b / a for a, b in zip(seconds[first], seconds[name], strict=True)]
        line[f"{name}_ratio"] = round(statistics.median(ratios), 2)
        line[f"{name}_ratio_spread"] = round(max(ratios) / min(ratios), 2)
    return line


@contextmanager
def busy() -> Iterator[None]:
    """Another program that takes one core."""
    other = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        other.kill()
        other.wait()
