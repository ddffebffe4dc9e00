"""Hard caps: what a search may not exceed, the range of a cost over a space, and an architecture
that keeps all caps.

A cap is a cost model and a target. The load of an architecture is the largest of its costs,
each divided by its target, so one number says whether all caps hold (load <= 1) however many
devices there are, and by how much. A cost with an upper bound (`CostModel.upper`)
is capped by its upper bound.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel
from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import TargetError
from elasticvit.precisions import FP32, in_words
from elasticvit.space import SearchSpace

Pricing = Callable[[ArchBatch], FloatArray]
SAMPLES = 20_000  # architectures drawn at random to learn a cost's range
STEPS = 200  # most steps of one descent; a space of 30 genes takes about 10
TARGETS = ("target_ms", "target", "target_mmacs")  # the settings that make caps


@dataclass(frozen=True, kw_only=True)
class Cap:
    """A cost and the most it may be.

    Attributes:
        cost: Cost model whose upper bound, or else price, is capped.
        target: Largest value allowed, in the unit of the cost.
        device: Name of the device whose latency is capped; None for other costs.
        source: Where the latencies of that device come from, such as `host:CPU model`.
        precision: Precision of the model whose cost it is.
        cpu: Threads and cores that a latency is of; None if nobody recorded them.
        setting: Setting that the target comes from; None if it comes from none.

    Raises:
        TargetError: the target is not a positive number.
    """

    cost: CostModel
    target: float
    device: str | None = None
    source: str | None = None
    precision: str = FP32
    cpu: CpuSetting | None = None
    setting: str | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.target) and self.target > 0):
            raise TargetError(
                f"target {self.target} {self.cost.unit}; a target must be above 0", settings=TARGETS
            )

    @property
    def place(self) -> str | None:
        """The device, and the precision unless that is fp32, for people; None for other costs."""
        return None if self.device is None else self.device + in_words(self.precision)

    def __str__(self) -> str:
        where = "" if self.place is None else f" on {self.place}"
        return f"{self.target:g} {self.cost.unit}{where}"

    def bound(self, batch: ArchBatch) -> FloatArray:
        """What is held against the target, shape (n,): the upper bound of the cost, or the cost
        itself if it has none."""
        upper = self.cost.upper(batch)
        return self.cost.price(batch) if upper is None else upper


def loads(caps: Sequence[Cap], batch: ArchBatch) -> FloatArray:
    """Largest share of a target that each architecture uses up, shape (n,); infinite if a cost
    has no number."""
    worst = np.max([cap.bound(batch) / cap.target for cap in caps], axis=0)
    return np.where(np.isnan(worst), np.inf, worst)


def fingerprint(space: SearchSpace, caps: Sequence[Cap]) -> str:
    """Text that differs when the space, a target or what a cost says differs."""
    digest = hashlib.sha256(space.to_toml().encode())
    probe = space.sample(256, np.random.default_rng(0))
    for cap in caps:
        digest.update(f"{cap.cost.name} {cap.cost.unit} {cap.target!r}".encode())
        digest.update(" ".join(f"{value:.9g}" for value in cap.bound(probe)).encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Range of a cost over a space.

    Attributes:
        low, high: Smallest and largest cost that were found.
        median: Median cost of architectures drawn at random.
        cheapest, most_expensive: Architectures whose costs are `low` and `high`.
    """

    low: float
    median: float
    high: float
    cheapest: Arch
    most_expensive: Arch


def reach(space: SearchSpace, price: Pricing, rng: np.random.Generator) -> Reach:
    """Range of a cost over a space.

    The ends come from descents over single genes and pairs of genes, since the architecture
    with every gene at its least is not always the fastest on a device.
    """
    drawn = space.sample(SAMPLES, rng)
    costs = price(drawn)
    ends = ArchBatch.of([space.smallest, space.largest])
    cheapest = descend(space, price, drawn.take(np.argsort(costs)[:3]).concat(ends))
    most_expensive = descend(
        space, lambda batch: -price(batch), drawn.take(np.argsort(-costs)[:3]).concat(ends)
    )
    return Reach(
        low=float(price(cheapest)[0]),
        median=float(np.median(costs)),
        high=float(price(most_expensive)[0]),
        cheapest=cheapest[0],
        most_expensive=most_expensive[0],
    )


def descend(space: SearchSpace, price: Pricing, starts: ArchBatch) -> ArchBatch:
    """Cheapest end (a batch of one) of the steepest descents from each start."""
    ends = []
    for row in range(len(starts)):
        here = starts.take(slice(row, row + 1))
        cost = price(here)[0]
        for _ in range(STEPS):
            near = space.neighbours(here, pairs=False)
            costs = price(near) if len(near) else np.array([np.inf])
            if costs.min() >= cost:
                near = space.neighbours(here, pairs=True)
                costs = price(near) if len(near) else np.array([np.inf])
            if not costs.min() < cost:
                break
            at = int(np.argmin(costs))
            here, cost = near.take(slice(at, at + 1)), costs[at]
        ends.append((float(cost), row, here))
    return min(ends, key=lambda end: end[:2])[2]


def find_feasible(space: SearchSpace, caps: Sequence[Cap], rng: np.random.Generator) -> Arch:
    """The architecture with the lowest load that descents find; it keeps all caps.

    Raises:
        TargetError: no architecture keeps the caps; the message says what the lowest cost is and
            which architecture has it.
    """
    if not caps:
        raise TargetError("a search without a target; name at least one", settings=TARGETS)
    starts = space.sample(SAMPLES, rng)
    best = np.argsort(loads(caps, starts), kind="stable")[:3]
    found = descend(
        space,
        lambda batch: loads(caps, batch),
        starts.take(best).concat(ArchBatch.of([space.smallest])),
    )
    if loads(caps, found)[0] <= 1:
        return found[0]
    for cap in caps:
        can = reach(space, cap.bound, rng)
        if can.low > cap.target:
            bounded = cap.cost.upper(found) is not None
            what = f"an upper bound of {cap.cost.name}" if bounded else cap.cost.name
            raise TargetError(
                f"no architecture of space {space.name} has {what} of {cap.target:g} "
                f"{cap.cost.unit} or less; the lowest is {can.low:.4g} {cap.cost.unit} "
                f"({can.cheapest}): set the target above it, or train a smaller space",
                settings=[cap.setting] if cap.setting else TARGETS,
            )
    raise _conflict(space, caps, found)


def _conflict(space: SearchSpace, caps: Sequence[Cap], found: ArchBatch) -> TargetError:
    """The error of caps that no architecture keeps at once, although it keeps each alone: which of
    them exclude each other, so that every one of these is part of it."""
    left = list(caps)
    for cap in caps:
        rest = [other for other in left if other is not cap]
        if len(rest) > 1 and _lowest_load(space, rest, found) > 1:
            left = rest
    targets = " and ".join(f"{cap.target:g} {cap.cost.unit} of {cap.cost.name}" for cap in left)
    near = ", ".join(f"{cap.bound(found)[0]:.4g} {cap.cost.unit}" for cap in left)
    return TargetError(
        f"the targets {targets} exclude each other: each can be met, but no architecture of space "
        f"{space.name} was found that meets {'both' if len(left) == 2 else 'all'} at once; the "
        f"nearest has {near}: raise one of them",
        settings=sorted({cap.setting for cap in left if cap.setting}) or TARGETS,
    )


def _lowest_load(space: SearchSpace, caps: Sequence[Cap], start: ArchBatch) -> float:
    """The lowest load that a descent finds."""
    ends = start.concat(ArchBatch.of([space.smallest]))
    return float(loads(caps, descend(space, lambda batch: loads(caps, batch), ends))[0])
