"""Few-shot transfer: each of three phones in turn as the new one, with the other two as source
devices.

    python benchmarks/transfer.py [FOLDER] [--seeds 5] [--counts 10,50,100,200]

FOLDER holds the public block tables (`pixel4_lut_ln_v3.json` and so on). One JSON line, means
over phones and seeds, in percent. `kernels` are all kernels of the `mobile` space that were not
measured; `subnets` are 1,000 random architectures of all sizes, as sums over the phone's own
table. Half of the kernels, another half for each seed, may be chosen for measuring.

`ceiling` is ours given all kernels of that half, some 1,500 of them: the tables' own noise keeps
it below 100, and no choice of a few kernels can be expected to pass it.

Ways: `transfer` is ours; `random` the same with kernels drawn instead of chosen; `residuals` a
plain Gaussian process a kind on the log ratio to the known phones' mean; `scaled` that mean
times one factor.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from elasticvit.arrays import FloatArray
from elasticvit.cost import reachable_kernels
from elasticvit.kernels import KINDS, Kernel, lower
from elasticvit.space import MOBILE
from lut.importer import read_block_table
from lut.sample import graded_sample
from predictors.features import coordinates
from predictors.gp import fit_process
from predictors.interval import Interval
from predictors.kernel_table import KernelTable
from predictors.metrics import share_within
from predictors.source_devices import SourceDevices
from predictors.transfer import Transfer

PHONES = ("pixel4", "pixel6", "xiaomi11")
FOLDER = Path(__file__).parents[2] / "shared" / "data" / "block_luts"
SUBNETS = 1000
MIN_OF_A_KIND = 4  # below that, the plain process takes the mean of all kinds
CEILING = "ceiling"
Scores = dict[tuple[int, str, str], list[dict[str, float]]]  # by count, way and phone


def residuals(measured: Mapping[Kernel, float], base: Mapping[Kernel, float]) -> FloatArray:
    """Log latencies by the plain way: a Gaussian process a kind on the log ratios."""
    ratio = {k: np.log(v) - base[k] for k, v in measured.items()}
    overall = float(np.mean(list(ratio.values())))
    log_ms = {k: v + overall for k, v in base.items()}
    for kind in KINDS:
        known = [k for k in ratio if k.kind == kind]
        group = [k for k in base if k.kind == kind]
        if len(known) >= MIN_OF_A_KIND:
            values = np.array([ratio[k] for k in known])
            process = fit_process(coordinates(known), values - values.mean())
            mean = process.mean(coordinates(group)) + values.mean()
            log_ms |= {k: base[k] + float(m) for k, m in zip(group, mean, strict=True)}
    return np.array([log_ms[k] for k in base])


def scaled(measured: Mapping[Kernel, float], base: Mapping[Kernel, float]) -> FloatArray:
    """Log latencies by one factor for all kernels."""
    factor = np.mean([np.log(v) - base[k] for k, v in measured.items()])
    return np.array(list(base.values())) + factor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--counts", default="10,50,100,200")
    options = parser.parse_args()
    started = time.perf_counter()
    kernels = reachable_kernels(MOBILE)
    tables = {
        phone: KernelTable(read_block_table(options.folder / f"{phone}_lut_ln_v3.json").table_ms)
        for phone in PHONES
    }
    true_ms = {phone: table.ms(kernels) for phone, table in tables.items()}
    subnets = _counts(kernels)
    scores: Scores = {}
    for phone in PHONES:
        known = {name: table for name, table in tables.items() if name != phone}
        sources = SourceDevices.of(known, MOBILE)
        truth = dict(zip(kernels, true_ms[phone], strict=True))
        plain = np.mean([np.log(true_ms[name]) for name in known], axis=0)
        base = dict(zip(kernels, plain, strict=True))
        for seed in range(options.seeds):
            rng = np.random.default_rng(seed)
            half = [kernels[i] for i in rng.permutation(len(kernels))[: len(kernels) // 2]]
            ceiling = Transfer(sources).fit({k: float(truth[k]) for k in half})
            score = _score(
                kernels,
                set(half),
                np.exp(ceiling.log_ms),
                true_ms[phone],
                subnets,
                Interval.normal(ceiling.typical_deviation(subnets.toarray())),
            )
            scores.setdefault((len(half), CEILING, phone), []).append(score)
            for count in map(int, options.counts.split(",")):
                chosen = Transfer(sources).choose(count, rng, candidates=half)
                for way, names in (
                    ("transfer", chosen),
                    ("random", half[:count]),
                    ("residuals", half[:count]),
                    ("scaled", half[:count]),
                ):
                    measured = {k: float(truth[k]) for k in names}
                    interval = Interval.unknown()
                    if way in ("transfer", "random"):
                        fitted = Transfer(sources).fit(measured)
                        log_ms = fitted.log_ms
                        interval = Interval.normal(fitted.typical_deviation(subnets.toarray()))
                    else:
                        log_ms = {"residuals": residuals, "scaled": scaled}[way](measured, base)
                    score = _score(
                        kernels, set(names), np.exp(log_ms), true_ms[phone], subnets, interval
                    )
                    scores.setdefault((count, way, phone), []).append(score)
            print(f"{phone} seed {seed}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    print(json.dumps(_summary(scores, options.seeds)))


def _counts(kernels: list[Kernel]) -> csr_matrix:
    """How often each of the test subnets has each kernel."""
    index = {k: i for i, k in enumerate(kernels)}
    archs = [
        *MOBILE.sample(SUBNETS // 2, np.random.default_rng(1)),
        *graded_sample(MOBILE, SUBNETS // 2, np.random.default_rng(2)),
    ]
    counts = np.zeros((len(archs), len(kernels)))
    for row, arch in enumerate(archs):
        for kernel in lower(arch, MOBILE.layout):
            counts[row, index[kernel]] += 1
    return csr_matrix(counts)


def _score(
    kernels: list[Kernel],
    measured: set[Kernel],
    predicted_ms: FloatArray,
    true_ms: FloatArray,
    subnets: csr_matrix,
    interval: Interval,
) -> dict[str, float]:
    seen = np.array([k in measured for k in kernels])
    error = (predicted_ms / true_ms - 1)[~seen]
    whole = subnets @ np.where(seen, true_ms, predicted_ms)
    truth = subnets @ true_ms
    score = {
        "kernels_within_5": share_within(error, 0.05),
        "kernels_within_10": share_within(error, 0.10),
        "kernels_rmspe": float(100 * np.sqrt((error**2).mean())),
        "subnets_within_5": share_within(whole / truth - 1, 0.05),
        "subnets_rmspe": float(100 * np.sqrt(((whole / truth - 1) ** 2).mean())),
    }
    if interval.coverage is not None:
        score["subnets_under_upper_95"] = float(100 * (truth <= interval.upper * whole).mean())
    return score


def _summary(scores: Scores, seeds: int) -> dict[str, object]:
    def mean(rows: list[dict[str, float]]) -> dict[str, float]:
        return {name: round(float(np.mean([r[name] for r in rows])), 2) for name in rows[0]}

    def entry(count: int, way: str) -> dict[str, object]:
        overall = mean([r for p in PHONES for r in scores[count, way, p]])
        by_phone = {p: mean(scores[count, way, p]) for p in PHONES}
        return {**overall, **(by_phone if way in ("transfer", CEILING) else {})}

    result: dict[str, object] = {"benchmark": "transfer", "seeds": seeds, "phones": list(PHONES)}
    for count, way in sorted({(count, way) for count, way, _ in scores if way == CEILING}):
        result[CEILING] = {"measured": count, **entry(count, way)}
    ways = list(dict.fromkeys(way for _, way, _ in scores if way != CEILING))
    for count in sorted({count for count, way, _ in scores if way != CEILING}):
        result[str(count)] = {way: entry(count, way) for way in ways}
    return result


if __name__ == "__main__":
    main()
