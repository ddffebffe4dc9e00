"""The train flow as a library calls it: events, results, going on, and what failures leave."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_forms import files_of
from PIL import ExifTags, Image
from training_small import MICRO

from elasticvit.errors import (
    CheckpointError,
    DataError,
    NextStep,
    SettingError,
    TrainingError,
    WorkspaceError,
)
from elasticvit.events import Event, Notice, Phase
from elasticvit.flows.train import TrainResult, TrainSettings, train
from elasticvit.flows.train_events import (
    PanelJudged,
    RunFound,
    TrainingForecast,
    TrainingPlanned,
    TrainProgress,
)
from elasticvit.space import MOBILE
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.data import open_data
from elasticvit.training.diagnosis_table import read_diagnosis
from elasticvit.training.run_info import RunInfo
from elasticvit.workspace import Workspace

QUICK: dict[str, Any] = {"space": MICRO, "epochs": 1, "batch_size": 128, "threads": 1}


@pytest.fixture(autouse=True)
def short_forecast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticvit.training.probe.BUDGET_S", 0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, list[Event], Workspace]:
    """A training without interruption, and what it reported."""
    workspace = Workspace.open(tmp_path_factory.mktemp("trained") / "ws")
    events: list[Event] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elasticvit.training.probe.BUDGET_S", 0.0)
        result = train(workspace=workspace, events=events.append, **QUICK)
    return result, events, workspace


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """A data set of three classes in folders: images that are red, green or blue."""
    rng = np.random.default_rng(0)
    for label, colour in enumerate(("red", "green", "blue")):
        folder = tmp_path / "shapes" / colour
        folder.mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(0, 80, (12, 12, 3), dtype=np.uint8)
            pixels[..., label] += 150
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "shapes"


def weights(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = Checkpoint.load(run)
    return {**checkpoint.weights, **{f"ema {k}": v for k, v in checkpoint.ema.items()}}


def at_step(step: int, act: Callable[[], None]) -> Callable[[Event], None]:
    """An event handler that acts after a step."""

    def handle(event: Event) -> None:
        if isinstance(event, TrainProgress) and event.done == step:
            act()

    return handle


class Enough(Exception):
    """What a caller raises to stop a flow."""


def enough() -> None:
    raise Enough


def test_a_run_of_an_earlier_version_that_turned_no_photograph_is_not_gone_on_with(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (shapes / "red").iterdir():
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 3
        Image.open(file).save(file, exif=exif)
    settings = {**QUICK, "data": str(shapes), "batch_size": 16, "workspace": tmp_path / "ws"}
    with monkeypatch.context() as earlier:
        earlier.setattr("elasticvit.training.decoding.upright", lambda image: image)
        with pytest.raises(Enough):
            train(events=at_step(2, enough), **settings)
    with pytest.raises(CheckpointError, match="no interrupted run with these settings"):
        train(resume=True, **settings)


def test_a_training_reports_by_events_and_prints_nothing(
    trained: tuple[TrainResult, list[Event], Workspace],
) -> None:
    result, events, _ = trained
    assert isinstance(events[0], Phase)
    plan, forecast, *rest = [event for event in events if not isinstance(event, Phase)]
    assert isinstance(plan, TrainingPlanned)
    assert (plan.space, plan.data, plan.classes, plan.unit) == ("micro", "digits", 10, "MMACs")
    assert list(plan.levels) == sorted(plan.levels)
    assert plan.folder == result.folder
    assert isinstance(forecast, TrainingForecast)
    assert (forecast.done, forecast.forecast.steps) == (0, 9)
    assert forecast.remaining_s > 0
    refined = [event for event in rest if isinstance(event, TrainingForecast)]
    assert [event.done for event in refined][:2] == [1, 2]
    assert refined[-1].remaining_s < forecast.remaining_s
    steps = [event for event in rest if isinstance(event, TrainProgress)]
    (judged,) = [event for event in rest if isinstance(event, PanelJudged)]
    assert (judged.result.step, judged.total) == (9, 9)
    assert judged.result.subnets == result.panel
    assert len(steps) + len(refined) + 1 == len(rest)
    assert [(e.done, e.total, e.epoch) for e in steps] == [(i, 9, 0) for i in range(1, 10)]


def test_the_panel_is_in_the_result_and_earlier_results_are_read(
    trained: tuple[TrainResult, list[Event], Workspace], tmp_path: Path
) -> None:
    result, _, _ = trained
    assert (result.panel[0].name, result.panel[-1].name) == ("smallest", "largest")
    assert [subnet.name for subnet in result.subnets][:1] == ["smallest"]
    accuracies = {subnet.arch: subnet.accuracy for subnet in result.panel}
    assert all(accuracies[subnet.arch] == subnet.accuracy for subnet in result.subnets)
    assert {subnet.images for subnet in result.panel} == {result.images}
    report = (result.folder / "report.html").read_text()
    assert "after 9 steps" in report
    plain = json.loads((result.folder / "result.json").read_text())
    del plain["panel"]
    (tmp_path / "result.json").write_text(json.dumps(plain))
    assert TrainResult.load(tmp_path) == replace(result, folder=tmp_path, panel=())


def test_a_panel_and_a_diagnosis_are_asked_for(tmp_path: Path) -> None:
    events: list[Event] = []
    result = train(
        out=tmp_path / "run", **QUICK, panel_every=4, diagnose_every=8, events=events.append
    )
    judged = [event.result.step for event in events if isinstance(event, PanelJudged)]
    assert judged == [4, 8, 9]
    assert {row.step for row in read_diagnosis(result.folder)} == {8}
    assert "Diagnosis" in (result.folder / "report.html").read_text()
    (result.folder / "result.json").unlink()
    again = train(out=tmp_path / "run", **QUICK, events=events.append)
    assert again.panel == result.panel  # not judged again


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


def test_the_result_comes_back_and_gives_the_supernet(
    trained: tuple[TrainResult, list[Event], Workspace], capfd: pytest.CaptureFixture[str]
) -> None:
    result, _, workspace = trained
    assert TrainResult.load(result.folder) == result
    assert workspace.latest("run") == result.folder
    assert (workspace.space(), workspace.data()) == (MICRO, "digits")
    assert result.subnets[0].arch == MICRO.smallest
    assert [s.macs_m for s in result.subnets] == sorted(s.macs_m for s in result.subnets)
    assert result.suggested_target_ms is None
    supernet = result.supernet()
    assert supernet.space == MICRO
    assert not supernet.training
    assert capfd.readouterr() == ("", "")


def test_a_finished_training_is_not_repeated(
    trained: tuple[TrainResult, list[Event], Workspace],
) -> None:
    result, _, workspace = trained
    events: list[Event] = []
    assert train(workspace=workspace, events=events.append, **QUICK) == result
    assert [e for e in events if not isinstance(e, Phase)] == [
        RunFound(folder=result.folder, finished=True)
    ]


@pytest.mark.parametrize("step", [1, 4, 9])
def test_a_training_that_its_caller_stopped_goes_on_bit_for_bit(
    trained: tuple[TrainResult, list[Event], Workspace], tmp_path: Path, step: int
) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    with pytest.raises(Enough):
        train(workspace=workspace, events=at_step(step, enough), **QUICK)
    events: list[Event] = []
    result = train(workspace=workspace, events=events.append, resume=True, **QUICK)
    assert RunFound(folder=result.folder, finished=False) in events[:2]
    assert [e.done for e in events if isinstance(e, TrainProgress)] == list(range(step + 1, 10))
    expected, got = weights(trained[0].folder), weights(result.folder)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert result.subnets == trained[0].subnets


def test_a_finished_training_whose_last_checkpoint_is_damaged_is_gone_on_with_from_another(
    trained: tuple[TrainResult, list[Event], Workspace],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("elasticvit.training.loop.CHECKPOINT_S", 1e9)
    out = tmp_path / "run"
    for changes, names in (({"lr_scale": 0.5}, ("lr_scale",)), ({"resume_from": 4}, None)):
        with pytest.raises(SettingError, match="is for an interrupted run") as refused:
            train(out=out, **changes, **QUICK)
        assert refused.value.settings == (names or ("resume_from",))
    assert not out.exists()
    with pytest.raises(Enough):
        train(out=out, events=at_step(4, enough), **QUICK)
    result = train(out=out, **QUICK)
    with pytest.raises(SettingError, match="one with these settings is finished"):
        train(out=out, lr_scale=0.5, **QUICK)
    tensors = files_of(out)[1]
    tensors.write_bytes(tensors.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="checkpoint of step 4 before it is comp") as refused:
        result.supernet()
    assert refused.value.next_step == NextStep("train", {"resume_from": 4})
    again = train(out=out, resume_from=4, **QUICK)
    assert again.subnets == trained[0].subnets
    expected, got = weights(trained[0].folder), weights(out)
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_other_learning_rates_are_recorded_and_the_run_is_the_same(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(Enough):
        train(out=out, events=at_step(2, enough), **QUICK)
    result = train(out=out, lr_scale=0.5, **QUICK)
    assert (result.folder, result.lr_scale) == (out, 0.5)
    assert train(out=out, **QUICK) == result


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


def test_a_second_training_on_other_data_just_works(
    trained: tuple[TrainResult, list[Event], Workspace], tmp_path: Path, shapes: Path
) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    first = train(workspace=workspace, **QUICK)
    second = train(workspace=workspace, data=str(shapes), epochs=1, batch_size=32)
    assert (first.data, second.data) == ("digits", str(shapes))
    assert RunInfo.load(second.folder).space == MICRO.with_classes(3)
    assert second.supernet().space.layout.classes == 3
    assert workspace.latest("run") == second.folder
    assert (workspace.space(), workspace.data()) == (MICRO, str(shapes))
    third = train(workspace=workspace, data="digits", epochs=1, batch_size=128)
    assert third == first


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


def test_other_settings_start_anew_and_say_so(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    with pytest.raises(Enough):
        train(workspace=workspace, events=at_step(1, enough), **QUICK)
    (old,) = workspace.folders("run")
    other = {**QUICK, "seed": 1}
    with pytest.raises(CheckpointError, match="no interrupted run with these settings") as refused:
        train(workspace=workspace, resume=True, **other)
    assert refused.value.settings == ("resume",)
    events: list[Event] = []

    def stop_at_notice(event: Event) -> None:
        events.append(event)
        if isinstance(event, Notice):
            raise Enough

    with pytest.raises(Enough):
        train(workspace=workspace, events=stop_at_notice, **other)
    assert events[-1] == Notice(text=f"starting anew: the interrupted {old} has other settings")
    assert workspace.folders("run") == [old]


def test_a_run_in_a_folder_of_ones_own_needs_no_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "here"
    with pytest.raises(Enough):
        train(out=out, events=at_step(3, enough), **QUICK)
    result = train(out=out, **QUICK)
    assert result.folder == out
    assert [p.name for p in tmp_path.iterdir()] == ["here"]
    assert train(out=out, **QUICK) == result
    for changes, words in (
        ({"seed": 1}, "holds a training run with other settings"),
        ({"fresh": True}, "holds a training run already"),
    ):
        with pytest.raises(SettingError, match=words):
            train(out=out, **{**QUICK, **changes})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "photo.jpg").touch()
    with pytest.raises(SettingError, match="is not a training run; name a new folder"):
        train(out=tmp_path / "full", **QUICK)
    assert (tmp_path / "full" / "photo.jpg").exists()


def test_a_damaged_result_is_refused(
    trained: tuple[TrainResult, list[Event], Workspace], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="no finished training"):
        TrainResult.load(tmp_path)
    (tmp_path / "result.json").write_text('{"space": 1}')
    with pytest.raises(CheckpointError, match=r"result\.json: space is 1; .*remove it, and train"):
        TrainResult.load(tmp_path)


def test_a_target_is_suggested_where_the_device_can_price_the_space(
    trained: tuple[TrainResult, list[Event], Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    from small_search import OddCost

    result, _, workspace = trained
    workspace.remember(device="host")
    try:  # profiled, but its predictor is gone or never saw the space
        assert train(workspace=workspace, **QUICK).suggested_target_ms is None
        monkeypatch.setattr(
            "predictors.workspace_predictors.load_device_predictor",
            lambda workspace, device, precision: SimpleNamespace(cost=OddCost),
        )
        found = train(workspace=workspace, **QUICK)
    finally:
        workspace.update({"device": None})
    prices = OddCost(MICRO).price(MICRO.sample(1000, np.random.default_rng(0)))
    assert found.suggested_target_ms == pytest.approx(float(np.median(prices)), rel=0.05)
    assert found == replace(result, suggested_target_ms=found.suggested_target_ms)


RANK_CODE = """
import sys
from pathlib import Path
from training_small import MICRO
from elasticvit.flows.train import train
seen = []
result = train(space=MICRO, epochs=1, batch_size=128, threads=1, events=seen.append,
               workspace=sys.argv[1])
import os
facts = f"{len(seen) > 0} {result.folder.name} {result.subnets[0].accuracy}"
(Path(sys.argv[0]).parent / f"rank{os.environ['RANK']}").write_text(facts)
"""


def test_two_processes_return_the_same_result_and_the_first_reports(tmp_path: Path) -> None:
    tests = Path(__file__).parent
    script = tmp_path / "ranks.py"
    script.write_text(RANK_CODE)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path / "ws")],
        env=os.environ
        | {"PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # A file a process: two processes that print to one pipe can share a line.
    reports, *facts = (tmp_path / "rank0").read_text().split()
    silent, *same = (tmp_path / "rank1").read_text().split()
    assert (reports, silent) == ("True", "False")
    assert facts == same
    assert len(Workspace.open(tmp_path / "ws").folders("run")) == 1
