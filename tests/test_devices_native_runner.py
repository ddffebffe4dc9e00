"""Evit's own runner: the program itself, natively and as arm64, and on a phone's adbd.

Genuine: our C program, LiteRT's library, kernel models, the kernel of this computer; adbd in one
test. Emulated by qemu: the arm64 CPU. Not there: Android. What is missing for a test skips it
with the reason: a compiler for the CPU, or the registries that the build downloads from.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from adbd.arm64 import EMULATED, arm64_root, why_no_arm64
from adbd.harness import Phone
from adbd.settings import FAST, FAST_LINK, ONCE, needs_adbd
from ai_edge_litert.interpreter import Interpreter

from devices import TimedModel, TimingConfig
from devices.catalog import CatalogEntry
from devices.phone import native_bundle, native_parts
from devices.phone.device import PhoneDevice
from devices.phone.native_bundle import build_runner, find_compiler
from devices.phone.native_runner import read_samples
from devices.phone.runner import Runner, RunnerFile
from devices.phone.script import ScriptResult, read_results
from devices.protocol import Conditions
from elasticvit.errors import RunnerMissing
from elasticvit.kernels import FFN, Attention, Downsample, FirstConv, Head, MBConv
from export.kernel_models import kernel_model

pytest_plugins = ["adbd.fixtures"]
KERNELS = (
    FirstConv(9, 3, 8),
    MBConv(7, 8, 12, 3, 5, 2, 1),
    Downsample(5, 8, 16, 2),
    Attention(3, 16, 2),
    FFN(3, 16, 2),
    Head(2, 16, 2, 24, 10),
)
QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
TOKEN = "@evit-test "


def built(machine: str) -> RunnerFile:
    try:
        return build_runner(machine)
    except RunnerMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def native() -> RunnerFile:
    return built(platform.machine())


@pytest.fixture(scope="module")
def arm64() -> RunnerFile:
    if QEMU is None:
        pytest.skip("qemu's user emulation of aarch64 is not installed")
    if find_compiler("aarch64") is None:
        pytest.skip("no compiler for aarch64: neither ziglang nor aarch64-linux-gnu-gcc")
    return built("aarch64")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / f"{i}.tflite" for i in range(len(KERNELS))]
    for path, kernel in zip(paths, KERNELS, strict=True):
        path.write_bytes(kernel_model([kernel]))
    return paths


def command(runner: RunnerFile, paths: list[Path], *flags: str) -> list[str]:
    graphs = [f"--graph={path}" for path in paths]
    return [*runner.launch(str(runner.path.parent)), f"--token={TOKEN.strip()}", *graphs, *flags]


def start(runner: RunnerFile, paths: list[Path], *flags: str, emulator: tuple[str, ...] = ()):
    """Run the program as the phone's shell does, with both outputs in one."""
    done = subprocess.run(
        [*emulator, *command(runner, paths, *flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout
    return list(read_results([done.stdout], TOKEN))


def computed_here(data: bytes) -> np.ndarray:
    """What this computer's LiteRT computes from the program's inputs."""
    model = Interpreter(model_content=data, num_threads=1)
    model.allocate_tensors()
    for detail in model.get_input_details():
        mixed = np.arange(np.prod(detail["shape"]), dtype=np.uint32) * np.uint32(2654435761)
        x = mixed.astype(np.float64) / 2**31 - 1
        model.set_tensor(detail["index"], x.reshape(detail["shape"]).astype(np.float32))
    model.invoke()
    return np.concatenate(
        [model.get_tensor(detail["index"]).ravel() for detail in model.get_output_details()]
    )


def check_outputs(results: list[ScriptResult], models: list[Path], outputs: Path) -> None:
    assert [result.index for result in results] == list(range(len(models)))
    for result, path in zip(results, models, strict=True):
        assert result.failure is None
        read = read_samples(result.output)
        assert read.summary["delegated"] == 1, KERNELS[result.index].key
        there = np.fromfile(outputs / f"{result.index}.bin", np.float32)
        here = computed_here(path.read_bytes())
        assert here.std() > 0
        np.testing.assert_allclose(there, here, rtol=0, atol=1e-5, err_msg=path.name)


# How it is built


def test_without_a_compiler_both_ways_to_a_runner_are_named(monkeypatch):
    monkeypatch.setattr(native_bundle, "find_compiler", lambda machine: None)
    with (
        pytest.raises(RunnerMissing, match=r"https://\S+ .*elasticvit\[runner\]") as caught,
        PhoneDevice("pixel6", address="127.0.0.1:1"),
    ):
        pass
    assert caught.value.settings == ("runner",)


def test_a_cpu_that_it_is_not_for(tmp_path):
    with pytest.raises(RunnerMissing, match=r"CPU is armv7l.*as the runner"):
        build_runner("armv7l", cache=tmp_path)


def test_a_bundle_is_built_once_and_not_used_when_it_was_changed(native, tmp_path, monkeypatch):
    def build(*_: object) -> None:
        raise native_parts.CannotBuild("built again")

    copy = tmp_path / native.path.parent.name
    shutil.copytree(native.path.parent, copy)
    monkeypatch.setattr(native_bundle, "_build", build)
    said: list[str] = []
    again = build_runner(platform.machine(), cache=tmp_path, notice=said.append)
    assert again.sha256 == native.sha256
    assert len(said) == 1
    assert "experimental" in said[0]
    with (copy / "libLiteRt.so").open("ab") as file:
        file.write(b"x")
    with pytest.raises(RunnerMissing, match=r"built again.*as the runner"):
        build_runner(platform.machine(), cache=tmp_path)


def test_its_library_is_the_one_that_was_tested(native, tmp_path, monkeypatch):
    machine = platform.machine()
    other = native_parts.Target(**{**vars(native_parts.TARGETS[machine]), "sha256": "0" * 64})
    monkeypatch.setitem(native_parts.TARGETS, machine, other)
    with pytest.raises(RunnerMissing, match=r"cannot be built: .*pip download"):
        build_runner(machine, cache=tmp_path)
    assert not list(tmp_path.iterdir())


# What it does


def test_it_tells_what_it_is_and_takes_the_flags_of_a_profile(native):
    told = subprocess.run(
        [*native.launch(str(native.path.parent)), "--help"], capture_output=True, text=True
    )
    runner = Runner.from_help(told.stdout, native.sha256)
    assert runner.tool == "evit"
    assert "experimental" in runner.name
    config = TimingConfig(threads=2, min_runs=7, max_runs=9, min_ms=12.5, warmup_runs=3)
    assert runner.arguments(config) == [
        *("--num_threads=2", "--num_runs=7", "--max_runs=9", "--min_secs=0.0125"),
        *("--warmup_runs=3", "--use_xnnpack=true"),
    ]


def test_it_computes_on_xnnpack_what_litert_computes(native, models, tmp_path):
    results = start(native, models, f"--outputs={tmp_path}", "--num_runs=3", "--min_secs=0")
    check_outputs(results, models, tmp_path)
    for result in results:
        read = read_samples(result.output)
        assert 3 <= read.count <= 12  # four times as many when others interrupt
        assert read.peak_bytes > 1 << 20


def test_without_xnnpack_it_says_so(native, models):
    (result,) = start(native, models[:1], "--use_xnnpack=false")
    assert read_samples(result.output).summary["delegated"] == 0


def test_runs_go_on_until_both_limits_but_not_beyond_the_largest(native, models):
    long = start(native, models[:1], "--min_secs=0.02", "--max_runs=1000000")
    assert sum(read_samples(long[0].output).samples_us) >= 20_000
    few = start(native, models[:1], "--min_secs=100", "--max_runs=11")
    assert read_samples(few[0].output).count == 11


def test_models_that_fail_leave_the_others_alone(native, models, tmp_path):
    garbage, empty = tmp_path / "garbage", tmp_path / "empty"
    garbage.write_bytes(bytes(range(256)) * 40)
    empty.write_bytes(b"")
    paths = [models[0], garbage, empty, tmp_path / "absent", models[1]]
    good, bad, *missing, last = start(native, paths)
    assert good.failure is None
    assert last.failure is None
    assert "cannot load the model" in bad.failure
    assert [result.output for result in missing] == [None, None]
    assert [result.index for result in missing] == [2, 3]


def test_a_model_that_takes_too_long_is_ended(native, models):
    flags = ("--timeout_secs=1", "--min_secs=100", "--max_runs=2000000000")
    (result,) = start(native, models[:1], *flags)
    assert "no answer in time" in result.failure


def test_a_model_that_crashes_costs_its_turn_alone(native, models):
    flags = ("--min_secs=3", "--max_runs=2000000000")
    running = subprocess.Popen(
        command(native, models[:2], *flags), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    crashed: set[str] = set()
    until = time.monotonic() + 30
    while len(crashed) < 2 and time.monotonic() < until:
        for child in set(children.read_text().split()) - crashed:
            os.kill(int(child), signal.SIGSEGV)
            crashed.add(child)
        time.sleep(0.005)
    output, _ = running.communicate(timeout=30)
    results = list(read_results([output], TOKEN))
    assert [result.index for result in results] == [0, 1]
    assert all("crashed with signal 11" in result.failure for result in results)
    assert running.returncode == 0


def test_rounds_go_through_all_models_in_an_order_of_the_seed(native, models):
    flags = ("--rounds=4", "--num_runs=1", "--min_secs=0")
    order, again, other, listed = (
        [result.index for result in start(native, models, *flags, f"--seed={seed}")]
        for seed in (1, 1, 2, 0)
    )
    count = len(models)
    assert order == again != other
    assert listed == list(range(count)) * 4
    rounds = [order[i : i + count] for i in range(0, 4 * count, count)]
    assert all(sorted(one) == list(range(count)) for one in rounds)
    assert len(set(map(tuple, rounds))) > 1


def test_temperature_and_clock_are_read_around_the_runs(native, models, tmp_path):
    for name, value in {"zone0": 41000, "zone1": 39500, "cpu4": 1800000, "cpu5": 1900000}.items():
        (tmp_path / name).write_text(f"{value}\n")
    sensors = [f"--sensor={tmp_path / name}" for name in ("zone0", "zone1", "absent")]
    clocks = [f"--clock={tmp_path / name}" for name in ("cpu4", "cpu5")]
    (result,) = start(native, models[:1], *sensors, *clocks)
    expected = Conditions(temperature_c=41.0, frequency_mhz=1850.0)
    assert result.before == result.after == expected


@pytest.mark.parametrize("flag", ["--num_runs=0", "--num_runs=x", "--wrong=1", "--graph", "file"])
def test_what_it_does_not_know_is_refused(native, models, flag):
    done = subprocess.run(command(native, models[:1], flag), capture_output=True, text=True)
    assert done.returncode == 2
    assert flag in done.stderr


# On other machines


def test_as_an_arm64_program_it_computes_the_same(arm64, models, tmp_path):
    flags = (f"--outputs={tmp_path}", "--num_runs=1", "--warmup_runs=0", "--min_secs=0")
    check_outputs(start(arm64, models, *flags, emulator=(QEMU,)), models, tmp_path)


def default_profile(
    phone: Phone, key: Path, entry: CatalogEntry | None, slow: float
) -> tuple[PhoneDevice, list[str]]:
    said: list[str] = []
    rules = {"max_drift": 99.0, "runner_timeout_s": 60}
    hygiene = type(FAST)(**{**vars(FAST), **rules})
    link = type(FAST_LINK)(**{**vars(FAST_LINK), "command_s": slow})
    place = {"address": phone.address, "keys": [key], "notice": said.append}
    return PhoneDevice("phone", entry=entry, hygiene=hygiene, link=link, **place), said


@needs_adbd
def test_it_is_what_a_phone_runs_when_no_runner_is_named(folder, key, native, monkeypatch):
    """Adbd is genuine and the phone's CPU this computer's; its kernel models are timed truly."""
    monkeypatch.setattr(
        "devices.phone.device.check_compiler", lambda: None
    )  # the one for this CPU is there
    models = [TimedModel(kernel.key, kernel_model([kernel])) for kernel in KERNELS]
    bad = TimedModel("bad", b"no model" * 99)
    with Phone(folder / "p") as phone:
        made, said = default_profile(phone, key, None, 10.0)
        with made as device:
            assert "experimental" in device.info.runtime
            assert device.info.runtime_hash == native.sha256
            results = {result.key: result for result in device.measure([*models, bad], ONCE)}
        assert any("never proven on a real Android phone" in line for line in said)
        assert "cannot load the model" in results.pop("bad").reason
        assert set(results) == {model.key for model in models}
        for result in results.values():
            assert (result.statistic, result.runs) == ("run", None)
            assert len(result.samples_us) >= ONCE.min_runs
            assert result.before == Conditions(temperature_c=38.0, frequency_mhz=2802.0)
        with made as device:  # it stays on the phone, and is not sent again
            kept = phone.path("/data/local/tmp/elasticvit").glob("runner-*/evit_runner")
            assert len(list(kept)) == 1


@pytest.mark.skipif(why_no_arm64() is not None, reason=why_no_arm64() or "")
@needs_adbd
def test_it_is_what_an_emulated_arm64_phone_runs(key, arm64):
    models = [TimedModel(kernel.key, kernel_model([kernel])) for kernel in KERNELS[:3]]
    entry = CatalogEntry(name="emulated", match={"ro.product.device": ("emu64a",)})
    folder = Path(tempfile.mkdtemp(prefix="evit", dir="/tmp"))
    try:
        with Phone(folder / "p", props=EMULATED, arm64=arm64_root()) as phone:
            made, _ = default_profile(phone, key, entry, 60.0)
            with made as device:
                assert device.info.facts["machine"] == "aarch64"
                assert device.info.runtime_hash == arm64.sha256
                results = list(device.measure(models, ONCE))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert sorted(result.key for result in results) == sorted(model.key for model in models)
    assert all(len(result.samples_us) >= ONCE.min_runs for result in results)
