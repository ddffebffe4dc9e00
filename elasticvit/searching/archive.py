"""Everything that a search has evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray, IndexArray
from elasticvit.searching.pareto import on_front


@dataclass(frozen=True, kw_only=True, eq=False)
class Archive:
    """All evaluated architectures, in the order of evaluation.

    Attributes:
        archs: The architectures, n of them, all distinct and under the caps.
        accuracy: Accuracies as the search's evaluator gave them, shape (n,).
        load: Largest share of a target that each uses up, shape (n,).
        born: Number of the generation of each, shape (n,); 0 is the initial population.
        complete: Whether every generation was done; False when the search was stopped before.
    """

    archs: ArchBatch
    accuracy: FloatArray
    load: FloatArray
    born: IndexArray
    complete: bool

    def rows(self, chosen: npt.NDArray[Any]) -> Archive:
        """The architectures at some rows (indices or a mask)."""
        return Archive(
            archs=self.archs.take(chosen),
            accuracy=self.accuracy[chosen],
            load=self.load[chosen],
            born=self.born[chosen],
            complete=self.complete,
        )

    def ranking(self) -> IndexArray:
        """Rows from the best: highest accuracy, then lowest load, then first evaluated."""
        return best_first(self.accuracy, self.load)

    def front(self, cost: FloatArray | None = None) -> IndexArray:
        """Rows that no other beats in accuracy and costs, cheapest first.

        Of architectures that are equal in all only the first evaluated one is given.

        Args:
            cost: A cost, shape (n,), or k costs, shape (n, k); the load by default.
        """
        cost = self.load if cost is None else cost
        points = np.column_stack([cost, -self.accuracy])
        rows = np.flatnonzero(on_front(points))
        _, first = np.unique(points[rows], axis=0, return_index=True)
        return rows[first]


def best_first(accuracy: FloatArray, load: FloatArray) -> IndexArray:
    """Row numbers by falling accuracy; equal ones by rising load, then by number."""
    return np.lexsort((load, -accuracy))
