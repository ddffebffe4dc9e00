"""The train flow as a library calls it: events, results, and the same result after a stop."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from checkpoint_forms import files_of
from training_flow import QUICK, Enough, at_step, enough, shapes, short_forecast
from training_small import MICRO

from elasticvit.errors import CheckpointError, NextStep, SettingError
from elasticvit.events import Event, Phase
from elasticvit.flows.train import TrainResult, train
from elasticvit.flows.train_events import (
    PanelJudged,
    RunFound,
    TrainingForecast,
    TrainingPlanned,
    TrainProgress,
)
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.diagnosis_table import read_diagnosis
from elasticvit.training.run_info import RunInfo
from elasticvit.workspace import Workspace

__all__ = ["shapes"]
pytestmark = pytest.mark.usefixtures(short_forecast.__name__)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, list[Event], Workspace]:
    """A training without interruption, and what it reported."""
    workspace = Workspace.open(tmp_path_factory.mktemp("trained") / "ws")
    events: list[Event] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elasticvit.training.probe.BUDGET_S", 0.0)
        result = train(workspace=workspace, events=events.append, **QUICK)
    return result, events, workspace


def weights(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = Checkpoint.load(run)
    return {**checkpoint.weights, **{f"ema {k}": v for k, v in checkpoint.ema.items()}}


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
