"""Model files timed side by side, on this computer and on the computed device `fake`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from add_models import FLOAT32, add_model
from timed_models import fake, in_this_process, models

import elasticvit as ev
from devices.fake import FakeDevice
from elasticvit.errors import DeviceError, ExportError, SettingError, StoreError
from elasticvit.events import Event
from elasticvit.flows.model_events import TimingProgress
from elasticvit.flows.model_files import distinct_names, read_models
from elasticvit.flows.model_session import SUMMARY_FILE
from elasticvit.flows.model_timing import time_models
from elasticvit.flows.model_timing_settings import rounds_of
from elasticvit.workspace import Workspace
from lut.raw_rounds import RAW_FILE, read_rounds

__all__ = ["fake", "models"]
pytestmark = pytest.mark.usefixtures(in_this_process.__name__)


def test_models_are_timed_in_turns_and_the_raw_runs_kept(
    models: list[Path], tmp_path: Path, fake: Any
) -> None:
    fake()
    seen: list[Event] = []
    done = time_models(
        model=models, device="fake", rounds=6, workspace=tmp_path / "ws", events=seen.append
    )
    found = done.devices["fake"]
    assert list(found.timings) == ["plain", "mixed", "small"]
    raw = read_rounds(found.folder / RAW_FILE)
    assert len(raw) == 18
    assert [sorted({m.key for m in raw[i : i + 3]}) for i in (0, 3, 15)] == [
        ["mixed", "plain", "small"]
    ] * 3
    for name, timing in found.timings.items():
        own = [m for m in raw if m.key == name]
        assert timing.rounds == 6
        assert timing.runs == sum(len(m.samples_us) for m in own)
        assert timing.low_ms < timing.ms < timing.high_ms
        assert timing.fastest_ms <= timing.median_ms <= timing.slowest_ms
        runs = [us for m in own for us in m.samples_us]
        assert timing.median_ms == pytest.approx(np.median(runs) / 1e3)
    summary = json.loads((found.folder / SUMMARY_FILE).read_text())
    assert summary["models"]["mixed"]["left_operators"] == {"ADD": 1}
    assert summary["complete"] is True
    assert found.warnings == ("these latencies are computed, not measured",)
    assert [e.done for e in seen if isinstance(e, TimingProgress)] == list(range(1, 19))


def test_nothing_is_added_to_the_latency_table(
    models: list[Path], tmp_path: Path, fake: Any
) -> None:
    fake()
    workspace = Workspace.open(tmp_path / "ws")
    time_models(model=models[0], device="fake", rounds=2, workspace=workspace)
    assert not list(workspace.root.glob("lut.sqlite*"))
    assert not ev.status(workspace).devices


def test_this_computer_times_models_of_any_origin(models: list[Path], tmp_path: Path) -> None:
    found = ev.time_models(model=models, rounds=2, workspace=tmp_path / "ws").devices["host"]
    assert set(found.timings) == {"plain", "mixed", "small"}
    for timing in found.timings.values():
        assert timing.ms > 0
        assert timing.load_ms is not None
        assert timing.first_ms is not None
        assert timing.threads_started == 1
        assert timing.statistic == "run"
    assert found.calibration_spread is not None
    raw = read_rounds(found.folder / RAW_FILE)
    assert all(len(m.calibration_us) == 2 for m in raw)


def test_a_device_that_goes_away_leaves_what_was_measured(
    models: list[Path], tmp_path: Path, fake: Any
) -> None:
    fake(unreachable_after=7)
    done = time_models(model=models, device="fake", rounds=6, workspace=tmp_path / "ws")
    found = done.devices["fake"]
    assert isinstance(done.failed["fake"], DeviceError)
    assert found.ended is done.failed["fake"]
    assert sum(t.rounds for t in found.timings.values()) == 7
    assert len(read_rounds(found.folder / RAW_FILE)) == 7
    assert any("was timed in 2 of 6 rounds" in text for text in found.warnings)
    assert json.loads((found.folder / SUMMARY_FILE).read_text())["complete"] is False


def test_a_device_that_never_answers_leaves_nothing(
    models: list[Path], tmp_path: Path, fake: Any
) -> None:
    fake(unreachable=True)
    with pytest.raises(DeviceError, match="does not answer"):
        time_models(model=models, device="fake", workspace=tmp_path / "ws")
    fake(unreachable_after=0)
    with pytest.raises(DeviceError, match="went away"):
        time_models(model=models, device="fake", workspace=tmp_path / "ws")
    assert not (tmp_path / "ws").exists()


def test_what_is_pressed_ends_the_session_and_keeps_the_rounds(
    models: list[Path], tmp_path: Path, fake: Any
) -> None:
    fake()

    def stop(event: Event) -> None:
        if isinstance(event, TimingProgress) and event.done == 4:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        time_models(model=models, device="fake", rounds=5, workspace=tmp_path / "ws", events=stop)
    (folder,) = (tmp_path / "ws" / "timings").iterdir()
    assert len(read_rounds(folder / RAW_FILE)) == 4
    assert json.loads((folder / SUMMARY_FILE).read_text())["ended"] == "the session was interrupted"


def test_a_model_that_is_refused_does_not_stop_the_others(
    models: list[Path], tmp_path: Path, fake: Any
) -> None:
    fake(reject={"mixed": "no such operator"})
    found = time_models(model=models, device="fake", rounds=3, workspace=tmp_path / "ws").devices[
        "fake"
    ]
    assert found.refused == {"mixed": "no such operator"}
    assert set(found.timings) == {"plain", "small"}
    fake(reject={"plain": "too new"})
    with pytest.raises(ExportError, match=r"refuses every model \(plain: too new\)"):
        time_models(model=models[0], device="fake", workspace=tmp_path / "ws")


def test_a_device_that_is_being_profiled_is_left_alone(
    models: list[Path], tmp_path: Path, fake: Any
) -> None:
    from lut.store import Store

    fake()
    workspace = Workspace.open(tmp_path / "ws")
    workspace.root.mkdir()
    with (
        Store(workspace.lut_path) as store,
        store.exclusive("fake"),
        pytest.raises(StoreError, match="is being profiled"),
    ):
        time_models(model=models, device="fake", workspace=workspace)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [
        tmp_path / "a/net/model.tflite",
        tmp_path / "b/net/model.tflite",
        tmp_path / "x.tflite",
    ]
    assert distinct_names(paths, "model") == ["a/net/model", "b/net/model", "x"]
    with pytest.raises(SettingError, match="2 times; name each file once"):
        distinct_names([paths[0], tmp_path / "a/../a/net/model.tflite"], "model")


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    circle = tmp_path / "circle.tflite"
    circle.symlink_to(circle)
    with pytest.raises(ExportError, match=r"circle\.tflite cannot be read: Too many levels"):
        read_models([circle])


@pytest.mark.parametrize(
    ("shape", "message"),
    [((-1, 8, 8, 4), None), ((1, -1, -1, 4), r"1x\?x\?x4, whose open dimensions")],
)
def test_an_open_batch_is_said_and_other_open_dimensions_are_refused(
    shape: tuple[int, ...], message: str | None, tmp_path: Path, fake: Any
) -> None:
    fake()
    path = tmp_path / "open.tflite"
    path.write_bytes(add_model(FLOAT32, shape=shape))
    if message is not None:
        with pytest.raises(ExportError, match=message):
            time_models(model=path, device="fake", rounds=2, workspace=tmp_path / "ws")
        return
    found = time_models(model=path, device="fake", rounds=2, workspace=tmp_path / "ws")
    assert "timed with a batch of 1" in found.devices["fake"].models[0].notes[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ()}, "name 1 to 100 TFLite files"),
        ({"model": ""}, "not empty"),
        ({"rounds": 1}, "rounds is 1"),
        ({"cores": "fast"}, "cores is 'fast'"),
        ({"device": ("fake", "fake")}, "name each device once"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        time_models(**{"model": "a.tflite", **changes})


def test_a_single_model_has_rounds_enough_to_correct_for_load() -> None:
    assert [rounds_of(None, n) for n in (1, 2, 3, 9)] == [30, 15, 15, 15]
    assert rounds_of(4, 1) == 4


def test_threads_that_did_not_take_effect_are_warned_of(
    models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneThread(FakeDevice):
        def _rounds(self, *args: Any) -> Any:
            for answer in super()._rounds(*args):
                yield replace(answer, threads_started=1)

    monkeypatch.setattr("devices.open_device", lambda *_, **__: OneThread())
    found = time_models(
        model=models[0], device="fake", threads=4, rounds=2, workspace=tmp_path / "ws"
    )
    assert (
        "plain was to run on 4 threads, and fake computes with 1" in found.devices["fake"].warnings
    )


def test_raw_runs_are_read_up_to_where_a_process_was_killed(
    models: list[Path], tmp_path: Path, fake: Any
) -> None:
    fake()
    found = time_models(model=models[0], device="fake", rounds=3, workspace=tmp_path / "ws")
    path = found.devices["fake"].folder / RAW_FILE
    text = path.read_text()
    path.write_text(text[:-20])
    assert len(read_rounds(path)) == 2
    path.write_text(text.replace('"threads": 1', '"threads": "one"', 1))
    with pytest.raises(StoreError, match=r"line 1: threads is 'one'"):
        read_rounds(path)
