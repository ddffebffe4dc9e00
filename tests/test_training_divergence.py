"""A training that diverges stops before its weights are spoilt, and can be gone on with."""

import csv
import math
from pathlib import Path

import pytest
import torch
from training_small import DATA, config, run_info, sampler, trainer

from elasticvit.errors import CheckpointError, NextStep, TrainingError
from elasticvit.events import Event
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.checkpoint_store import CheckpointStore
from elasticvit.training.events import TrainProgress
from elasticvit.training.loop import run_training
from elasticvit.training.policy import Policy
from elasticvit.training.step import StepLosses
from elasticvit.training.trainer import Trainer
from elasticvit.training.watch import LossWatch, WatchState

CHANCE = math.log(10)


@pytest.fixture(autouse=True)
def no_checkpoints_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticvit.training.loop.CHECKPOINT_S", 1e9)


def watched(*losses: float) -> LossWatch:
    watch = LossWatch(10, 1000)
    for step, loss in enumerate(losses, 1):
        watch.look(step, StepLosses(level=0, sampled=loss, smallest=0.1, accuracy=10.0))
    return watch


@pytest.mark.parametrize(
    ("losses", "risen", "healthy"),
    [
        ((2.4,) * 50, False, True),  # has not learnt yet
        ((2.4,) * 20 + (1.0,) * 100, False, True),
        ((2.4,) * 20 + (1.0,) * 100 + (500.0,), False, True),  # one bad batch
        ((2.4,) * 20 + (1.0,) * 100 + (1.9,) * 60, False, False),
        ((2.4,) * 20 + (1.0,) * 100 + (2.6,) * 60, True, False),
        ((2.4,) * 20 + (1.0,) * 100 + (30.0,) * 12, True, False),
        ((9.0,) * 5 + (2.6,) * 100, False, True),  # a bad start
        ((2.4,) * 10 + (40.0,) * 40, True, False),  # never learnt, and exploded
        ((2.4,) * 10 + (2.8,) * 100, False, True),
    ],
)
def test_a_loss_that_rises_is_told_from_one_that_does_not(
    losses: tuple[float, ...], risen: bool, healthy: bool
) -> None:
    watch = watched(*losses)
    assert (watch.risen is not None, watch.healthy) == (risen, healthy)
    again = LossWatch(10, 1000)
    again.restore(watch.state())
    assert (again.risen, again.healthy) == (watch.risen, watch.healthy)


def test_a_state_of_an_earlier_version_is_gone_on_with() -> None:
    watch = LossWatch(10, 1000)
    watch.restore(WatchState(mean=1.0, warned=False))
    assert (watch.risen, watch.healthy) == (None, True)
    watch.look(500, StepLosses(level=0, sampled=1.0, smallest=0.1, accuracy=10.0))
    assert (watch.risen, watch.healthy) == (None, True)


class Enough(Exception):
    pass


def stop_at(step: int):  # type: ignore[no-untyped-def]
    def stop(event: Event) -> None:
        if isinstance(event, TrainProgress) and event.done == step:
            raise Enough

    return stop


def going_on(**policy: object) -> Trainer:
    return Trainer(run_info(config()), DATA, sampler(), policy=Policy(**policy))  # type: ignore[arg-type]


def rates(run: Path) -> list[float]:
    with (run / "log.csv").open(newline="") as file:
        return [float(row["lr"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole")
    run_training(trainer(), run)
    return run


def test_a_gradient_that_is_no_number_stops_before_the_weights_are_touched(tmp_path: Path) -> None:
    with pytest.raises(Enough):
        run_training(trainer(), tmp_path, stop_at(3))
    job = trainer()
    poisoned = dict(job.supernet.named_parameters())["blocks.head_0_block.classifier.weight"]
    poisoned.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(
        TrainingError, match="diverged at step 3: a gradient is not a nu"
    ) as stopped:
        run_training(job, tmp_path)
    text = str(stopped.value)
    draw = _fourth_draw()
    assert all(str(arch) in text for arch in (*draw.archs, *draw.students))
    assert f"the last good checkpoint is that of step 3 in {tmp_path}" in text
    assert stopped.value.next_step == NextStep("train", {"lr_scale": 0.5})
    assert stopped.value.settings == ("lr_scale", "lr", "fresh")
    assert all(torch.isfinite(p).all() for p in job.supernet.parameters())
    assert Checkpoint.load(tmp_path).step == 3


def _fourth_draw():  # type: ignore[no-untyped-def]
    walk = sampler()
    return [walk.draw() for _ in range(4)][-1]


def test_a_risen_loss_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    job = trainer()
    job.watch.restore(WatchState(mean=1.0, warned=False, first=2.3, lowest=1.0, trend=1.0))
    job.save(tmp_path)
    job.watch.restore(WatchState(mean=2.0, warned=False, first=2.3, lowest=1.0, trend=2.31))
    job.step = 1
    job.save(tmp_path)
    with pytest.raises(TrainingError, match=r"step 1: the running mean of the loss has") as stopped:
        run_training(trainer(), tmp_path)
    assert "the last good checkpoint is that of step 0" in str(stopped.value)
    again = {"resume_from": 0, "lr_scale": 0.5}
    assert stopped.value.next_step == NextStep("train", again)
    run_training(going_on(**again), tmp_path, lambda event: None)
    assert rates(tmp_path)[0] == pytest.approx(0.5 * 0.01 * 5e-3)


def test_learning_rates_are_scaled_from_there_on_and_the_run_stays_the_same(
    tmp_path: Path, whole: Path
) -> None:
    with pytest.raises(Enough):
        run_training(trainer(), tmp_path, stop_at(8))
    with pytest.raises(Enough):
        run_training(going_on(lr_scale=0.25), tmp_path, stop_at(12))
    run_training(trainer(), tmp_path)  # without a factor it stays what it was
    factors = [a / b for a, b in zip(rates(tmp_path), rates(whole), strict=True)]
    assert factors == pytest.approx([1.0] * 8 + [0.25] * 11, rel=1e-3)
    checkpoint = Checkpoint.load(tmp_path)
    assert checkpoint.info == Checkpoint.load(whole).info
    assert checkpoint.trainer is not None
    assert checkpoint.trainer.lr_scale == 0.25


def test_a_run_gone_on_with_from_an_earlier_step_ends_with_the_same_weights(
    tmp_path: Path, whole: Path
) -> None:
    with pytest.raises(Enough):
        run_training(trainer(), tmp_path, stop_at(4))
    with pytest.raises(Enough):
        run_training(trainer(), tmp_path, stop_at(7))
    CheckpointStore(tmp_path).mark_best(7, 50.0)
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 5; .* of steps 4, 7"):
        run_training(going_on(resume_from=5), tmp_path)
    with pytest.raises(Enough):
        run_training(going_on(resume_from=4), tmp_path, stop_at(5))
    assert CheckpointStore(tmp_path).steps() == [4, 5]
    assert CheckpointStore(tmp_path).marks().best is None
    run_training(trainer(), tmp_path)
    expected, got = Checkpoint.load(whole).weights, Checkpoint.load(tmp_path).weights
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert rates(tmp_path) == rates(whole)
