"""Which pairs of subnets a diagnosis compared and what came out, `diagnosis.csv` in the run's
folder. This module does not load torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from elasticvit.errors import CheckpointError
from elasticvit.reading import Count, Positive, Whole
from elasticvit.training.step_table import StepTable, table_format

DIAGNOSIS_FILE = "diagnosis.csv"
ACROSS, GOOD, RANDOM = "across", "good", "random"  # kinds of pairs
Cosine = Annotated[float, Meta(ge=-1.001, le=1.001)]


class DiagnosisRow(msgspec.Struct, frozen=True, kw_only=True):
    """The gradients of a pair of subnets.

    Attributes:
        step: Number of steps done.
        pair: `across` for a pair drawn over all complexity levels, `good` and `random` for pairs
            within one level: among its best known subnets, and drawn uniformly from its band.
        level: Index of that level; None for a pair over all levels.
        arch_a, arch_b: The architectures, as text.
        cost_a, cost_b: Their costs.
        cost_unit: Unit of the costs and of the complexity levels.
        cosine: Cosine similarity of the gradients (see `gradient_cosines`).
    """

    step: Whole
    pair: str
    level: Count | None
    arch_a: str
    arch_b: str
    cost_a: Positive
    cost_b: Positive
    cost_unit: str
    cosine: Cosine

    @property
    def distance(self) -> float:
        """Difference of the two costs."""
        return abs(self.cost_a - self.cost_b)


DIAGNOSIS_TABLE = table_format(
    DiagnosisRow,
    what="the table of diagnoses",
    error=CheckpointError,
    mend="put a good copy back, or remove it: training goes on without the rows of earlier steps",
)


def diagnosis_log(run: Path, step: int) -> StepTable[DiagnosisRow]:
    """The table of a run's folder, to append to; rows of steps that are done again are dropped.

    Raises:
        CheckpointError: There is a table that is damaged.
        FileError: The table cannot be written.
    """
    return StepTable(run / DIAGNOSIS_FILE, DIAGNOSIS_TABLE, step)


def read_diagnosis(run: Path) -> list[DiagnosisRow]:
    """The rows of a run's diagnoses; none if there are none.

    Raises:
        CheckpointError: The table is damaged.
    """
    return DIAGNOSIS_TABLE.read(run / DIAGNOSIS_FILE)
