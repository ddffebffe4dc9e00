"""CPU clusters: which cores a device has, and which of them a timing runs on.

Clusters are derived from the cores' top frequencies (`cpuinfo_max_freq`), never from a table
of masks: vendors number their cores as they like.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from elasticvit.errors import DeviceError


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Cores of one top frequency.

    Attributes:
        max_mhz: Top frequency in MHz; 0 if not reported.
        cores: Numbers of the cores, ascending.
    """

    max_mhz: float
    cores: tuple[int, ...]


def find_clusters(max_khz: Mapping[int, int]) -> tuple[Cluster, ...]:
    """Group cores by their top frequency, slowest cluster first.

    Args:
        max_khz: Top frequency (`cpuinfo_max_freq`) in kHz, by core number.
    """
    by_speed: dict[int, list[int]] = {}
    for core, khz in sorted(max_khz.items()):
        by_speed.setdefault(khz, []).append(core)
    return tuple(
        Cluster(max_mhz=khz / 1e3, cores=tuple(cores)) for khz, cores in sorted(by_speed.items())
    )


def choose_cores(
    clusters: tuple[Cluster, ...], cores: str, threads: int, *, avoid: Collection[int] = ()
) -> tuple[int, ...]:
    """Choose the cores that a timing is pinned to.

    `auto` takes one core per thread from the fastest cluster, the highest core numbers first (core
    0 serves most interrupts), and from the next cluster once all cores of that one are taken.
    `big`, `mid` and `little` take a whole cluster: the fastest, the second fastest and the slowest.
    Every thread has a core of its own.

    Args:
        clusters: Clusters of the device, slowest first.
        cores: `auto`, `big`, `mid`, `little` or a hexadecimal mask such as `f0`.
        threads: Number of inference threads.
        avoid: Numbers of cores that `auto` takes only if there are no others left.

    Returns:
        Numbers of the cores, ascending.

    Raises:
        DeviceError: No such cluster, a mask with cores that the device lacks, or a number of
            threads that is not from 1 to the number of cores chosen.
    """
    known = sorted(core for cluster in clusters for core in cluster.cores)
    if not 1 <= threads <= len(known):
        raise DeviceError(
            f"{threads} threads on {len(known)} cores; choose 1 to {len(known)}",
            settings=("threads",),
        )
    if cores == "auto":
        order = [core for cluster in reversed(clusters) for core in reversed(cluster.cores)]
        order.sort(key=lambda core: core in avoid)
        return tuple(sorted(order[:threads]))
    if cores in ("big", "mid", "little"):
        index = {"big": len(clusters) - 1, "mid": len(clusters) - 2, "little": 0}[cores]
        if cores != "big" and (index < 0 or len(clusters) < (3 if cores == "mid" else 2)):
            described = ", ".join(f"{c.max_mhz:.0f} MHz: {cores_text(c.cores)}" for c in clusters)
            raise DeviceError(
                f"no {cores} cluster among {len(clusters)} ({described}); "
                "choose big, auto or a mask",
                settings=("cores",),
            )
        chosen = clusters[index].cores
    else:
        try:
            mask = int(cores, 16)
        except ValueError:
            mask = 0
        if mask <= 0:
            raise DeviceError(
                f"cores {cores!r} is neither auto, big, mid, little nor a hexadecimal mask "
                "such as f0",
                settings=("cores",),
            )
        chosen = tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)
        if absent := sorted(set(chosen) - set(known)):
            raise DeviceError(
                f"mask {cores} names core {absent[0]}; the device has {cores_text(tuple(known))}",
                settings=("cores",),
            )
    if threads > len(chosen):
        most = "1 thread" if len(chosen) == 1 else f"{len(chosen)} threads"
        raise DeviceError(
            f"{threads} threads on cores {cores}, which are {cores_text(chosen)}; each thread "
            f"needs a core of its own: choose at most {most}, cores auto, or a mask of at least "
            f"{threads} cores",
            settings=("threads", "cores"),
        )
    return chosen


def cores_mask(cores: tuple[int, ...]) -> str:
    """Hexadecimal affinity mask of cores, as `taskset` takes it: `(4, 5)` gives `30`."""
    return f"{sum(1 << core for core in cores):x}"


def cores_text(cores: tuple[int, ...]) -> str:
    """Core numbers in short form, for messages and tables: `(0, 4, 5, 6)` gives `0,4-6`."""
    parts: list[str] = []
    for core in cores:
        if parts and int(parts[-1].split("-")[-1]) == core - 1:
            parts[-1] = f"{parts[-1].split('-')[0]}-{core}"
        else:
            parts.append(str(core))
    return ",".join(parts)
