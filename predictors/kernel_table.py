"""Latency of single kernels, read from a table: exact where it has the kernel.

For tables that were imported, and for devices learnt from similar ones. A head of fewer
classes than the table's is read at the table's number of classes, which errs on the slow
side; any other kernel that is not there is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from elasticvit.errors import PredictorError
from elasticvit.kernels import KINDS, Head, Kernel
from predictors.kernel_model import Arrays, KernelModel

FloatArray = npt.NDArray[np.float64]
PER_KIND = 150  # kernels a kind that the stand-in for unknown kernels is fitted to


@dataclass(frozen=True)
class KernelTable:
    """A table of kernels.

    Attributes:
        table_ms: milliseconds of each kernel.
    """

    table_ms: Mapping[Kernel, float]

    def __post_init__(self) -> None:
        bad = [(k, v) for k, v in self.table_ms.items() if not (np.isfinite(v) and v > 0)]
        if bad or not self.table_ms:
            what = f"{bad[0][0].key} at {bad[0][1]} ms" if bad else "no kernels"
            raise PredictorError(f"table has {what}; latencies are positive milliseconds")

    @cached_property
    def _head_classes(self) -> tuple[int, ...]:
        return tuple(sorted({k.classes for k in self.table_ms if isinstance(k, Head)}))

    def find(self, kernel: Kernel) -> Kernel | None:
        """The table's kernel that stands for this one, if any."""
        if kernel in self.table_ms:
            return kernel
        if isinstance(kernel, Head):
            for classes in self._head_classes:
                known = replace(kernel, classes=classes)
                if classes >= kernel.classes and known in self.table_ms:
                    return known
        return None

    def ms(self, kernels: Sequence[Kernel]) -> FloatArray:
        """Milliseconds of each kernel; NaN where the table has none."""
        found = (self.find(k) for k in kernels)
        return np.array([np.nan if k is None else self.table_ms[k] for k in found])

    def octaves_outside(self, kernels: Sequence[Kernel]) -> FloatArray:
        """0 where the table has the kernel, infinite where it has not."""
        return np.array([np.inf if self.find(k) is None else 0.0 for k in kernels])

    def deviation(self, kernels: Sequence[Kernel]) -> FloatArray:
        """0 where the table has the kernel, infinite where it has not."""
        return self.octaves_outside(kernels)

    def regressors(self) -> KernelModel:
        """Regressors fitted to an even selection of the table, for kernels it lacks."""
        chosen: dict[Kernel, float] = {}
        for kind in KINDS:
            kernels = sorted((k for k in self.table_ms if k.kind == kind), key=lambda k: k.key)
            rows = np.random.default_rng(0).permutation(len(kernels))[:PER_KIND]
            chosen |= {kernels[i]: self.table_ms[kernels[i]] for i in rows}
        return KernelModel.fit(chosen)

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """JSON-ready description and arrays, for `from_state`."""
        kernels = sorted(self.table_ms, key=lambda k: k.key)
        values = np.array([self.table_ms[k] for k in kernels])
        return {"type": "table"}, {
            "table/key": np.array([k.key for k in kernels]),
            "table/ms": values,
        }

    @classmethod
    def from_state(cls, meta: Mapping[str, Any], arrays: Mapping[str, Any]) -> KernelTable:
        """Inverse of `state`."""
        keys, values = arrays["table/key"], arrays["table/ms"]
        return cls({Kernel.from_key(str(k)): float(v) for k, v in zip(keys, values, strict=True)})
