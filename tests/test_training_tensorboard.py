"""Curves for TensorBoard, with a stand-in for its writer: the package is no dependency."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from training_small import MICRO, sampler

from elasticvit.cost import MacsCost
from elasticvit.errors import FileError
from elasticvit.training import tensorboard
from elasticvit.training.events import TrainProgress
from elasticvit.training.panel import choose_panel
from elasticvit.training.panel_result import PanelAccuracy, PanelResult
from elasticvit.training.step import StepLosses
from elasticvit.training.stopwatch import StepTimes
from elasticvit.training.tensorboard import Board, open_board

LEVELS = sampler().levels


class Writer:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.scalars: dict[tuple[str, int], float] = {}

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars[name, step] = value

    def flush(self) -> None:
        pass

    close = flush


def trainer(step: int) -> Any:
    optimiser = SimpleNamespace(param_groups=[{"lr": 0.01}])
    config = SimpleNamespace(batch_size=64)
    return SimpleNamespace(step=step, optimiser=optimiser, config=config)


def test_losses_by_level_rate_throughput_and_panel_are_written(tmp_path: Path) -> None:
    writer = Writer()
    board = Board(writer, tmp_path, LEVELS)
    losses = StepLosses(level=2, sampled=1.5, smallest=0.25, accuracy=50.0)
    board.losses(TrainProgress(done=7, total=9, epoch=0, losses=losses))
    board.after_step(trainer(7), StepTimes(compute_s=2.0))
    panel = choose_panel(MICRO, MacsCost(MICRO), LEVELS, 0)
    subnets = tuple(PanelAccuracy.of(member, 40.0, 100) for member in panel.members)
    board.panel(PanelResult(step=7, subnets=subnets))
    level = f"{LEVELS.values[2]:g} MMACs"
    assert writer.scalars[f"loss/{level}", 7] == 1.5
    assert writer.scalars[f"smallest loss/{level}", 7] == 0.25
    assert writer.scalars["learning rate", 7] == 0.01
    assert writer.scalars["images a second", 7] == 32.0
    assert writer.scalars["panel/mean", 7] == pytest.approx(40.0)
    assert writer.scalars[f"panel/{level}", 7] == pytest.approx(40.0)


def test_without_the_package_there_is_no_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    assert open_board(tmp_path, LEVELS, 0) is None
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    class Full(Writer):
        def add_scalar(self, name: str, value: float, step: int) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match="No space left on device"):
        Board(Full(), tmp_path, LEVELS).after_step(trainer(1), StepTimes())
