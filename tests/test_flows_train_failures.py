"""Trainings that fail, are interrupted or make no sense: what is said, and what they leave."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from training_flow import QUICK, at_step, short_forecast
from training_small import MICRO

from elasticvit.errors import DataError, NextStep, SettingError, TrainingError, WorkspaceError
from elasticvit.events import Event, Notice
from elasticvit.flows.train import TrainSettings, train
from elasticvit.flows.train_events import TrainProgress
from elasticvit.space import MOBILE
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.data import open_data
from elasticvit.workspace import Workspace

pytestmark = pytest.mark.usefixtures(short_forecast.__name__)


def test_a_report_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    def block(event: Event) -> None:
        if isinstance(event, TrainProgress) and event.done == 2:
            (tmp_path / "run" / "report.html").mkdir()
        if isinstance(event, Notice):
            notices.append(event)

    notices: list[Notice] = []
    result = train(out=tmp_path / "run", **QUICK, panel_every=4, events=block)
    assert result.panel
    assert len(notices) == 3
    assert all(n.warning and "the report was not written" in n.text for n in notices)


@pytest.mark.parametrize("name", ["panel_every", "diagnose_every"])
@pytest.mark.parametrize("value", [-1, 1.5, True])
def test_numbers_of_steps_are_checked(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=f"{name} is {value}") as refused:
        TrainSettings(**{name: value})
    assert list(refused.value.settings) == [name]


def test_images_that_cannot_be_read_are_named_at_the_end(tmp_path: Path) -> None:
    for label, name in enumerate(("a", "b")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(100):
            image = Image.new("RGB", (12, 12), (90 * label, i, 0))
            image.save(tmp_path / "photos" / name / f"{i}.png")
    quick = {**QUICK, "data": str(tmp_path / "photos"), "batch_size": 32}
    train_part = open_data(quick["data"]).train
    bad = Path(train_part.pool.name(int(train_part.rows[5])))
    bad.write_bytes(b"")
    events: list[Event] = []
    result = train(out=tmp_path / "run", events=events.append, **quick)
    assert result.unreadable == 1
    (notice,) = [e for e in events if isinstance(e, Notice)]
    assert notice.text.startswith("1 of 136 training images could not be read")
    assert str(bad) in notice.text


def no_steps(*_: object) -> None:
    raise TrainingError("no step today")


def ctrl_c(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("place", "failure"),
    [
        ("elasticvit.flows.train_job.forecast", ctrl_c),
        ("elasticvit.training.step_engine.run_step", no_steps),
    ],
)
def test_a_training_that_fails_before_a_checkpoint_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, failure: Callable[..., None]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(place, failure if "forecast" in place else lambda *a, **k: failure())
        with pytest.raises((KeyboardInterrupt, TrainingError)):
            train(workspace=tmp_path / "ws", **QUICK)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_an_older_workspace_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    workspace.remember(space=MOBILE, data="digits", device="host")
    before = workspace.settings()
    monkeypatch.setattr("elasticvit.flows.train_job.forecast", ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        train(workspace=workspace, **QUICK)
    assert workspace.settings() == before
    assert [p.name for p in workspace.root.iterdir()] == ["settings.toml"]


def test_ctrl_c_after_a_step_keeps_the_run(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    press = at_step(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(workspace=workspace, events=press, **QUICK)
    (run,) = workspace.folders("run")
    assert Checkpoint.load(run).step == 2
    assert workspace.space() == MICRO
    assert workspace.settings().latest.run is None


def test_a_bad_data_set_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data set 'nothing'"):
        train(workspace=tmp_path / "ws", data="nothing", **QUICK)
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize(
    ("bad", "words", "names"),
    [
        ({"epochs": 0}, "epochs is 0; it must be a whole number from 1", ("epochs",)),
        ({"epochs": 1.5}, "epochs is 1.5", ("epochs",)),
        ({"batch_size": 1}, "batch_size is 1; it must be a whole number from 2", ("batch_size",)),
        ({"lr": 7.0}, r"lr is 7\.0; it must be a number from 5e-06 to 1", ("lr",)),
        ({"lr": float("nan")}, "lr is nan", ("lr",)),
        ({"lr": "fast"}, "lr is 'fast'", ("lr",)),
        ({"epochs": 10**9}, "epochs is 1000000000; it must be .* to 100,000", ("epochs",)),
        ({"batch_size": 10**9}, "batch_size is 1000000000", ("batch_size",)),
        ({"data": "a\0b"}, r"data is 'a\\x00b'", ("data",)),
        ({"complexity": "s"}, "complexity is 's'; it must be one of macs, ms", ("complexity",)),
        ({"device": "host"}, "device is 'host'", ("complexity", "device")),
        ({"resume": True, "fresh": True}, "exclude each other", ("resume", "fresh")),
        ({"seed": -1}, "seed is -1", ("seed",)),
        ({"seed": None}, "seed is None", ("seed",)),
        ({"keep": 0}, "keep is 0; it must be a whole number from 1 to 1,000", ("keep",)),
        ({"resume_from": -1}, "resume_from is -1", ("resume_from",)),
        ({"lr_scale": 0.0}, r"lr_scale is 0\.0; it must be a number from 0\.001", ("lr_scale",)),
        ({"lr_scale": 0.5, "fresh": True}, "lr_scale and fresh exclude", ("lr_scale", "fresh")),
        ({"threads": 0}, "threads is 0; it must be a whole number from 1 to 256", ("threads",)),
        ({"workers": -1}, "workers is -1; it must be a whole number from 0 to 256", ("workers",)),
        ({"precision": "half"}, "it must be one of auto, fp32, bf16, fp16", ("precision",)),
        ({"accumulate": 0}, "accumulate is 0; it must be a whole number from 1", ("accumulate",)),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    bad: dict[str, Any], words: str, names: tuple[str, ...]
) -> None:
    with pytest.raises(SettingError, match=words) as refused:
        TrainSettings(**bad)
    assert refused.value.settings == names


def test_levels_in_ms_need_a_profiled_device(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no device was profiled") as refused:
        train(workspace=tmp_path / "ws", complexity="ms", **QUICK)
    assert refused.value.next_step == NextStep("profile", {"device": "host"})
    assert not (tmp_path / "ws").exists()


def test_an_unknown_setting_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="epoch"):
        train(workspace=tmp_path / "ws", epoch=3)
