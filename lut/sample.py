"""What to measure: kernels that fill a space, subnets over all its complexities, and heads of
other numbers of classes.

Every sequence is the same for the same seed and any length is a prefix of any longer one, so
a second profile with more budget goes on where the first ended. Whether a kernel or subnet is
held out follows from its key and the seed alone (`lut.held_out`), whatever else is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import MacsCost, reachable_kernels
from elasticvit.kernels import KINDS, Head, Kernel
from elasticvit.space import SearchSpace
from lut.held_out import HeldOutSplit
from lut.keys import subnet_key

POOL = 20000  # random architectures that a sequence of subnets is chosen from
FEWEST = 6  # kernels of a kind, at least, that come before all others
HEAD_CLASSES = (2, 10, 100, 1000)  # at which a profile times heads, whatever the space's own


def kernel_sequences(space: SearchSpace, split: HeldOutSplit) -> tuple[list[Kernel], list[Kernel]]:
    """All kernels to fit with and all held-out ones, each in the order to measure them.

    Within a kind the order fills the space: it begins with the smallest and the largest kernel
    and goes on with the one farthest from all before it. The kinds take turns in proportion to
    the square root of their number, so that a kind of many dimensions gets more.
    """
    by_kind: dict[str, list[Kernel]] = {}
    for kernel in reachable_kernels(space):
        by_kind.setdefault(kernel.kind, []).append(kernel)
    fit, held = [], []
    for kernels in by_kind.values():
        out = [k for k in kernels if split.held_out(k.key)]
        fit.append(fill(sorted(set(kernels) - set(out))))
        held.append(fill(out))
    return _take_turns(fit), _take_turns(held)


def other_heads(space: SearchSpace) -> list[Head]:
    """Heads of other numbers of classes than the space's: one for each of `HEAD_CLASSES` at each
    corner of the space's sizes and widths.

    Nothing but the head depends on the number of classes. So a profile that times them prices
    the space with any usual number of classes.
    """
    heads = [k for k in reachable_kernels(space) if isinstance(k, Head)]
    sizes, widths = [h.size for h in heads], [h.width for h in heads]
    corners = [
        h
        for h in heads
        if h.size in (min(sizes), max(sizes)) and h.width in (min(widths), max(widths))
    ]
    return [
        replace(corner, classes=classes)
        for classes in HEAD_CLASSES
        for corner in corners
        if classes != corner.classes
    ]


def fill(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Kernels of one kind, reordered so that every prefix fills their space evenly.

    Dimensions are compared by the logarithm, scaled to [0, 1].
    """
    if len(kernels) < 3:
        return list(kernels)
    points = np.log(np.array([list(k.dims.values()) for k in kernels]) + 1.0)
    low, high = points.min(axis=0), points.max(axis=0)
    points = (points - low) / np.where(high > low, high - low, 1.0)
    size = [k.macs for k in kernels]
    order = [int(np.argmin(size)), int(np.argmax(size))]
    distance = np.full(len(kernels), np.inf)
    for chosen in order:
        distance = np.minimum(distance, ((points - points[chosen]) ** 2).sum(axis=1))
    while len(order) < len(kernels):
        distance[order[-1]] = -1.0
        chosen = int(np.argmax(distance))
        order.append(chosen)
        distance = np.minimum(distance, ((points - points[chosen]) ** 2).sum(axis=1))
        distance[order] = -1.0
    return [kernels[i] for i in order]


def _take_turns(groups: Sequence[Sequence[Kernel]]) -> list[Kernel]:
    """The groups merged, each with a pace of the square root of its length.

    First of all come two kernels for every dimension of a kind: `fill` begins with the corners,
    so these span all that the space can contain, and nothing need be extrapolated.
    """
    stamped = []
    for group in groups:
        early, pace = max(FEWEST, 2 * _varying(group)), np.sqrt(len(group))
        for i, kernel in enumerate(group):
            stamp = 0.0 if i < early else (i + 0.5) / pace
            stamped.append((stamp, list(KINDS).index(kernel.kind), kernel))
    return [kernel for *_, kernel in sorted(stamped, key=lambda row: row[:2])]


def _varying(kernels: Sequence[Kernel]) -> int:
    """How many dimensions differ among the kernels."""
    columns = zip(*(k.dims.values() for k in kernels), strict=True)
    return sum(len(set(column)) > 1 for column in columns)


@dataclass(frozen=True)
class SubnetSequences:
    """Whole subnets to measure, in order.

    Attributes:
        fit: Subnets to fit the network correction to; a middle one, the smallest and the largest
            first.
        held_out: Subnets that are never used for fitting.
    """

    fit: list[Arch]
    held_out: list[Arch]


def subnet_sequences(space: SearchSpace, split: HeldOutSplit, n: int) -> SubnetSequences:
    """At most `n` subnets of each role, spread evenly over the logarithm of the MACs.

    Targets between the smallest and the largest architecture follow a van der Corput sequence,
    so that every prefix covers all complexities, not just the bulk that uniform sampling gives.
    """
    rng = np.random.default_rng(split.seed)
    ends = ArchBatch.of([space.smallest, space.largest])
    pool = graded_sample(space, POOL, rng).concat(ends).unique()
    log_macs = np.log(MacsCost(space).price(pool))
    places = [van_der_corput(i) for i in range(1, n + 1)]

    def choose(places: Sequence[float], held_out: bool) -> list[Arch]:
        """For every place from 0 to 1 the nearest architecture of a role that is still free."""
        chosen: list[Arch] = []
        free = log_macs.copy()
        low, high = log_macs.min(), log_macs.max()
        for place in places:
            while True:
                nearest = int(np.argmin(np.abs(free - (low + (high - low) * place))))
                if not np.isfinite(free[nearest]):
                    return chosen  # a small space has no more
                free[nearest] = np.inf
                arch = pool[nearest]
                if split.held_out(subnet_key(arch, space.layout)) == held_out:
                    chosen.append(arch)
                    break
        return chosen

    fit = choose([places[0], 0.0, 1.0, *places[1:]][:n] if n else [], False)
    return SubnetSequences(fit, choose(places, True))


def graded_sample(space: SearchSpace, n: int, rng: np.random.Generator) -> ArchBatch:
    """`n` distinct random architectures of all complexities.

    Each has a level between 0 and 1 and draws its genes around that quantile of their choices.
    """
    level = rng.random((n, 1))
    place = np.clip(level + rng.normal(0.0, 0.3, (n, len(space.choices))), 0.0, 1.0 - 1e-9)
    columns = [
        np.array(options)[(place[:, i] * len(options)).astype(int)]
        for i, options in enumerate(space.choices)
    ]
    drawn = ArchBatch(np.stack(columns, axis=1).astype(np.int16), space.layout.n_conv)
    return space.mutate(drawn, rng, rate=0.0).unique()  # changes nothing but widths that fall


def van_der_corput(i: int) -> float:
    """The i-th number of the base-2 sequence that fills (0, 1) evenly: 1/2, 1/4, 3/4, ..."""
    value, step = 0.0, 0.5
    while i:
        value += step * (i & 1)
        i >>= 1
        step /= 2
    return value
