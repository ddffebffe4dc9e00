"""Calibration models: known models that are timed around every timed model.

Their latencies show how fast the device is at a moment, so that latencies can be corrected for
background load (`lut.steady`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from devices.protocol import Measurement
from elasticvit.arrays import FloatArray
from elasticvit.cost import reachable_kernels
from elasticvit.errors import ArchError
from elasticvit.kernels import Kernel, Layout, lower
from elasticvit.space import SearchSpace
from lut.keys import SUBNET, kind_of, subnet_key
from lut.steady import Rounds, steady_ms
from lut.subnet_layouts import subnet_kernels

if TYPE_CHECKING:
    import pandas as pd

KIND = "mbconv"
CalibrationModels = Mapping[str, tuple[Kernel, ...]]  # the kernels of each model, by its key


def calibration_models(space: SearchSpace) -> CalibrationModels:
    """The calibration models of a space, the same in every profile of it: a kernel that computes
    from the caches, and the smallest subnet, most of whose time goes into fetching its weights."""
    kernels = [k for k in reachable_kernels(space) if k.kind == KIND]
    middle = sorted(kernels, key=lambda k: (k.macs, k.key))[len(kernels) // 2]
    smallest = space.smallest
    return {
        middle.key: (middle,),
        subnet_key(smallest, space.layout): lower(smallest, space.layout),
    }


def table_calibration_models(table: pd.DataFrame, *layouts: Layout) -> CalibrationModels:
    """The calibration models that a table was last made with, by the keys that the table has for
    them; empty if it was made without.

    Args:
        table: Measurements, with the column `calibration_us`; see
            `lut.store.Store.measurements`.
        layouts: Layouts that its subnets may be of, each with any number of classes.

    Raises:
        ArchError: A calibration model is a subnet of another layout.
    """
    reported = table["calibration_us"].dropna()
    keys = list(json.loads(reported.iloc[-1])) if len(reported) else []
    return {
        key: _subnet(key, layouts) if kind_of(key) == SUBNET else (Kernel.from_key(key),)
        for key in keys
    }


def _subnet(key: str, layouts: Sequence[Layout]) -> tuple[Kernel, ...]:
    kernels = subnet_kernels(key, layouts)
    if kernels is None:
        raise ArchError(f"calibration model {key} is a subnet of an unknown layout")
    return kernels


def steady_rounds(table: pd.DataFrame, rounds: Sequence[Measurement]) -> FloatArray:
    """Milliseconds of each round of one whole subnet at the speed of a table, shape (n,).

    Args:
        table: Measurements of the same device, from which the sensitivity of subnets to the
            calibration models is estimated; see `lut.store.Store.measurements`.
        rounds: Rounds that were timed with the table's calibration models; without any they stay
            as they are.
    """
    same = [replace(m, key="") for m in rounds]  # no model of the table
    both = Rounds.of_table(table).concat(Rounds.of_measurements(same, kind=SUBNET))
    return steady_ms(both)[-len(rounds) :]
