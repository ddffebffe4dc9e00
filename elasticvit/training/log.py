"""The CSV log of a run: one row a step, readable while it grows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from elasticvit.errors import CheckpointError
from elasticvit.reading import Count, NotNegative, Percent, Whole
from elasticvit.training.levels import Levels
from elasticvit.training.run_info import LOG_FILE
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.step import StepLosses
from elasticvit.training.step_table import StepTable, table_format
from elasticvit.training.stopwatch import StepTimes

CHOICES = ("uniform", "preference", "bank", "fixed")  # how a subnet of a step can have been chosen


class LogRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the log says of a step.

    The attributes from `seconds` on are None in rows that an earlier version wrote.

    Attributes:
        step: Number of steps done.
        epoch: Index of the epoch, from 0.
        lr: Learning rate.
        level: Lower edge of the complexity level.
        level_unit: Unit of the complexity levels, `MMACs` or `ms`.
        loss: Mean cross entropy of the sampled subnets.
        smallest_loss: Divergence of the smallest subnet from the mean of the sampled ones.
        accuracy_pct: Training accuracy of the sampled subnets, in percent.
        seconds: Seconds of the step: the three that follow.
        data_s, compute_s, update_s: Its parts, as in `StepTimes`.
        checkpoint_s, judging_s: Seconds of what was done since the step before.
        images_per_s: Images of the step, over all ranks, by its seconds.
        uniform: Number of sampled subnets that were drawn uniformly.
        preference: Number of those that the path preference rule chose.
        bank: Number of those that come from the memory bank.
        fixed: Number of those that the rule of sampling fixes, such as the largest one.
    """

    step: Whole
    epoch: Count
    lr: NotNegative
    level: NotNegative
    level_unit: str
    loss: float
    smallest_loss: float
    accuracy_pct: Percent
    seconds: NotNegative | None = None
    data_s: NotNegative | None = None
    compute_s: NotNegative | None = None
    update_s: NotNegative | None = None
    checkpoint_s: NotNegative | None = None
    judging_s: NotNegative | None = None
    images_per_s: NotNegative | None = None
    uniform: Count | None = None
    preference: Count | None = None
    bank: Count | None = None
    fixed: Count | None = None


COLUMNS = LogRow.__struct_fields__
LOG_TABLE = table_format(
    LogRow,
    what="the log of a training run",
    error=CheckpointError,
    mend="put a good copy back, or remove it: training goes on without the rows of earlier steps",
)


class TrainingLog:
    """Appends to `log.csv`.

    Args:
        run: Folder of the run.
        levels: Complexity levels of the run.
        step: Number of steps done; rows of later ones are dropped.
        batch_size: Images a step, over all ranks.

    Raises:
        CheckpointError: There is a log that is damaged.
        FileError: The log cannot be written.
    """

    def __init__(self, run: Path, levels: Levels, step: int, batch_size: int = 0) -> None:
        self.path, self.levels, self.batch_size = run / LOG_FILE, levels, batch_size
        self._table = StepTable(self.path, LOG_TABLE, step)

    def add(
        self,
        step: int,
        epoch: int,
        lr: float,
        losses: StepLosses,
        times: StepTimes | None = None,
        draw: Draw | None = None,
    ) -> None:
        """Append the row of a step.

        Args:
            step: Number of steps done.
            epoch: Index of the epoch, from 0.
            lr: Learning rate of the step.
            losses: Its losses.
            times: Where its time went.
            draw: Its subnets.

        Raises:
            FileError: The log cannot be written.
        """
        row: dict[str, object] = {
            "step": step,
            "epoch": epoch,
            "lr": f"{lr:.6g}",
            "level": f"{self.levels.values[losses.level]:g}",
            "level_unit": self.levels.unit,
            "loss": f"{losses.sampled:.6f}",
            "smallest_loss": f"{losses.smallest:.6f}",
            "accuracy_pct": f"{losses.accuracy:.3f}",
        }
        if times is not None and times.step_s > 0:
            row |= {name: f"{seconds:.6f}" for name, seconds in vars(times).items()}
            row["seconds"] = f"{times.step_s:.6f}"
            row["images_per_s"] = f"{self.batch_size / times.step_s:.6g}"
        if draw is not None:
            row |= chosen(draw)
        self._table.add([row])


def chosen(draw: Draw) -> dict[str, int]:
    """How many of a step's sampled subnets each way of choosing chose."""
    counts = Counter[str](draw.chosen)
    return {name: counts[name] for name in CHOICES}
