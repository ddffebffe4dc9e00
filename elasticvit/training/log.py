"""The CSV log of a run: one row a step, readable while it grows."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import msgspec

from elasticvit.errors import CheckpointError
from elasticvit.files import write_atomic, writing
from elasticvit.reading import Count, Format, NotNegative, Percent, Whole
from elasticvit.training.levels import Levels
from elasticvit.training.run_info import LOG_FILE
from elasticvit.training.step import StepLosses


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the log says of a step.

    Attributes:
        step: Number of steps done.
        epoch: Index of the epoch, from 0.
        lr: Learning rate.
        level: Lower edge of the complexity level.
        level_unit: Unit of the complexity levels, `MMACs` or `ms`.
        loss: Mean cross entropy of the sampled subnets.
        smallest_loss: Divergence of the smallest subnet from the mean of the sampled ones.
        accuracy_pct: Training accuracy of the sampled subnets, in percent.
    """

    step: Whole
    epoch: Count
    lr: NotNegative
    level: NotNegative
    level_unit: str
    loss: float
    smallest_loss: float
    accuracy_pct: Percent


class LogRows(msgspec.Struct, frozen=True):
    """The content of a log."""

    rows: tuple[LogRow, ...]


COLUMNS = LogRow.__struct_fields__
LOG_FORMAT = Format(
    kind=LogRows,
    what="the log of a training run",
    error=CheckpointError,
    mend="put a good copy back, or remove it: training goes on without the rows of earlier steps",
)


class TrainingLog:
    """Appends to `log.csv`.

    Rows of steps that are about to be done again, because the run was killed behind its last
    checkpoint, are dropped first, and so is a last row that was not written to its end.

    Args:
        run: Folder of the run.
        levels: Complexity levels of the run.
        step: Number of steps done.

    Raises:
        CheckpointError: There is a log that is damaged.
        FileError: The log cannot be written.
    """

    def __init__(self, run: Path, levels: Levels, step: int) -> None:
        self.path, self.levels = run / LOG_FILE, levels
        kept = [row for row in _rows(self.path) if int(row[0]) <= step]
        text = io.StringIO()
        csv.writer(text).writerows([COLUMNS, *kept])
        write_atomic(self.path, text.getvalue())

    def add(self, step: int, epoch: int, lr: float, losses: StepLosses) -> None:
        """Append the row of a step.

        Raises:
            FileError: The log cannot be written.
        """
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
        with writing(self.path), self.path.open("a", newline="") as file:
            csv.writer(file).writerow(row)


def _rows(path: Path) -> list[list[str]]:
    """The rows of a log, checked; none if there is no log.

    Raises:
        CheckpointError: The log is damaged.
    """
    if not path.exists():
        return []
    raw = LOG_FORMAT.read_bytes(path)
    whole = raw[: raw.rfind(b"\n") + 1]  # a run that was killed may leave a part of a row
    try:
        header, *rows = list(csv.reader(io.StringIO(whole.decode(), newline=""))) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise LOG_FORMAT.failure(f"{path} is not a table of comma-separated values") from error
    if tuple(header) != COLUMNS and raw:
        raise LOG_FORMAT.failure(f"{path} does not begin with the columns {', '.join(COLUMNS)}")
    for number, row in enumerate(rows, 2):
        if len(row) != len(COLUMNS):
            raise LOG_FORMAT.failure(
                f"{path}: line {number} has {len(row)} values; there are {len(COLUMNS)} columns"
            )
    plain = [dict(zip(COLUMNS, map(_value, row), strict=True)) for row in rows]
    LOG_FORMAT.parse({"rows": plain}, str(path))
    return rows


def _value(text: str) -> Any:
    """The number that a text is, or the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
