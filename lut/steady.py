"""Correction for background load: latencies at one and the same speed of the device.

On a shared machine background load slows everything down for seconds or minutes, and compute-bound
models less than memory-bound ones. The calibration models (`lut.calibration.calibration_models`)
are timed around every model and slow down with it. The sensitivity of a model to each calibration
model is estimated by ridge regression from the differences between the rounds of the same model,
pooled over the models of a kind, with a term for the size of the model. Every round is then
corrected to the speed that the machine reaches or exceeds in a quarter of the time. Differences
between models are not used, so that the correction does not bias one model against another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from devices.protocol import Measurement
from elasticvit.arrays import FloatArray, IndexArray
from lut.estimate import round_ms
from lut.keys import kind_of

if TYPE_CHECKING:
    import pandas as pd

AT_QUANTILE = 0.25  # of the calibration readings: the speed that latencies are brought to
MIN_ROUNDS = 30  # of models with several rounds, below which nothing is corrected
# prior standard deviations: of a round's noise on the log scale, and of a sensitivity
NOISE, SENSITIVITY = 0.04, 0.5
LIMIT = 0.5  # no round is corrected by more than this, on the log scale


@dataclass(frozen=True, eq=False)
class Rounds:
    """Rounds of several models.

    Attributes:
        keys, kinds: Key and kind of the model of each round, shape (n,).
        ms: Milliseconds of each round by the rule of `lut.estimate`, shape (n,).
        calibration_ms: For each round the milliseconds of each calibration model around it, by
            its key; empty if none was timed. Length n.
    """

    keys: npt.NDArray[np.str_]
    kinds: npt.NDArray[np.str_]
    ms: FloatArray
    calibration_ms: Sequence[Mapping[str, float]]

    @classmethod
    def of_table(cls, table: pd.DataFrame) -> Rounds:
        """Rounds of a table with the columns `key, kind, round_ms, calibration_us`; see
        `lut.store.Store.measurements`."""
        return cls(
            table["key"].to_numpy(dtype=str),
            table["kind"].to_numpy(dtype=str),
            table["round_ms"].to_numpy(dtype=np.float64),
            [
                _readings(json.loads(text) if isinstance(text, str) else {})
                for text in table["calibration_us"]
            ],
        )

    @classmethod
    def of_measurements(cls, measurements: Sequence[Measurement], kind: str = "") -> Rounds:
        """Rounds of measurements.

        Args:
            kind: Kind of all their models; by default the one that each key begins with.
        """
        return cls(
            np.array([m.key for m in measurements], dtype=str),
            np.array([kind or kind_of(m.key) for m in measurements], dtype=str),
            np.array([round_ms(m.samples_us) for m in measurements]),
            [_readings(m.calibration_us) for m in measurements],
        )

    def concat(self, others: Rounds) -> Rounds:
        """These rounds followed by the others."""
        return Rounds(
            np.concatenate([self.keys, others.keys]),
            np.concatenate([self.kinds, others.kinds]),
            np.concatenate([self.ms, others.ms]),
            [*self.calibration_ms, *others.calibration_ms],
        )


def _readings(runs_us: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Milliseconds of each calibration model, by the rule for the runs of any model."""
    return {key: round_ms(us) for key, us in runs_us.items()}


def steady_ms(rounds: Rounds, reference: int | None = None) -> FloatArray:
    """Milliseconds of each round at the device's steady speed, shape (n,).

    Rounds without calibration models are left as they are, and so are all of them if there are
    too few to estimate sensitivities from.

    Args:
        reference: Number of rounds, the first ones, whose calibration readings say what the steady
            speed is; None for all.
    """
    value: FloatArray = rounds.ms.copy()
    names = np.array([" | ".join(sorted(readings)) for readings in rounds.calibration_ms])
    for name in set(names) - {""}:
        rows = np.flatnonzero(names == name)
        each = [rounds.calibration_ms[int(i)] for i in rows]
        readings = np.log([[ms[key] for key in sorted(ms)] for ms in each])
        known = readings if reference is None else readings[rows < reference]
        steady = np.quantile(known if len(known) else readings, AT_QUANTILE, axis=0)
        slowdown = _log_slowdown(
            rounds.keys[rows], rounds.kinds[rows], np.log(rounds.ms[rows]), readings - steady
        )
        value[rows] *= np.exp(-slowdown)
    return value


def _log_slowdown(
    keys: npt.NDArray[np.str_],
    kinds: npt.NDArray[np.str_],
    log_ms: FloatArray,
    at: FloatArray,
) -> FloatArray:
    """How much slower than steady each round was, on the log scale, shape (n,).

    Args:
        keys, kinds: Key and kind of each round's model, shape (n,).
        log_ms: Logarithm of each round's milliseconds, shape (n,).
        at: Logarithms of the calibration readings, less those at the steady speed, shape (n,
            calibration models).
    """
    _, model = np.unique(keys, return_inverse=True)
    if (np.bincount(model)[model] > 1).sum() < MIN_ROUNDS:
        return np.zeros(len(log_ms))
    level = _of_model(log_ms, model)
    blocks = [at]
    for kind in sorted(set(kinds)):
        here = kinds == kind
        size = (level - level[here].mean())[:, None]
        blocks += [at * here[:, None], at * size * here[:, None]]
    inputs = np.concatenate(blocks, axis=1)
    within = inputs - np.stack([_of_model(column, model) for column in inputs.T], axis=1)
    gram = within.T @ within + (NOISE / SENSITIVITY) ** 2 * np.eye(inputs.shape[1])
    weights = np.linalg.solve(gram, within.T @ (log_ms - level))
    value: FloatArray = np.clip(inputs @ weights, -LIMIT, LIMIT)
    return value


def _of_model(values: FloatArray, model: IndexArray) -> FloatArray:
    """For every row the mean of its model's rows, shape (n,)."""
    means: FloatArray = (np.bincount(model, values) / np.bincount(model))[model]
    return means
