"""CPU settings: the number of inference threads and the cores that latencies belong to.

A latency on one thread says nothing about four, so a series of a latency table and a predictor are
each of one setting, and predictors of several settings of a device lie beside each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from elasticvit.reading import Count


@dataclass(frozen=True, order=True)
class CpuSetting:
    """Threads and cores that models are timed with.

    Attributes:
        threads: Number of inference threads.
        cores: Cores as requested: `auto`, `big`, `mid`, `little` or a hexadecimal mask.
    """

    threads: Count = 1
    cores: str = "auto"

    def __str__(self) -> str:
        return f"{self.threads} thread{'' if self.threads == 1 else 's'} on cores {self.cores}"


DEFAULT_CPU = CpuSetting()


def matching_settings(
    known: Iterable[CpuSetting | None],
    last: CpuSetting | None,
    threads: int | None = None,
    cores: str | None = None,
) -> list[CpuSetting | None]:
    """Those of the known settings that agree with what is named, the one to take first: the one
    that was profiled last, else one thread on cores `auto`, else one that nobody recorded, else
    that of the fewest threads.

    Args:
        known: Settings that there are latencies of; None is one that nobody recorded.
        last: Setting that the device was profiled with last; None if none was.
        threads, cores: Threads and cores that are named; None for any.
    """

    def rank(one: CpuSetting | None) -> tuple[bool, bool, bool, CpuSetting]:
        return one is None or one != last, one != DEFAULT_CPU, one is not None, one or DEFAULT_CPU

    def agrees(one: CpuSetting | None) -> bool:
        if one is None:
            return threads is None and cores is None
        return threads in (None, one.threads) and cores in (None, one.cores)

    return sorted(filter(agrees, set(known)), key=rank)


def in_words(known: Iterable[CpuSetting | None]) -> str:
    """Settings for people, such as `1 thread on cores auto; 4 threads on cores big`."""
    return "; ".join("threads and cores not recorded" if c is None else str(c) for c in known)
