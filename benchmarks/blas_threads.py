"""Fits of the search's accuracy predictor and of a latency predictor on one BLAS thread and on all.

    python benchmarks/blas_threads.py [--archs 75,170,250] [--repeats 5]

Random architectures of space `tiny` with made-up accuracies (the fit's time, not its quality, is
what counts) and as many random points. torch has run a convolution before, as it has in a search.
One JSON line: median seconds on one thread and on as many as OpenBLAS takes by itself,
interleaved, and their ratio; spread is the largest over the smallest of the times on one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from threadpoolctl import threadpool_info

from elasticvit.searching.accuracy_predictor import AccuracyPredictor, ArchFeatures
from elasticvit.space import TINY
from predictors.gp import fit_process

Fit = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archs", default="75,170,250", help="Numbers of architectures.")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    image = torch.randn(8, 32, 64, 64)
    rows = []
    for count in map(int, options.archs.split(",")):
        for name, (one, many) in fits(count).items():
            taken: dict[Fit, list[float]] = {one: [], many: []}
            for _ in range(options.repeats):
                for fit, seconds in taken.items():
                    torch.nn.functional.conv2d(image, torch.randn(32, 32, 3, 3))
                    start = time.perf_counter()
                    fit()
                    seconds.append(time.perf_counter() - start)
            medians = [statistics.median(seconds) for seconds in taken.values()]
            rows.append(
                {
                    "fit": name,
                    "count": count,
                    "one_thread_s": round(medians[0], 4),
                    "all_threads_s": round(medians[1], 4),
                    "ratio": round(medians[1] / medians[0], 1),
                    "spread": round(max(taken[one]) / min(taken[one]), 2),
                }
            )
    threads = max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
    print(json.dumps({"benchmark": "blas_threads", "threads": threads, "fits": rows}))


def fits(count: int) -> dict[str, tuple[Fit, Fit]]:
    """Each fit as it is, on one thread, and as it would be without that."""
    rng = np.random.default_rng(0)
    features = ArchFeatures(TINY)
    archs = TINY.sample(count, rng)
    x = features(archs)
    accuracy = 70 + 5 * x[:, -1] + rng.normal(0, 0.3, count)
    error = np.full(count, 0.3)
    points, y = rng.normal(size=(count, 5)), rng.normal(0, 0.1, count)
    on_all = AccuracyPredictor.fit.__func__.__wrapped__  # type: ignore[attr-defined]
    return {
        "accuracy": (
            lambda: AccuracyPredictor.fit(features, archs, accuracy, error, rng=rng),
            lambda: on_all(AccuracyPredictor, features, archs, accuracy, error, rng=rng),
        ),
        "latency": (
            lambda: fit_process(points, y),
            lambda: fit_process.__wrapped__(points, y),  # type: ignore[attr-defined]
        ),
    }


if __name__ == "__main__":
    main()
