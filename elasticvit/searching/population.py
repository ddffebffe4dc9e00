"""The first population of a search: architectures under all caps, spread up to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray, IndexArray
from elasticvit.searching.caps import SAMPLES, Cap, descend, find_feasible, loads
from elasticvit.space import SearchSpace

POOL_ROUNDS = 40
POOL_RATES = (0.05, 0.1, 0.2)  # chances of a gene to change while the pool grows
CLOSE = 0.02  # how near a wanted load is near enough, as a share of the highest


def initial_population(
    space: SearchSpace,
    caps: Sequence[Cap],
    count: int,
    rng: np.random.Generator,
    *,
    feasible: Arch | None = None,
    lowest_share: float = 0.5,
) -> ArchBatch:
    """Distinct architectures under all caps, their loads spread evenly up to the caps.

    Random draws seldom fall under a tight cap, and seldom near a loose one, so a pool of
    random architectures grows by mutations of those that lie next to the wanted loads.

    Args:
        count: Number of architectures; fewer come back when fewer exist or are found.
        feasible: Result of `find_feasible` for these caps, if it is known already.
        lowest_share: Lowest load that is wanted, as a share of the highest that the space
            has under the caps; if the space does not reach that low, its lowest.

    Raises:
        TargetError: no architecture keeps the caps.
    """
    if feasible is None:
        feasible = find_feasible(space, caps, rng)
    else:  # draw what `find_feasible` draws, so that both ways give the same population
        space.sample(SAMPLES, rng)
    start = ArchBatch.of([feasible])
    pool = space.sample(SAMPLES, rng).concat(start).unique()
    load = loads(caps, pool)
    least, most = float(loads(caps, start)[0]), 1.0
    if load.max() < 1:  # caps beyond what random draws reach, or beyond everything
        highest = pool.take(np.argsort(-load)[:3])
        peak = descend(space, lambda batch: -loads(caps, batch), highest)
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
    return pool.take(_spread(load, wanted))


def _spread(load: FloatArray, wanted: FloatArray) -> IndexArray:
    """A different row for each wanted load, from the highest: what lies next to the caps matters
    most."""
    order = np.argsort(load, kind="stable")
    free = np.ones(len(load), dtype=bool)
    chosen: list[int] = []
    for share in wanted[::-1]:
        rest = order[free[order]]
        if not rest.size:
            break
        at = rest[max(int(np.searchsorted(load[rest], share, side="right")) - 1, 0)]
        chosen.append(int(at))
        free[at] = False
    return np.array(chosen, dtype=np.int64)


def _nearest_below(load: FloatArray, wanted: FloatArray) -> IndexArray:
    """For each wanted load the row with the largest load up to it, or else the smallest."""
    order = np.argsort(load, kind="stable")
    at = np.searchsorted(load[order], wanted, side="right") - 1
    rows: IndexArray = order[np.maximum(at, 0)]
    return rows
