"""Latency of single kernels, read from a table: exact where it has the kernel.

For tables that were imported, and for devices whose kernels were predicted from source devices. A
head whose number of classes lies between two of the table's, all else equal, is interpolated
linearly; one of fewer classes than any is read at the table's smallest number, which errs on the
slow side. Any other kernel that is not there is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from elasticvit.arrays import BoolArray, FloatArray
from elasticvit.errors import PredictorError
from elasticvit.kernels import KINDS, Head, Kernel
from predictors.kernel_regressors import KernelRegressors
from predictors.saved import Arrays, SavedArrays
from predictors.saved_kernels import saved_kernels

PER_KIND = 150  # kernels a kind that the stand-in for unknown kernels is fitted to


class TableState(msgspec.Struct, frozen=True, tag_field="type", tag="table"):
    """A `KernelTable` in a saved predictor; all of it is in the arrays."""


@dataclass(frozen=True)
class KernelTable:
    """A table of kernels.

    Attributes:
        table_ms: Milliseconds of each kernel on its own.
    """

    table_ms: Mapping[Kernel, float]

    def __post_init__(self) -> None:
        bad = [(k, v) for k, v in self.table_ms.items() if not (np.isfinite(v) and v > 0)]
        if bad or not self.table_ms:
            what = f"{bad[0][0].key} at {bad[0][1]} ms" if bad else "no kernels"
            raise PredictorError(f"table has {what}; latencies are positive milliseconds")

    @cached_property
    def _heads(self) -> dict[Head, list[Head]]:
        """The table's heads, by number of classes, of each head without one (0 classes)."""
        groups: dict[Head, list[Head]] = {}
        for kernel in sorted(k for k in self.table_ms if isinstance(k, Head)):
            groups.setdefault(replace(kernel, classes=0), []).append(kernel)
        return groups

    def stand_ins(self, kernel: Kernel) -> dict[Kernel, float]:
        """The table's kernels whose weighted sum is the latency of this one; empty if unknown."""
        if kernel in self.table_ms:
            return {kernel: 1.0}
        if not isinstance(kernel, Head):
            return {}
        heads = self._heads.get(replace(kernel, classes=0), [])
        above = next((i for i, h in enumerate(heads) if h.classes > kernel.classes), None)
        if above is None:
            return {}
        if above == 0:
            return {heads[0]: 1.0}
        low, high = heads[above - 1], heads[above]
        share = (kernel.classes - low.classes) / (high.classes - low.classes)
        return {low: 1.0 - share, high: share}

    def ms(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Milliseconds of each kernel, shape (n,); NaN if the table has none for it."""
        found = (self.stand_ins(k) for k in kernels)
        return np.array(
            [sum(self.table_ms[k] * w for k, w in f.items()) if f else np.nan for f in found]
        )

    def octaves_outside(self, kernels: Sequence[Kernel]) -> FloatArray:
        """0 if the table has the kernel, infinite if it has not, shape (n,)."""
        return np.array([0.0 if self.stand_ins(k) else np.inf for k in kernels])

    def deviation(self, kernels: Sequence[Kernel]) -> FloatArray:
        """0 if the table has the kernel, infinite if it has not, shape (n,)."""
        return self.octaves_outside(kernels)

    def covered(self, kernels: Sequence[Kernel]) -> BoolArray:
        """Whether the table has each kernel as it is, or heads of fewer and of more classes to
        interpolate it from, shape (n,)."""
        found = (self.stand_ins(k) for k in kernels)
        return np.array([len(f) > 1 or k in f for k, f in zip(kernels, found, strict=True)])

    def regressors(self) -> KernelRegressors:
        """Regressors fitted to an even selection of the table, for kernels it lacks."""
        chosen: dict[Kernel, float] = {}
        for kind in KINDS:
            kernels = sorted((k for k in self.table_ms if k.kind == kind), key=lambda k: k.key)
            rows = np.random.default_rng(0).permutation(len(kernels))[:PER_KIND]
            chosen |= {kernels[i]: self.table_ms[kernels[i]] for i in rows}
        return KernelRegressors.fit(chosen)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """JSON-ready description (a `TableState`) and arrays, for `from_state`."""
        kernels = sorted(self.table_ms, key=lambda k: k.key)
        values = np.array([self.table_ms[k] for k in kernels])
        return msgspec.to_builtins(TableState()), {
            "table/key": np.array([k.key for k in kernels]),
            "table/ms": values,
        }

    @classmethod
    def from_state(cls, state: TableState, arrays: SavedArrays) -> KernelTable:
        """Inverse of `state`.

        Raises:
            PredictorError: An array is missing or damaged.
        """
        kernels = saved_kernels(arrays, "table/key")
        values = arrays.numbers("table/ms", len(kernels), above=0.0)
        return cls(dict(zip(kernels, values.tolist(), strict=True)))
