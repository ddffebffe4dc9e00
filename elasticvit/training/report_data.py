"""What the report of a training shows, read from the folder of the run. This module does not load
torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from elasticvit.training.diagnosis_table import DiagnosisRow, read_diagnosis
from elasticvit.training.distillation import Distillation
from elasticvit.training.log import LOG_TABLE, LogRow
from elasticvit.training.panel import Panel
from elasticvit.training.panel_result import PanelResult, read_panel
from elasticvit.training.run_info import LOG_FILE, RunInfo


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Content of the report of a training.

    Attributes:
        name: Name of the run.
        facts: What is trained, in the order shown.
        settings: Settings of the training, in the order shown.
        levels: Lower edges of the complexity levels that are trained, rising.
        panel_levels: Lower edges of those that the panel and the diagnosis are of.
        unit: Unit of the complexity levels, `MMACs` or `ms`.
        rows: Rows of the log.
        panel: Judgements of the panel, in the order of the steps.
        diagnosis: Rows of the diagnoses.
    """

    name: str
    facts: Mapping[str, str]
    settings: Mapping[str, str]
    levels: Sequence[float]
    panel_levels: Sequence[float]
    unit: str
    rows: Sequence[LogRow]
    panel: Sequence[PanelResult] = ()
    diagnosis: Sequence[DiagnosisRow] = ()

    @classmethod
    def of(cls, run: Path, info: RunInfo, panel: Panel, steps: int) -> ReportData:
        """What the folder of a run holds now.

        Args:
            run: The folder.
            info: What the run is.
            panel: Its panel.
            steps: Number of steps of the whole run.

        Raises:
            CheckpointError: A table in the folder is damaged.
        """
        rows = LOG_TABLE.read(run / LOG_FILE)
        settings = {
            name: _text(value)
            for name, value in vars(info.settings).items()
            if name not in ("levels", "level_unit")
        }
        levels = info.settings.levels or tuple(sorted({row.level for row in rows}))
        done = rows[-1].step if rows else 0
        return cls(
            name=run.name,
            facts={
                "space": info.space.name,
                "data": info.data,
                "classes": f"{info.space.layout.classes:,}",
                "seed": str(info.seed),
                "steps": f"{done:,} of {steps:,}",
                f"complexity levels, {panel.unit}": ", ".join(f"{value:g}" for value in levels),
            },
            settings=settings,
            levels=levels,
            panel_levels=panel.levels,
            unit=panel.unit,
            rows=rows,
            panel=read_panel(run),
            diagnosis=read_diagnosis(run),
        )

    def level_name(self, level: int) -> str:
        """Name of a level that is trained, by its index, such as `300 MMACs`."""
        return f"{self.levels[level]:g} {self.unit}"

    def panel_level_name(self, level: int) -> str:
        """Name of a level of the panel, by its index."""
        return f"{self.panel_levels[level]:g} {self.unit}"

    def index(self, value: float) -> int:
        """Index of the level that a row of the log names by its lower edge."""
        return min(range(len(self.levels)), key=lambda i: abs(self.levels[i] - value))


def _text(value: object) -> str:
    """A setting for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Distillation):
        return value.described or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    return str(value) if value not in (None, "") else "none"
