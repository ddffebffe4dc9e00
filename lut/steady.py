"""Latencies as they would be at one and the same speed of the device.

On a shared machine neighbours slow everything down for seconds or minutes, and not everything
alike: what computes from the caches less than what fetches its weights from memory. The gauges
(see `lut.plan.Plan.gauges`) are timed around every model and see the same slowing. How strongly
a model answers to each gauge is learnt from how its own rounds differ, pooled over the models of
its kind and with the size of the model; every round is then brought to the speed that the
machine has, or exceeds, in a quarter of the time. Nothing is learnt from how models differ from
each other, so that a model's level is its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lut.estimate import round_ms

if TYPE_CHECKING:
    import pandas as pd

FloatArray = npt.NDArray[np.float64]
AT_QUANTILE = 0.25  # of the gauges' readings: the speed that latencies are brought to
MIN_ROUNDS = 30  # of models with several, below which nothing is learnt
NOISE, ANSWER = 0.04, 0.5  # standard deviations: of a round, and of a model's answer to a gauge
LIMIT = 0.5  # no round is moved by more than this, on the log scale


def steady_ms(measurements: pd.DataFrame) -> FloatArray:
    """What each round says at the device's steady speed, in milliseconds, shape (n,).

    Rounds without gauges are left as they are, and so are all where there are too few to learn
    from.

    Args:
        measurements: rows with `key, kind, round_ms, gauges`; see `lut.store.Store.measurements`.
    """
    raw: FloatArray = measurements["round_ms"].to_numpy(dtype=np.float64)
    value: FloatArray = raw.copy()
    told = [_readings(text) for text in measurements["gauges"]]
    names = np.array([" | ".join(sorted(gauges)) for gauges in told])
    for name in set(names) - {""}:
        rows = np.flatnonzero(names == name)
        gauges = np.log([[told[i][key] for key in sorted(told[i])] for i in rows])
        part = measurements.iloc[rows]
        kinds = part["kind"].to_numpy(dtype=str)
        value[rows] *= np.exp(-_slowing(part["key"], kinds, np.log(raw[rows]), gauges))
    return value


def _readings(text: object) -> dict[str, float]:
    """Of each gauge what its runs say together, by the rule for the runs of a model."""
    runs = json.loads(text) if isinstance(text, str) else {}
    return {key: round_ms(us) for key, us in runs.items()}


def _slowing(
    keys: pd.Series[str], kinds: npt.NDArray[np.str_], log_ms: FloatArray, gauges: FloatArray
) -> FloatArray:
    """How much slower than steady each round was, on the log scale, shape (n,).

    Args:
        log_ms: shape (n,).
        gauges: logarithms of the readings, shape (n, gauges).
    """
    _, model = np.unique(keys.to_numpy(dtype=str), return_inverse=True)
    if (np.bincount(model)[model] > 1).sum() < MIN_ROUNDS:
        return np.zeros(len(log_ms))
    at = gauges - np.quantile(gauges, AT_QUANTILE, axis=0)
    level = _of_model(log_ms, model)
    blocks = [at]
    for kind in sorted(set(kinds)):
        here = kinds == kind
        size = (level - level[here].mean())[:, None]
        blocks += [at * here[:, None], at * size * here[:, None]]
    inputs = np.concatenate(blocks, axis=1)
    within = inputs - np.stack([_of_model(column, model) for column in inputs.T], axis=1)
    gram = within.T @ within + (NOISE / ANSWER) ** 2 * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, within.T @ (log_ms - level))
    value: FloatArray = np.clip(inputs @ weights, -LIMIT, LIMIT)
    return value


def _of_model(values: FloatArray, model: npt.NDArray[np.int64]) -> FloatArray:
    """For every row the mean of its model's rows."""
    means: FloatArray = (np.bincount(model, values) / np.bincount(model))[model]
    return means
