"""Sampling within complexity levels: the reservoir against rejection one at a time.

    python benchmarks/sampling.py

One JSON line. Both draw from the same distribution, architectures of the `mobile` space within
the paper's levels and above their smallest subnets, in the same run and interleaved. `rejection`
draws one architecture, counts it kernel by kernel and tries again until one fits, as the
published training code does. Its time a try and the tries a hit needs are both measured, and
multiplied; at the level where that is quickest it is also run as it is (`rejection_direct_ms`).
"""

from __future__ import annotations

import json
import statistics
import time

import numpy as np

from elasticvit.arch import Arch
from elasticvit.cost import MacsCost
from elasticvit.kernels import walk
from elasticvit.space import MOBILE
from elasticvit.training.levels import levels_for
from elasticvit.training.sampling.reservoir import Reservoir

DRAWS, TRIES, SHARE_SAMPLE, DIRECT_DRAWS, ROUNDS = 300, 200, 1_000_000, 3, 5


def main() -> None:
    cost = MacsCost(MOBILE)
    levels = levels_for(MOBILE, cost, np.random.default_rng(0))
    reservoir = Reservoir(MOBILE, cost, levels, np.random.default_rng(1))
    rng = np.random.default_rng(2)

    def attempt(level: int) -> tuple[Arch, bool]:
        (arch,) = MOBILE.sample(1, rng, levels.smallest[level])
        millions = sum(kernel.macs for _, kernel in walk(arch, MOBILE.layout)) / 1e6
        low, high = levels.band(level)
        return arch, low <= millions <= high

    def reject(level: int) -> Arch:
        while True:
            arch, fits = attempt(level)
            if fits:
                return arch

    shares = [_share(cost, levels.smallest[i], levels.band(i)) for i in range(len(levels))]
    tries_ms: list[float] = []
    ours_ms: list[float] = []
    direct_ms: list[float] = []
    easiest = int(np.argmax(shares))
    for _ in range(ROUNDS):
        start = time.process_time()
        for i in range(TRIES):
            attempt(i % len(levels))
        tries_ms.append(1e3 * (time.process_time() - start) / TRIES)
        start = time.process_time()
        for i in range(DRAWS * len(levels)):
            reservoir.draw(i % len(levels), 1)
        ours_ms.append(1e3 * (time.process_time() - start) / (DRAWS * len(levels)))
        start = time.process_time()
        for _ in range(DIRECT_DRAWS):
            reject(easiest)
        direct_ms.append(1e3 * (time.process_time() - start) / DIRECT_DRAWS)
    one_try_ms, ours = statistics.median(tries_ms), statistics.median(ours_ms)
    rejection = [one_try_ms / share for share in shares]
    mean_rejection = statistics.mean(rejection)
    result = {
        "benchmark": "sampling",
        "space": "mobile",
        "levels_mmacs": list(levels.values),
        "share_in_band": [float(f"{s:.3g}") for s in shares],
        "reservoir_ms": round(ours, 4),
        "reservoir_spread": round(min(ours_ms) / max(ours_ms), 3),
        "one_try_ms": round(one_try_ms, 4),
        "rejection_ms": [round(ms, 1) for ms in rejection],
        "rejection_direct_ms": {
            f"{levels.values[easiest]:g}": round(statistics.mean(direct_ms), 1)
        },
        "reservoir_over_rejection": round(mean_rejection / ours, 1),
        "cores": 1,
        "rounds": ROUNDS,
    }
    print(json.dumps(result))


def _share(cost: MacsCost, smallest: Arch, band: tuple[float, float]) -> float:
    """Share of the architectures above a smallest subnet that lie in a band."""
    prices = cost.price(MOBILE.sample(SHARE_SAMPLE, np.random.default_rng(3), smallest))
    return float(np.mean((prices >= band[0]) & (prices <= band[1])))


if __name__ == "__main__":
    main()
