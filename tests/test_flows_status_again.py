"""The command that `evit-status` prints after an interruption goes on with the same work."""

import os
import shlex
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from small_search import (
    add_predictor,
    few_images,  # noqa: F401 (fixture)
    one_thread,  # noqa: F401 (fixture)
    workspace_with_run,
)
from training_small import MICRO

import elasticvit as ev
from elasticvit.cli import profile, search, train
from elasticvit.cli.command import command_line
from elasticvit.cpu_setting import CpuSetting
from elasticvit.errors import CheckpointError, NextStep
from elasticvit.events import Event
from elasticvit.flows.profile import ProfileProgress
from elasticvit.flows.search_events import SearchProgress
from elasticvit.flows.status import status
from elasticvit.flows.train_events import RunFound, TrainProgress

COMMANDS = {"profile": profile.main, "search": search.main, "train": train.main}


class Interrupted(Exception):
    """In place of Ctrl-C, which only the main thread gets."""


class Stop:
    """Handler that interrupts a flow after a number of events of a kind."""

    def __init__(self, kind: type, count: int) -> None:
        self.kind, self.left = kind, count

    def __call__(self, event: Event) -> None:
        self.left -= isinstance(event, self.kind)
        if not self.left:
            raise Interrupted


def typed(step: NextStep, workspace: Path) -> str:
    """The output of the command of a step, run as it is printed."""
    flow, *words = shlex.split(command_line(step, workspace=str(workspace)))
    done = CliRunner().invoke(COMMANDS[flow.removeprefix("evit-")], words)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.usefixtures("few_images", "one_thread")
def test_an_interrupted_search_is_resumed(tmp_path: Path) -> None:
    workspace = workspace_with_run(tmp_path / "ws")
    asked = {
        "target": {"mmacs": [0.4, 0.6], "size": 1.0},
        "evaluations": 30,
        "top": 2,
        "verify": 0,
        "keep": {"resolution": 16},
        "start": (),
        "seed": 3,
    }
    with pytest.raises(Interrupted):
        ev.search(workspace=workspace, events=Stop(SearchProgress, 1), **asked)
    found = status(workspace)
    assert found.next_step == NextStep("search", {**asked, "start": []})
    assert "going on with" in typed(found.next_step, workspace.root)
    (finished,) = status(workspace).searches
    assert finished.finished
    for file in finished.folder.iterdir():  # as `cp -r` changes them
        os.utime(file, (2e9, 2e9))
    assert status(workspace).searches[0].changed_s == finished.changed_s < time.time() < 2e9


@pytest.mark.usefixtures("few_images", "one_thread")
def test_a_search_is_resumed_though_the_device_was_profiled_with_other_threads(
    tmp_path: Path,
) -> None:
    workspace = workspace_with_run(tmp_path / "ws")
    one, four = CpuSetting(), CpuSetting(4, "big")
    for cpu, slower in ((four, 1.0), (one, 2.0)):
        place = workspace.predictor_path("phone", cpu=cpu)
        predictor = add_predictor(place, "phone", ms_per_mmac=slower, upper=1.1)
        replace(predictor, cpu=cpu).save(place)
        workspace.remember(device="phone", cpu=cpu)
    asked = {"target_ms": 2.0, "evaluations": 30, "verify": 0}
    with pytest.raises(Interrupted):
        ev.search(workspace=workspace, events=Stop(SearchProgress, 1), **asked)
    step = status(workspace).next_step
    assert step == NextStep("search", {**asked, "device": ["phone"]})
    workspace.remember(device="phone", cpu=four)
    step = status(workspace).next_step
    assert (step.settings["device_threads"], step.settings["device_cores"]) == (1, "auto")
    assert "going on with" in typed(step, workspace.root)


@pytest.mark.usefixtures("one_thread")
def test_an_interrupted_training_is_resumed(tmp_path: Path) -> None:
    root, file = tmp_path / "ws", tmp_path / "micro.toml"
    file.write_text(MICRO.to_toml())
    asked = {"space": str(file), "epochs": 1, "batch_size": 128, "lr": 0.002, "bank": False}
    with pytest.raises(Interrupted):
        ev.train(workspace=root, events=Stop(TrainProgress, 3), fresh=True, **asked)
    found = status(root)
    assert found.next_step == NextStep("train", {**asked, "data": "digits"})
    (interrupted,) = found.runs
    told: list[Event] = []
    typed(found.next_step, root)
    ev.train(workspace=root, events=told.append, **asked)
    assert RunFound(folder=interrupted.folder, finished=True) in told


@pytest.mark.usefixtures("one_thread")
def test_a_training_whose_checkpoint_is_damaged_names_the_same_training(tmp_path: Path) -> None:
    asked = {"space": "tiny", "epochs": 1, "batch_size": 512, "lr": 0.002, "bank": False}
    with pytest.raises(Interrupted):
        ev.train(workspace=tmp_path, events=Stop(TrainProgress, 1), **asked)
    (run,) = status(tmp_path).runs
    for file in run.folder.glob("checkpoints/*.safetensors"):
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(CheckpointError) as damaged:
        ev.train(workspace=tmp_path, **asked)
    step = damaged.value.next_step
    assert step == NextStep("train", {**asked, "data": "digits", "fresh": True})
    assert "--lr 0.002" in command_line(step)


def test_an_interrupted_first_profile_is_resumed(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    asked = {"device": ["fake"], "space": "tiny", "budget_minutes": 0.02, "rounds": 2, "seed": 1}
    with pytest.raises(Interrupted):
        ev.profile(workspace=root, events=Stop(ProfileProgress, 9), **{**asked, "device": "fake"})
    found = status(root)
    assert found.next_step == NextStep("profile", asked)
    typed(found.next_step, root)
    assert status(root).next_step == NextStep("train")
    assert not (root / "profiles").exists()
