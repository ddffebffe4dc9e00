"""How accurate the subnets of the panel are after some steps, and the table of these figures in
the run's folder, `panel.csv`. This module does not load torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from elasticvit.arch import Arch
from elasticvit.errors import ArchError, CheckpointError
from elasticvit.reading import Count, Percent, Positive, Whole
from elasticvit.training.panel import Panel, PanelMember
from elasticvit.training.step_table import StepTable, table_format

PANEL_TABLE_FILE = "panel.csv"


@dataclass(frozen=True, kw_only=True)
class PanelAccuracy:
    """Accuracy of one subnet of the panel, batch norm recalibrated.

    Attributes:
        name: Its name in the panel.
        level: Index of its complexity level; None for the smallest and the largest subnet.
        arch: The architecture.
        macs_m: Multiply-accumulates, in millions.
        cost: Cost in the unit of the complexity levels.
        accuracy: Top-1 accuracy on held-out images, in percent.
        standard_error: Standard error of the accuracy by the choice of images, in percent.
        images: Number of these images.
    """

    name: str
    level: Count | None
    arch: Arch
    macs_m: Positive
    cost: Positive
    accuracy: Percent
    standard_error: Percent
    images: Whole

    @classmethod
    def of(cls, member: PanelMember, accuracy: float, images: int) -> PanelAccuracy:
        """A member's accuracy on a number of images, with its standard error."""
        error = math.sqrt(accuracy * (100.0 - accuracy) / images)
        return cls(**vars(member), accuracy=accuracy, standard_error=error, images=images)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**vars(self), "arch": self.arch.to_dict()}


@dataclass(frozen=True, kw_only=True)
class PanelResult:
    """The whole panel judged once, all subnets on the same images.

    Attributes:
        step: Number of steps done.
        subnets: Accuracies, in the order of the panel.
    """

    step: int
    subnets: tuple[PanelAccuracy, ...]

    @property
    def mean(self) -> float:
        """Mean accuracy of the panel, in percent: the score of the supernet at this step."""
        return statistics.fmean(subnet.accuracy for subnet in self.subnets)

    @property
    def smallest(self) -> PanelAccuracy:
        """The smallest subnet of the space."""
        return self.subnets[0]

    @property
    def largest(self) -> PanelAccuracy:
        """The largest subnet of the space."""
        return self.subnets[-1]

    @property
    def images(self) -> int:
        """Number of held-out images that each subnet was judged by."""
        return self.subnets[0].images

    def by_level(self) -> dict[int, float]:
        """Mean accuracy of the subnets of each complexity level, by its index."""
        found: dict[int, list[float]] = {}
        for subnet in self.subnets:
            if subnet.level is not None:
                found.setdefault(subnet.level, []).append(subnet.accuracy)
        return {level: statistics.fmean(values) for level, values in found.items()}


class PanelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `panel.csv`: one subnet at one step; see `PanelAccuracy`.

    Attributes:
        step: Number of steps done.
        arch: The architecture, as text.
        cost_unit: Unit of the cost and of the complexity levels.
    """

    step: Whole
    name: str
    level: Count | None
    arch: str
    macs_m: Positive
    cost: Positive
    cost_unit: str
    accuracy_pct: Percent
    standard_error_pct: Percent
    images: Whole


PANEL_TABLE = table_format(
    PanelRow,
    what="the table of the panel's accuracies",
    error=CheckpointError,
    mend="put a good copy back, or remove it: training goes on without the rows of earlier steps",
)


class PanelLog:
    """Appends to `panel.csv`.

    Args:
        run: Folder of the run.
        panel: The panel.
        step: Number of steps done; what was judged at later ones is dropped.

    Attributes:
        results: What was judged up to now, in the order of the steps.

    Raises:
        CheckpointError: There is a table that is damaged.
        FileError: The table cannot be written.
    """

    def __init__(self, run: Path, panel: Panel, step: int) -> None:
        path = run / PANEL_TABLE_FILE
        self.unit, self._table = panel.unit, StepTable(path, PANEL_TABLE, step)
        self.results = panel_results(self._table.rows, path)
        if self.results and len(self.results[-1].subnets) != len(panel.members):
            cut = self.results.pop()  # the run was killed while it was written
            self._table = StepTable(path, PANEL_TABLE, cut.step - 1)

    def add(self, result: PanelResult) -> None:
        """Append the rows of a judgement.

        Raises:
            FileError: The table cannot be written.
        """
        self.results.append(result)
        self._table.add(
            {
                "step": result.step,
                "name": subnet.name,
                "level": subnet.level,
                "arch": str(subnet.arch),
                "macs_m": repr(subnet.macs_m),
                "cost": repr(subnet.cost),
                "cost_unit": self.unit,
                "accuracy_pct": repr(subnet.accuracy),
                "standard_error_pct": repr(subnet.standard_error),
                "images": subnet.images,
            }
            for subnet in result.subnets
        )


def panel_results(rows: Sequence[PanelRow], path: Path) -> list[PanelResult]:
    """The judgements that the rows of a table hold.

    Args:
        rows: Rows of `panel.csv`.
        path: Its path, for messages.

    Raises:
        CheckpointError: A row holds no architecture.
    """
    found: dict[int, list[PanelAccuracy]] = {}
    for number, row in enumerate(rows, 2):
        try:
            arch = Arch.parse(row.arch)
        except ArchError as error:
            raise PANEL_TABLE.format.failure(f"{path}: line {number}: {error}") from error
        found.setdefault(row.step, []).append(
            PanelAccuracy(
                name=row.name,
                level=row.level,
                arch=arch,
                macs_m=row.macs_m,
                cost=row.cost,
                accuracy=row.accuracy_pct,
                standard_error=row.standard_error_pct,
                images=row.images,
            )
        )
    return [PanelResult(step=step, subnets=tuple(subnets)) for step, subnets in found.items()]


def read_panel(run: Path) -> list[PanelResult]:
    """The judgements of a run, in the order of the steps; none if there is no table.

    Raises:
        CheckpointError: The table is damaged.
    """
    path = run / PANEL_TABLE_FILE
    return panel_results(PANEL_TABLE.read(path), path)
