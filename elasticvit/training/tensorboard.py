"""Curves of a training for TensorBoard, if the package `tensorboard` is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.files import writing
from elasticvit.training.events import TrainProgress
from elasticvit.training.levels import Levels
from elasticvit.training.panel_result import PanelResult

if TYPE_CHECKING:
    from elasticvit.training.stopwatch import StepTimes
    from elasticvit.training.trainer import Trainer

FOLDER = "tensorboard"


class Board:
    """Writes scalars into a folder of the run.

    Args:
        writer: A `torch.utils.tensorboard.SummaryWriter`.
        folder: Its folder, for messages.
        levels: The complexity levels.
    """

    def __init__(self, writer: Any, folder: Path, levels: Levels) -> None:
        self._writer, self.folder, self.levels = writer, folder, levels

    def losses(self, progress: TrainProgress) -> None:
        """Losses of a step, at its level.

        Raises:
            FileError: They cannot be written.
        """
        losses = progress.losses
        level = self._level(losses.level)
        found = {f"loss/{level}": losses.sampled, f"smallest loss/{level}": losses.smallest}
        self._add(found, progress.done)

    def after_step(self, trainer: Trainer, times: StepTimes) -> None:
        """Learning rate and throughput of a step; as an `Observer` of the trainer.

        Raises:
            FileError: They cannot be written.
        """
        found = {"learning rate": float(trainer.optimiser.param_groups[0]["lr"])}
        if times.step_s > 0:
            found["images a second"] = trainer.config.batch_size / times.step_s
        self._add(found, trainer.step)

    def panel(self, result: PanelResult) -> None:
        """Accuracies of the panel.

        Raises:
            FileError: They cannot be written.
        """
        by_level = {
            f"panel/{self._level(level)}": value for level, value in result.by_level().items()
        }
        ends = {
            "panel/mean": result.mean,
            "panel/smallest": result.smallest.accuracy,
            "panel/largest": result.largest.accuracy,
        }
        self._add(by_level | ends, result.step)
        with writing(self.folder):
            self._writer.flush()

    def _level(self, level: int) -> str:
        return f"{self.levels.values[level]:g} {self.levels.unit}"

    def _add(self, scalars: dict[str, float], step: int) -> None:
        with writing(self.folder):
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left.

        Raises:
            FileError: It cannot be written.
        """
        with writing(self.folder):
            self._writer.close()


def open_board(run: Path, levels: Levels, step: int) -> Board | None:
    """A board in the folder of a run, its curves cut behind a step; None without `tensorboard`.

    Raises:
        FileError: The folder cannot be written to.
    """
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    folder = run / FOLDER
    with writing(folder):
        return Board(SummaryWriter(str(folder), purge_step=step + 1), folder, levels)
