"""The models that show how fast a device is at a moment, and what a later timing says by them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from devices.protocol import Measurement
from elasticvit.kernels import Kernel, Layout, lower
from elasticvit.space import SearchSpace
from lut.estimate import round_ms
from lut.keys import SUBNET, SubnetKey, kind_of, subnet_key
from lut.sample import reachable_kernels
from lut.steady import steady_ms

if TYPE_CHECKING:
    import pandas as pd

KIND = "mbconv"
Gauges = Mapping[str, tuple[Kernel, ...]]


def gauges(space: SearchSpace) -> Gauges:
    """The gauges of a space, the same in every profile of it, each as the kernels it is made of:
    a kernel that computes from the caches, and the smallest subnet, most of whose time goes into
    fetching its weights."""
    kernels = [k for k in reachable_kernels(space) if k.kind == KIND]
    middle = sorted(kernels, key=lambda k: (k.macs, k.key))[len(kernels) // 2]
    smallest = space.smallest
    return {
        middle.key: (middle,),
        subnet_key(smallest, space.layout): lower(smallest, space.layout),
    }


def table_gauges(table: pd.DataFrame, layout: Layout) -> Gauges:
    """The gauges that a table was last made with; none where it was made without.

    Args:
        table: see `lut.store.Store.measurements`.
        layout: of its subnets.
    """
    told = table["gauges"].dropna()
    keys = list(json.loads(told.iloc[-1])) if len(told) else []
    return {
        key: lower(SubnetKey.parse(key).arch(layout), layout)
        if kind_of(key) == SUBNET
        else (Kernel.from_key(key),)
        for key in keys
    }


def steady_rounds(table: pd.DataFrame, rounds: Sequence[Measurement]) -> npt.NDArray[np.float64]:
    """What each round of a whole subnet says at the speed of a table, in milliseconds, shape (n,).

    Args:
        table: see `steady_ms`; its rows teach how subnets answer to the gauges.
        rounds: timed with the table's gauges; without any they stay as they are.
    """
    import pandas as pd

    rows = [
        {
            "key": "",
            "kind": SUBNET,
            "round_ms": round_ms(m.samples_us),
            "gauges": json.dumps(dict(m.gauges_us)) if m.gauges_us else None,
        }
        for m in rounds
    ]
    both = pd.concat([table[list(rows[0])], pd.DataFrame(rows)], ignore_index=True)
    return steady_ms(both)[-len(rounds) :]
