"""Model files timed side by side, on this computer and on the computed device `fake`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from add_models import FLOAT32, INT8, INT32, add_model
from click.testing import CliRunner, Result

import elasticvit as ev
from devices.fake import FakeDevice
from elasticvit.cli.profile import main
from elasticvit.errors import DeviceError, ExportError, SettingError, StoreError
from elasticvit.events import Event
from elasticvit.flows.model_events import TimingProgress
from elasticvit.flows.model_files import distinct_names, read_models
from elasticvit.flows.model_session import SUMMARY_FILE, _calibration_spread
from elasticvit.flows.model_speed import at_one_speed
from elasticvit.flows.model_timing import time_models
from elasticvit.flows.model_timing_settings import rounds_of
from elasticvit.workspace import Workspace
from export.inspect import delegation
from lut.estimate import ESTIMATOR
from lut.interval import interval, ratio_interval
from lut.raw_rounds import RAW_FILE, RawRound, append_round, read_rounds


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """Three files: one that is delegated, one that is not in one piece, and one in int8."""
    kinds = {"plain": (FLOAT32,), "mixed": (FLOAT32, INT32), "small": (INT8,)}
    paths = []
    for name, types in kinds.items():
        paths.append(tmp_path / f"{name}.tflite")
        paths[-1].write_bytes(add_model(*types))
    return paths


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks how models are delegated without a process of its own for each, which takes longer
    than all else."""
    monkeypatch.setattr("elasticvit.flows.model_files.delegation_apart", delegation)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes every device that is opened a `FakeDevice` with these arguments."""

    def use(**options: Any) -> None:
        options = {"noise": 0.02, **options}
        monkeypatch.setattr("devices.open_device", lambda *_, **__: FakeDevice(**options))

    return use


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


def session(folder: Path, load: Sequence[float], level: float, time_s: float) -> list[RawRound]:
    """Rounds of a model of 1 ms on a device that is slower by a factor in each, and by `level`
    throughout."""
    rng = np.random.default_rng(int(100 * level))
    folder.mkdir(parents=True)
    rounds = []
    for i, slow in enumerate(load):
        us = {"m": 1000.0, "c": 500.0}
        runs = {k: tuple(v * level * slow * rng.lognormal(0, 0.01, 20)) for k, v in us.items()}
        rounds.append(
            RawRound(
                key="m",
                samples_us=runs["m"],
                round=i,
                threads=1,
                cores="0",
                source="fake:x",
                runtime="x",
                runtime_hash="",
                time_s=time_s,
                calibration_us={"c": runs["c"]},
                sha256="0" * 64,
                asked_cores="auto",
            )
        )
        append_round(folder / RAW_FILE, rounds[-1])
    return rounds


def test_background_load_is_corrected_where_there_are_calibration_models(tmp_path: Path) -> None:
    load = 1 + 0.3 * (np.arange(40) % 2)
    rounds = session(tmp_path / "a", load.tolist(), 1.0, 1e9)
    speed = at_one_speed(rounds, tmp_path / "a")
    assert speed.corrected
    assert speed.ms.std() / speed.ms.mean() < 0.03
    assert "background load" in speed.estimator
    assert _calibration_spread(rounds) == pytest.approx(0.26, abs=0.04)
    few = at_one_speed(rounds[:4], tmp_path / "a")
    assert not few.corrected
    assert few.estimator == ESTIMATOR


def test_a_slow_session_is_brought_to_the_speed_of_the_first_recent_one(tmp_path: Path) -> None:
    load = (1 + 0.2 * (np.arange(20) % 2)).tolist()
    usual = [session(tmp_path / f"{i}", load, 1.0, 1e9 + i) for i in range(3)]
    slow = session(tmp_path / "9", load, 1.3, 1e9 + 9)
    speed = at_one_speed(slow, tmp_path / "9")
    assert speed.sessions == 3
    assert np.median(speed.ms) == pytest.approx(1.0, rel=0.03)
    assert "at the speed of the session of 2001-09-" in speed.estimator
    (tmp_path / "1" / RAW_FILE).write_text("{}\n")
    path = tmp_path / "2" / RAW_FILE
    path.write_text(path.read_text().replace('"threads": 1', '"threads": 2'))
    speed = at_one_speed(slow, tmp_path / "9")
    assert speed.sessions == 1
    assert "an earlier session was left out" in speed.damaged[0]
    days = at_one_speed(session(tmp_path / "z", load, 1.3, 1e9 + 1e6), tmp_path / "z")
    assert days.sessions == 0
    assert len(usual[0]) == 20


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    held = ratios = 0
    for _ in range(400):
        common = rng.lognormal(0, 0.2, 15)  # what slows a whole round
        one, two = (common * rng.lognormal(0, 0.02, 15) for _ in range(2))
        low, _, high = interval(rng.lognormal(0, 0.05, 15))
        held += low <= 1 <= high
        low, middle, high = ratio_interval(2 * one, two)
        ratios += low <= 2 <= high
        assert high / low < 1.1
        assert low <= middle <= high
    assert 0.92 < held / 400 < 0.99
    assert 0.92 < ratios / 400 < 0.99


def test_a_latency_that_cannot_be_true_is_not_written(tmp_path: Path) -> None:
    (good,) = session(tmp_path / "a", [1.0], 1.0, 1e9)
    measured = replace(good, samples_us=(float("nan"),))
    with pytest.raises(DeviceError, match="a run of nan us"):
        append_round(tmp_path / RAW_FILE, measured)
    assert not (tmp_path / RAW_FILE).exists()


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


def run(tmp_path: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["--workspace", str(tmp_path / "ws"), *options])


def test_the_command_prints_a_table_and_how_to_repeat_it(
    models: list[Path], tmp_path: Path
) -> None:
    options = [word for path in models for word in ("--model", str(path))]
    done = run(tmp_path, *options, "--device", "fake", "--rounds", "3")
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    for text in (
        "95 % interval",
        "plain: the CPU delegate takes all 1 operators in one piece",
        "mixed: the CPU delegate takes 1 of 2 operators, in 1 partition; left to the reference",
        "kernels: 1 ADD",
        "these latencies are computed, not measured",
        f"--model {models[0]} --model {models[1]}",
        "--device fake --rounds 3 --threads 1 --cores auto --seed 0",
    ):
        assert text in told
    (line,) = run(tmp_path, *options, "--device", "fake", "--json").stdout.strip().splitlines()
    data = json.loads(line)["devices"]["fake"]
    assert set(data["models"]) == {"plain", "mixed", "small"}
    assert data["models"]["plain"]["timing"]["rounds"] == 15


def test_the_command_shows_what_was_measured_before_a_device_went_away(
    models: list[Path], tmp_path: Path, fake: Any
) -> None:
    fake(unreachable_after=5)
    done = run(tmp_path, "--model", str(models[0]), "--device", "fake")
    assert done.exit_code == 2
    told = " ".join(done.output.split())
    assert "plain was timed in 5 of 30 rounds" in told
    assert "went away after 5 results" in told
    assert "raw runs:" in told
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--space", "tiny"), "not with --model"),
        (("--budget-minutes", "1"), "not with --model"),
        (("--precision", "int8"), "not with --model"),
        (("--list-devices",), "not with --model"),
        (("--model", "gone.tflite"), "gone.tflite cannot be read: No such file"),
    ],
)
def test_bad_options_are_one_message(
    models: list[Path], tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    done = run(tmp_path, "--model", str(models[0]), *options)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
