"""Pricing: architectures a second by stage tables, by a loop, and by a string-keyed table.

    python benchmarks/pricing.py

One JSON line. All three price the same architectures of the `mobile` space in the same run,
interleaved; medians of the rounds, with their spread. `loop` lowers each architecture and sums
its kernels' multiply-accumulates; `dictionary` is how latency tables are usually read: an
architecture already lowered to tuples, one formatted string and one look-up a block.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import fields

import numpy as np

from elasticvit.cost import MacsCost, space_kernels
from elasticvit.kernels import KINDS, lower, walk
from elasticvit.space import MOBILE

TABLE_ARCHS, LOOP_ARCHS, ROUNDS = 1_000_000, 1_000, 7


def main() -> None:
    cost = MacsCost(MOBILE)
    many = MOBILE.sample(TABLE_ARCHS, np.random.default_rng(0))
    few = list(many.take(slice(LOOP_ARCHS)))
    forms = {kind: "_".join([kind, *["%d"] * (len(fields(cls)))]) for kind, cls in KINDS.items()}
    lowered = [
        [(forms[k.kind], tuple(k.dims.values())) for k in lower(a, MOBILE.layout)] for a in few
    ]
    table = {forms[k.kind] % tuple(k.dims.values()): float(k.macs) for k in space_kernels(MOBILE)}

    def loop() -> list[float]:
        return [sum(kernel.macs for _, kernel in walk(a, MOBILE.layout)) / 1e6 for a in few]

    def dictionary() -> list[float]:
        return [sum(table[form % dims] for form, dims in blocks) / 1e6 for blocks in lowered]

    assert loop() == dictionary() == cost.price(many.take(slice(LOOP_ARCHS))).tolist()
    ways: dict[str, tuple[Callable[[], object], int]] = {
        "tables": (lambda: cost.price(many), TABLE_ARCHS),
        "loop": (loop, LOOP_ARCHS),
        "dictionary": (dictionary, LOOP_ARCHS),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (way, count) in ways.items():
            start = time.process_time()
            way()
            rates[name].append(count / (time.process_time() - start))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    result = {
        "benchmark": "pricing",
        "space": "mobile",
        "archs_per_second": {name: round(value) for name, value in medians.items()},
        "spread": {name: round(min(v) / max(v), 3) for name, v in rates.items()},
        "tables_over_loop": round(medians["tables"] / medians["loop"], 1),
        "tables_over_dictionary": round(medians["tables"] / medians["dictionary"], 1),
        "cores": 1,
        "rounds": ROUNDS,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
