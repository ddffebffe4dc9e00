"""Kernel regressors side by side: error on kernels that were not measured, by measurements a kind.

    python benchmarks/regressors.py [FOLDER] [--seeds 3] [--counts 30,60,120]

FOLDER holds the public block tables of three phones. Each way is fitted to the same randomly
drawn kernels of a kind of the `mobile` space and judged on the rest of the kind. One JSON line:
root mean square of the relative error and share within 5 %, in percent, means over kinds,
phones and seeds.

Ways: `ours` (work times a Gaussian process), `work` (its linear part), `work_trees` (boosted
trees on what the linear part leaves), `process` (scikit-learn's Gaussian process on the log
dimensions), `xgboost` and `sklearn_trees` (boosted trees on log dimensions and log work).
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xgboost
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from elasticvit.arrays import FloatArray
from elasticvit.cost import reachable_kernels
from elasticvit.kernels import Kernel
from elasticvit.space import MOBILE
from lut.importer import read_block_table
from predictors.features import coordinates, work_matrix
from predictors.kernel_regressors import fit_kind, fit_work
from predictors.metrics import error_summary

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "block_luts"
PHONES = ("pixel4", "pixel6", "xiaomi11")
KINDS = ("mbconv", "downsample", "attention", "ffn")  # the others have too few kernels
Predict = Callable[[Sequence[Kernel]], FloatArray]


def ours(kernels: Sequence[Kernel], ms: FloatArray) -> Predict:
    return fit_kind(kernels, ms).ms


def work(kernels: Sequence[Kernel], ms: FloatArray) -> Predict:
    rates = fit_work(work_matrix(kernels), ms)
    return lambda new: work_matrix(new) @ rates


def _features(kernels: Sequence[Kernel]) -> FloatArray:
    return np.hstack([coordinates(kernels), np.log1p(work_matrix(kernels))])


def _xgboost() -> xgboost.XGBRegressor:
    return xgboost.XGBRegressor(
        n_estimators=400,
        max_depth=4,
        learning_rate=0.05,
        subsample=0.8,
        colsample_bytree=0.6,
        n_jobs=1,
        random_state=0,
    )


def work_trees(kernels: Sequence[Kernel], ms: FloatArray) -> Predict:
    trend = work(kernels, ms)
    trees = _xgboost().fit(_features(kernels), np.log(ms / trend(kernels)))
    return lambda new: trend(new) * np.exp(trees.predict(_features(new)))


def xgboost_trees(kernels: Sequence[Kernel], ms: FloatArray) -> Predict:
    trees = _xgboost().fit(_features(kernels), np.log(ms))
    return lambda new: np.exp(trees.predict(_features(new)))


def sklearn_trees(kernels: Sequence[Kernel], ms: FloatArray) -> Predict:
    trees = GradientBoostingRegressor(
        n_estimators=400, max_depth=3, learning_rate=0.05, subsample=0.8, random_state=0
    ).fit(_features(kernels), np.log(ms))
    return lambda new: np.exp(trees.predict(_features(new)))


def process(kernels: Sequence[Kernel], ms: FloatArray) -> Predict:
    x = coordinates(kernels)
    scale, middle = x.std(axis=0) + 1e-9, np.log(ms).mean()
    covariance = ConstantKernel(1.0) * Matern(np.ones(x.shape[1]), (0.05, 100.0), nu=2.5)
    model = GaussianProcessRegressor(
        covariance + WhiteKernel(1e-3, (1e-6, 1.0)), n_restarts_optimizer=1, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x / scale, np.log(ms) - middle)
    return lambda new: np.exp(model.predict(coordinates(new) / scale) + middle)


WAYS: dict[str, Callable[[Sequence[Kernel], FloatArray], Predict]] = {
    "ours": ours,
    "work": work,
    "work_trees": work_trees,
    "process": process,
    "xgboost": xgboost_trees,
    "sklearn_trees": sklearn_trees,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--counts", default="30,60,120")
    options = parser.parse_args()
    tables = {p: read_block_table(options.folder / f"{p}_lut_ln_v3.json").table_ms for p in PHONES}
    result: dict[str, object] = {"benchmark": "regressors", "seeds": options.seeds}
    for count in map(int, options.counts.split(",")):
        scores: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        for kind in KINDS:
            group = [k for k in reachable_kernels(MOBILE) if k.kind == kind]
            for table in tables.values():
                for seed in range(options.seeds):
                    order = np.random.default_rng(seed).permutation(len(group))
                    fit, new = ([group[i] for i in part] for part in np.split(order, [count]))
                    measured = np.array([table[k] for k in fit])
                    truth = [table[k] for k in new]
                    for way, fit_way in WAYS.items():
                        summary = error_summary(fit_way(fit, measured)(new), truth)
                        scores[way].append((summary.rmspe_pct, summary.within_5_pct))
            print(f"{count} a kind: {kind} done", file=sys.stderr)
        result[str(count)] = {
            way: dict(zip(("rmspe", "within_5"), np.mean(rows, axis=0).round(2), strict=True))
            for way, rows in scores.items()
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
