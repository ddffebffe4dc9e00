"""Hard caps: what a search may not exceed, what a space can reach, and a start under the caps.

A cap is a cost model and a limit. The load of an architecture is the largest of its costs,
each divided by its limit, so one number says whether all caps hold (load <= 1) however many
devices there are, and how far off it is. A cost that knows its own uncertainty (`price_upper`,
the bound that the true cost stays under with stated confidence) is capped by that bound.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import cast

import numpy as np
import numpy.typing as npt

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import CostModel, FloatArray
from elasticvit.errors import TargetError
from elasticvit.space import SearchSpace

Pricing = Callable[[ArchBatch], FloatArray]
SAMPLES = 20_000  # architectures drawn at random to learn a cost's range
STEPS = 200  # most steps of one descent; a space of 30 genes takes about 10
POOL_ROUNDS = 40
POOL_RATES = (0.05, 0.1, 0.2)  # chances of a gene to change while the pool grows
CLOSE = 0.02  # how near a wanted load is near enough, as a share of the highest


@dataclass(frozen=True, kw_only=True)
class Cap:
    """A limit on a cost.

    Attributes:
        cost: what is limited.
        limit: the most it may be, in the cost's unit.
        device: whose latency it is; None for multiply-accumulates.
        source: where that device's numbers come from.

    Raises:
        TargetError: the limit is not a positive number.
    """

    cost: CostModel
    limit: float
    device: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.limit) and self.limit > 0):
            raise TargetError(f"target {self.limit} {self.cost.unit}; a target is above 0")

    @property
    def by_upper_bound(self) -> bool:
        """Whether the limit holds for an upper bound instead of the expected cost."""
        return hasattr(self.cost, "price_upper")

    def bound(self, batch: ArchBatch) -> FloatArray:
        """What is held against the limit, shape (n,)."""
        if self.by_upper_bound:
            return cast(FloatArray, self.cost.price_upper(batch))  # type: ignore[attr-defined]
        return self.cost.price(batch)

    def known_bound(self, batch: ArchBatch) -> FloatArray | None:
        """Upper bound of the cost, shape (n,); None where the cost has none, or knows nothing
        about its error, so that its bound is the cost itself."""
        bound = self.bound(batch)
        return None if np.array_equal(bound, self.cost.price(batch)) else bound


def loads(caps: Sequence[Cap], batch: ArchBatch) -> FloatArray:
    """Largest share of a limit that each architecture uses up, shape (n,); infinite where a
    cost has no number."""
    worst = np.max([cap.bound(batch) / cap.limit for cap in caps], axis=0)
    return np.where(np.isnan(worst), np.inf, worst)


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What a cost can be in a space.

    Attributes:
        low, high: the smallest and the largest cost that were found.
        median: of architectures drawn at random.
        cheapest, dearest: the architectures of `low` and `high`.
    """

    low: float
    median: float
    high: float
    cheapest: Arch
    dearest: Arch


def reach(space: SearchSpace, price: Pricing, rng: np.random.Generator) -> Reach:
    """Range of a cost over a space.

    The ends come from descents over single genes and pairs of genes, since the architecture
    with every gene at its least is not always the fastest on a device.
    """
    drawn = space.sample(SAMPLES, rng)
    costs = price(drawn)
    ends = ArchBatch.of([space.smallest, space.largest])
    cheapest = _descend(space, price, drawn.take(np.argsort(costs)[:3]).concat(ends))
    dearest = _descend(
        space, lambda batch: -price(batch), drawn.take(np.argsort(-costs)[:3]).concat(ends)
    )
    return Reach(
        low=float(price(cheapest)[0]),
        median=float(np.median(costs)),
        high=float(price(dearest)[0]),
        cheapest=cheapest[0],
        dearest=dearest[0],
    )


def fingerprint(space: SearchSpace, caps: Sequence[Cap]) -> str:
    """Text that differs when the space, a limit or what a cost says differs."""
    digest = hashlib.sha256(space.to_toml().encode())
    probe = space.sample(256, np.random.default_rng(0))
    for cap in caps:
        digest.update(f"{cap.cost.name} {cap.cost.unit} {cap.limit!r}".encode())
        digest.update(" ".join(f"{value:.9g}" for value in cap.bound(probe)).encode())
    return digest.hexdigest()[:16]


def _descend(space: SearchSpace, price: Pricing, starts: ArchBatch) -> ArchBatch:
    """The cheapest end (one row) of steepest descents from each start."""
    ends = []
    for row in range(len(starts)):
        here = starts.take(slice(row, row + 1))
        cost = price(here)[0]
        for _ in range(STEPS):
            near = _neighbours(space, here, pairs=False)
            costs = price(near) if len(near) else np.array([np.inf])
            if costs.min() >= cost:
                near = _neighbours(space, here, pairs=True)
                costs = price(near) if len(near) else np.array([np.inf])
            if not costs.min() < cost:
                break
            at = int(np.argmin(costs))
            here, cost = near.take(slice(at, at + 1)), costs[at]
        ends.append((float(cost), row, here))
    return min(ends, key=lambda end: end[:2])[2]


def _neighbours(space: SearchSpace, here: ArchBatch, *, pairs: bool) -> ArchBatch:
    """All valid architectures that differ from one in one gene, or in two."""
    genes = here.genes[0]
    moves = [
        (column, value)
        for column, options in enumerate(space.choices)
        for value in options
        if value != genes[column]
    ]
    if pairs:
        both = np.array(
            [(*a, *b) for a, b in combinations(moves, 2) if a[0] != b[0]], dtype=np.int64
        ).reshape(-1, 4)
        steps = both[:, [0, 2]], both[:, [1, 3]]
    else:
        single = np.array(moves, dtype=np.int64).reshape(-1, 2)
        steps = single[:, :1], single[:, 1:]
    near = np.repeat(genes[None], len(steps[0]), axis=0)
    np.put_along_axis(near, steps[0], steps[1].astype(near.dtype), axis=1)
    batch = ArchBatch(near, here.n_conv)
    return batch.take(space.valid(batch))


def check_reachable(space: SearchSpace, caps: Sequence[Cap], rng: np.random.Generator) -> ArchBatch:
    """One architecture (a batch of one) that keeps all caps with the most room.

    Raises:
        TargetError: none does; the message says what the lowest cost is and where it is had.
    """
    if not caps:
        raise TargetError("a search needs a target; name one with --target-ms or --target-mmacs")
    starts = space.sample(SAMPLES, rng)
    best = np.argsort(loads(caps, starts), kind="stable")[:3]
    found = _descend(
        space,
        lambda batch: loads(caps, batch),
        starts.take(best).concat(ArchBatch.of([space.smallest])),
    )
    if loads(caps, found)[0] <= 1:
        return found
    for cap in caps:
        low = reach(space, cap.bound, rng)
        if low.low > cap.limit:
            raise TargetError(
                f"no architecture of space {space.name} has a {_what(cap)} of {cap.limit:g} "
                f"{cap.cost.unit} or less; the lowest is {low.low:.4g} {cap.cost.unit} "
                f"({low.cheapest}): set the target above it, or choose a smaller space"
            )
    targets = ", ".join(f"{cap.limit:g} {cap.cost.unit} of {cap.cost.name}" for cap in caps)
    near = ", ".join(f"{cap.bound(found)[0]:.4g} {cap.cost.unit}" for cap in caps)
    raise TargetError(
        f"each of the targets {targets} can be met, but no architecture of space {space.name} "
        f"was found that meets all at once; the nearest has {near}: raise one of them"
    )


def _what(cap: Cap) -> str:
    bound = "predicted upper bound" if cap.by_upper_bound else "cost"
    return f"{bound} of {cap.cost.name}"


def initial_population(
    space: SearchSpace,
    caps: Sequence[Cap],
    count: int,
    rng: np.random.Generator,
    *,
    lowest_share: float = 0.5,
) -> ArchBatch:
    """Distinct architectures under all caps, their loads spread evenly up to the caps.

    Random draws seldom fall under a tight cap, and seldom near a loose one, so a pool of
    random architectures grows by mutations of those that lie next to the wanted loads.

    Args:
        count: how many; fewer come back when fewer exist or are found.
        lowest_share: the least load that is wanted, as a share of the highest that the space
            has under the caps; where it does not reach that low, its lowest.

    Raises:
        TargetError: no architecture keeps the caps.
    """
    seed = check_reachable(space, caps, rng)
    pool = space.sample(SAMPLES, rng).concat(seed).unique()
    load = loads(caps, pool)
    least, most = float(loads(caps, seed)[0]), 1.0
    if load.max() < 1:  # caps beyond what random draws reach, or beyond everything
        start = pool.take(np.argsort(-load)[:3])
        peak = _descend(space, lambda batch: -loads(caps, batch), start)
        pool, most = pool.concat(peak), min(1.0, float(loads(caps, peak)[0]))
        load = loads(caps, pool)
    pool, load = pool.take(load <= 1), load[load <= 1]
    wanted = np.linspace(max(lowest_share * most, least), most, count, dtype=np.float64)
    for _ in range(POOL_ROUNDS):
        rows = _nearest_below(load, wanted)
        if len(np.unique(rows)) == count and (wanted - load[rows]).max() < CLOSE * most:
            break
        parents = pool.take(np.repeat(np.concatenate([rows, np.argsort(load)[:count]]), 8))
        grown = pool.concat(space.mutate(parents, rng, rng.choice(POOL_RATES))).unique()
        load = loads(caps, grown)
        pool, load = grown.take(load <= 1), load[load <= 1]
    order = np.argsort(load, kind="stable")
    free = np.ones(len(pool), dtype=bool)
    chosen: list[int] = []
    for share in wanted[::-1]:  # from the caps down: what lies next to them matters most
        rest = order[free[order]]
        if not rest.size:
            break
        at = rest[max(int(np.searchsorted(load[rest], share, side="right")) - 1, 0)]
        chosen.append(int(at))
        free[at] = False
    return pool.take(np.array(chosen, dtype=np.int64))


def _nearest_below(load: FloatArray, wanted: FloatArray) -> npt.NDArray[np.int64]:
    """For each wanted load the row with the largest load up to it, or else the smallest."""
    order = np.argsort(load, kind="stable")
    at = np.searchsorted(load[order], wanted, side="right") - 1
    rows: npt.NDArray[np.int64] = order[np.maximum(at, 0)]
    return rows
