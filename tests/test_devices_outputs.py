"""What models compute on devices: this computer, phones behind the genuine adbd, an arm64 CPU.

Genuine: adbd, LiteRT with XNNPACK, our own runner. Emulated by qemu: the arm64 CPU. One runner is a
stand-in for benchmark_model with its flags (`adbd/benchmark_model_litert.py`).
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from adbd.arm64 import EMULATED, arm64_root, why_no_arm64
from adbd.harness import HERE, Phone
from adbd.settings import FAST, FAST_LINK, needs_adbd
from click.testing import CliRunner
from export_models import finished_search
from test_devices_native_runner import arm64, default_profile, native

from devices import open_device
from devices.catalog import CatalogEntry
from devices.outputs import compute
from elasticvit.cli.export import main
from elasticvit.errors import DeviceError
from elasticvit.testing.export_format import ARCH, small_subnet
from elasticvit.workspace import Workspace
from export.direct import DirectBackend
from export.litert import LiteRTModel

__all__ = ["arm64", "native"]
pytest_plugins = ["adbd.fixtures"]
LITERT_RUNNER = HERE / "benchmark_model_litert.py"


@pytest.fixture(scope="module")
def model() -> bytes:
    return DirectBackend().convert(small_subnet())


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    side = ARCH.resolution
    return np.random.default_rng(0).normal(size=(3, side, side, 3)).astype(np.float32)


def here(model: bytes, inputs: np.ndarray) -> np.ndarray:
    run = LiteRTModel(model)
    return np.stack([run(one[None]) for one in inputs])


def name_of(model: bytes) -> str:
    from ai_edge_litert.interpreter import Interpreter

    return str(Interpreter(model_content=model).get_input_details()[0]["name"])


def litert_runner(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """The runner that is this computer's Python, and the folders that it needs on the phone."""
    runner = folder / "benchmark_model"
    runner.write_text(LITERT_RUNNER.read_text().replace("#!PYTHON", f"#!{sys.executable}", 1))
    prefixes = {str(Path(sys.prefix).resolve()), str(Path(sys.base_prefix).resolve())}
    return runner, tuple(sorted(p for p in prefixes if not p.startswith("/usr")))


def test_this_computer_computes_what_litert_does(model: bytes, inputs: np.ndarray) -> None:
    with open_device("host") as device:
        found = compute(device, model, inputs, name_of(model))
        np.testing.assert_array_equal(found, here(model, inputs))
        with pytest.raises(DeviceError, match="host refuses the model: ValueError"):
            compute(device, b"no model" * 9, inputs, "x")
        np.testing.assert_array_equal(compute(device, model, inputs, "x"), found)


def test_a_device_that_hands_no_outputs_back_is_an_error(model: bytes, inputs: np.ndarray) -> None:
    with (
        open_device("fake") as device,
        pytest.raises(DeviceError, match="fake times models and hands back no outputs") as caught,
    ):
        compute(device, model, inputs, "x")
    assert caught.value.settings == ("device",)


@needs_adbd
def test_a_phone_with_benchmark_model_computes_the_same(
    folder: Path, open_phone, model: bytes, inputs: np.ndarray
) -> None:
    rules = replace(FAST, runner_timeout_s=60)
    link = replace(FAST_LINK, command_s=60.0)
    runner = folder / "benchmark_model"
    prefixes = {str(Path(sys.prefix).resolve()), str(Path(sys.base_prefix).resolve())}
    extra = tuple(sorted(p for p in prefixes if not p.startswith("/usr")))
    runner.write_text(LITERT_RUNNER.read_text().replace("#!PYTHON", f"#!{sys.executable}", 1))
    with (
        Phone(folder / "p", extra=extra, data_bytes=256 << 20) as phone,
        open_phone(phone, runner=runner, hygiene=rules, link=link) as device,
    ):
        found = compute(device, model, inputs, name_of(model))
        np.testing.assert_allclose(found, here(model, inputs), atol=1e-5)
        assert not phone.path("/data/local/tmp/elasticvit/outputs").exists()
        with pytest.raises(DeviceError, match="did not run the model on its inputs: it ended with"):
            compute(device, model, inputs, "another name")


@needs_adbd
def test_an_export_is_checked_on_the_phone(folder: Path, tmp_path: Path, monkeypatch) -> None:
    """The whole of `evit-export --check-on-device`, with the phone's timing."""
    rules = replace(FAST, runner_timeout_s=60, max_drift=99.0)
    monkeypatch.setattr("devices.phone.device.Hygiene", lambda: rules)
    monkeypatch.setattr("elasticvit.flows.export_timing.ROUNDS", 1)
    monkeypatch.setenv("HOME", str(tmp_path))  # of the keys
    workspace = finished_search(Workspace.open(tmp_path / "w"))
    runner, extra = litert_runner(folder)
    workspace.update({"runner": str(runner)})
    with Phone(folder / "p", extra=extra, data_bytes=256 << 20) as phone:
        (workspace.root / "devices.toml").write_text(
            f'[mine]\nmatch = {{ "ro.product.device" = ["oriole"] }}\naddress = "{phone.address}"\n'
        )
        options = ["--workspace", workspace.root, "--device", "mine", "--check-on-device"]
        options += ["--format", "tflite", "--images", 20, "--json"]
        done = CliRunner().invoke(main, [str(option) for option in options])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["device_check"]["device"] == said["device"] == "mine"
    assert said["device_check"]["source"].startswith("adb:")
    assert said["device_check"]["images"] == 16
    assert said["device_check"]["max_rel_diff"] < 1e-4
    assert "on mine (benchmark_model (classic)" in " ".join(done.stderr.split())


@needs_adbd
def test_a_runner_that_takes_no_inputs_is_named(
    phone, open_phone, model: bytes, inputs: np.ndarray
) -> None:
    with (
        open_phone(phone) as device,
        pytest.raises(
            DeviceError, match=r"takes no inputs .*output_filepath\).*https://"
        ) as caught,
    ):
        compute(device, model, inputs, "x")
    assert caught.value.settings == ("runner",)


@needs_adbd
def test_a_phone_with_our_own_runner_computes_the_same(
    folder, key, native, monkeypatch, model: bytes, inputs: np.ndarray
) -> None:
    monkeypatch.setattr("devices.phone.device.check_compiler", lambda: None)
    with Phone(folder / "p") as phone:
        made, _ = default_profile(phone, key, None, 10.0)
        with made as device:
            found = compute(device, model, inputs, "")
            np.testing.assert_allclose(found, here(model, inputs), atol=1e-5)
            with pytest.raises(DeviceError, match="the inputs do not fit the model"):
                compute(device, model, inputs[:, :31], "")
            with pytest.raises(DeviceError, match="cannot load the model"):
                compute(device, b"no model" * 9, inputs, "")
            assert not phone.path("/data/local/tmp/elasticvit/outputs").exists()


@pytest.mark.skipif(why_no_arm64() is not None, reason=why_no_arm64() or "")
@needs_adbd
def test_an_emulated_arm64_phone_computes_the_same(
    folder, key, arm64, model: bytes, inputs: np.ndarray
) -> None:
    entry = CatalogEntry(name="emulated", match={"ro.product.device": ("emu64a",)})
    with Phone(folder / "p", props=EMULATED, arm64=arm64_root()) as phone:
        made, _ = default_profile(phone, key, entry, 60.0)
        with made as device:
            found = compute(device, model, inputs, "")
            assert device.info.facts["machine"] == "aarch64"
    np.testing.assert_allclose(found, here(model, inputs), atol=1e-5)
