from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from devices import Measurement, Rejected, TimedModel, TimingConfig
from devices.host import HostDevice
from devices.host.framing import PipeTimeout
from devices.host.process import WorkerProcess
from elasticvit.errors import DeviceError, RunnerMissing
from elasticvit.testing.device import QUICK, DeviceContract, OnlyIndexed
from elasticvit.testing.tiny_models import dense_model, endless_model

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def models() -> list[TimedModel]:
    return [TimedModel(f"dense {width}", dense_model(width)) for width in (8, 32, 64)]


class TestHostKeepsTheContract(DeviceContract):
    source_prefix = "host:"

    @pytest.fixture
    def device(self) -> HostDevice:
        return HostDevice()

    @pytest.fixture
    def models(self, models: list[TimedModel]) -> list[TimedModel]:
        return models

    @pytest.fixture
    def bad_model(self) -> TimedModel:
        return TimedModel("contradiction", dense_model(8, weight_width=16))


def test_more_work_takes_longer():
    small, large = (
        TimedModel("small", dense_model(256)),
        TimedModel("large", dense_model(256, layers=40)),
    )
    with HostDevice() as device:
        results = list(device.measure([small, large], TimingConfig(min_ms=1.0, rounds=3)))
    best_us = {
        key: min(min(r.samples_us) for r in results if r.key == key) for key in ("small", "large")
    }
    assert best_us["large"] > 5 * best_us["small"]


def test_runs_follow_the_configuration(models):
    config = TimingConfig(min_runs=7, max_runs=11, min_ms=0.0, rounds=1)
    with HostDevice() as device:
        for result in device.measure(models, config):
            assert 7 <= len(result.samples_us) <= 11
        long = TimingConfig(min_runs=1, max_runs=10**6, min_ms=5.0, rounds=1)
        for result in device.measure(models, long):
            assert sum(result.samples_us) >= 5_000


def test_a_crashing_and_a_hanging_model_are_rejected_and_the_others_measured(models):
    crash = TimedModel("crash", endless_model(recursive=True))
    hang = TimedModel("hang", endless_model(recursive=False))
    with HostDevice(timeout_s=0.7) as device:
        results = list(device.measure([crash, *models, hang], QUICK))
    reasons = {r.key: r.reason for r in results if isinstance(r, Rejected)}
    assert set(reasons) == {"crash", "hang"}
    assert "SIGSEGV" in reasons["crash"]
    assert "0.7 s" in reasons["hang"]
    assert sum(isinstance(r, Measurement) for r in results) == QUICK.rounds * len(models)


def test_a_worker_that_did_not_answer_once_is_asked_again(models, monkeypatch):
    asked, ask = [], WorkerProcess.ask

    def slow_once(worker, request, data):
        asked.append(request)
        if len(asked) == 1:
            raise PipeTimeout
        return ask(worker, request, data)

    monkeypatch.setattr(WorkerProcess, "ask", slow_once)
    with HostDevice() as device:
        results = list(device.measure(models[:1], replace(QUICK, rounds=1)))
    assert [type(one) for one in results] == [Measurement]
    assert len(asked) == 2


def test_calibration_models_are_timed_around_and_between_the_runs_of_every_model(models):
    calibration = (TimedModel("g1", dense_model(16)), TimedModel("g2", dense_model(128)))
    short = TimingConfig(
        min_runs=1, max_runs=10**6, min_ms=1.0, rounds=1, calibration_models=calibration
    )
    with HostDevice() as device:
        few = list(device.measure(models, short))
        many = list(device.measure(models, replace(short, min_ms=100.0)))
    for result in (*few, *many):
        assert set(result.calibration_us) == {"g1", "g2"}
    count = [sum(len(r.calibration_us["g2"]) for r in results) for results in (few, many)]
    assert count[1] > 2 * count[0]


def test_a_worker_that_was_replaced_has_the_calibration_models_too(models):
    crash = TimedModel("crash", endless_model(recursive=True))
    config = replace(QUICK, calibration_models=(TimedModel("g", dense_model(16)),))
    with HostDevice() as device:
        results = list(device.measure([crash, *models], config))
    made = [r for r in results if isinstance(r, Measurement)]
    assert len(made) == QUICK.rounds * len(models)
    assert all(set(r.calibration_us) == {"g"} for r in made)


def test_a_calibration_model_that_does_not_run_is_an_error(models):
    config = replace(QUICK, calibration_models=(TimedModel("g", b"no model"),))
    with (
        HostDevice() as device,
        pytest.raises(DeviceError, match="rejects calibration model g"),
    ):
        list(device.measure(models, config))


def test_bytes_that_are_no_model_are_rejected(models):
    with HostDevice() as device:
        results = list(device.measure([TimedModel("noise", b"no model" * 9), models[0]], QUICK))
    assert [r.key for r in results if isinstance(r, Rejected)] == ["noise"]


def test_a_worker_that_is_killed_from_outside_costs_nothing(models):
    class Killing(OnlyIndexed):
        def __getitem__(self, index):
            if self.made in (1, 4):
                children = psutil.Process().children()
                assert len(children) == 1
                children[0].kill()
            return super().__getitem__(index)

    with HostDevice() as device:
        results = list(device.measure(Killing(models), QUICK))
    assert sum(isinstance(r, Measurement) for r in results) == QUICK.rounds * len(models)


def test_nothing_is_left_behind(models):
    with HostDevice() as device:
        results = device.measure(models, QUICK)
        next(results)
        assert psutil.Process().children()
    assert not psutil.Process().children()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no core affinity on this system")
def test_the_worker_is_pinned_and_says_where(models):
    core = max(os.sched_getaffinity(0))
    with HostDevice() as device:
        config = TimingConfig(min_runs=1, max_runs=1, rounds=1, cores=f"{1 << core:x}")
        (result,) = device.measure(models[:1], config)
        (worker,) = psutil.Process().children()
        assert worker.cpu_affinity() == [core]
    assert result.cores == str(core)


def test_a_session_stays_on_its_cores(models):
    with HostDevice() as device:
        config = TimingConfig(min_runs=1, max_runs=1, rounds=1)
        used = {r.cores for _ in range(6) for r in device.measure(models, config)}
    assert len(used) == 1


def test_cores_that_do_not_exist_are_refused(models):
    with HostDevice() as device, pytest.raises(DeviceError, match="core"):
        list(device.measure(models, TimingConfig(cores=f"{1 << 4000:x}")))
    with HostDevice() as device, pytest.raises(DeviceError, match="'fast'"):
        list(device.measure(models, TimingConfig(cores="fast")))
    with HostDevice() as device, pytest.raises(DeviceError, match="9999 threads"):
        list(device.measure(models, TimingConfig(threads=9999)))


@pytest.mark.parametrize(
    ("field", "value"),
    [("threads", 0), ("min_runs", 0), ("rounds", 0), ("warmup_runs", -1), ("max_runs", 4)],
)
def test_an_absurd_configuration_is_refused_when_made(field, value):
    with pytest.raises(DeviceError, match=f"{field} = {value}"):
        TimingConfig(**{field: value})


def test_a_missing_runtime_names_the_package(monkeypatch, tmp_path):
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert/__init__.py").write_text("raise ImportError('broken wheel')")
    # The checkout comes first on the worker's path, this folder next, site-packages last.
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RunnerMissing, match=r"broken wheel.*pip install"), HostDevice():
        pass
    assert not psutil.Process().children()


def test_a_folder_of_the_same_name_where_the_user_is_disturbs_nothing(
    tmp_path, monkeypatch, models
):
    (tmp_path / "devices").mkdir()
    (tmp_path / "devices/__init__.py").write_text("raise ImportError('not this one')")
    monkeypatch.chdir(tmp_path)
    with HostDevice() as device:
        assert len(list(device.measure(models, QUICK))) == QUICK.rounds * len(models)


def test_memory_stays_bounded_over_many_models():
    big = TimedModel("big", dense_model(1024))  # 4 MB of weights
    config = TimingConfig(warmup_runs=0, min_runs=1, max_runs=1, min_ms=0.0, rounds=40)
    with HostDevice() as device:
        peaks = [result.peak_bytes for result in device.measure([big], config)]
    if peaks[0] is None:
        pytest.skip("this system does not tell peak memory")
    assert max(peaks[20:]) < max(peaks[:20]) + 16 * 2**20  # a leak would add 80 MB


def test_ctrl_c_reaches_the_caller_and_leaves_no_worker(tmp_path):
    script = tmp_path / "profile.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from devices import TimedModel, TimingConfig
            from devices.host import HostDevice
            data = open(sys.argv[1], "rb").read()
            try:
                with HostDevice() as device:
                    config = TimingConfig(max_runs=10**9, min_ms=1e9)
                    print(device._worker.process.pid, flush=True)
                    list(device.measure([TimedModel("m", data)], config))
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            """
        )
    )
    model = tmp_path / "model.tflite"
    model.write_bytes(dense_model(8))
    process = subprocess.Popen(
        [sys.executable, str(script), str(model)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    worker = int(process.stdout.readline())
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.stdout.read() == "interrupted\n"
    assert process.wait(10) == 0
    process.stdout.close()
    assert not psutil.pid_exists(worker)


def test_a_killed_parent_takes_its_worker_along(tmp_path):
    script = tmp_path / "open.py"
    script.write_text(
        "import time\nfrom devices.host import HostDevice\n"
        "with HostDevice() as device:\n"
        "    print(device._worker.process.pid, flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    worker = psutil.Process(int(process.stdout.readline()))
    process.kill()
    process.wait()
    process.stdout.close()
    worker.wait(10)
