"""The CSV log of a run: one row a step, readable while it grows."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from elasticvit.files import write_atomic
from elasticvit.training.checkpoint import LOG_FILE
from elasticvit.training.levels import Levels
from elasticvit.training.step import StepLosses

COLUMNS = ("step", "epoch", "lr", "level", "level_unit", "loss", "smallest_loss", "accuracy_pct")


class TrainingLog:
    """Appends to `log.csv`.

    Rows of steps that are about to be done again, because the run was killed behind its last
    checkpoint, are dropped first.

    Args:
        run: Folder of the run.
        levels: Complexity levels of the run.
        step: Number of steps done.
    """

    def __init__(self, run: Path, levels: Levels, step: int) -> None:
        self.path, self.levels = run / LOG_FILE, levels
        rows = []
        if self.path.exists():
            with self.path.open(newline="") as file:
                rows = [row for row in csv.reader(file) if len(row) == len(COLUMNS)][1:]
        kept = [row for row in rows if row[0].isdigit() and int(row[0]) <= step]
        text = io.StringIO()
        csv.writer(text).writerows([COLUMNS, *kept])
        write_atomic(self.path, text.getvalue())

    def add(self, step: int, epoch: int, lr: float, losses: StepLosses) -> None:
        """Append the row of a step."""
        row = (
            step,
            epoch,
            f"{lr:.6g}",
            f"{self.levels.values[losses.level]:g}",
            self.levels.unit,
            f"{losses.sampled:.6f}",
            f"{losses.smallest:.6f}",
            f"{losses.accuracy:.3f}",
        )
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(row)
