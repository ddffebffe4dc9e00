"""`evit-profile` with phones, against Debian's genuine adbd."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from adbd.front import Lock
from adbd.harness import PIXEL6, STAND_IN, Phone
from adbd.settings import needs_adbd
from add_models import FLOAT32, INT32, add_model
from click.testing import CliRunner

from devices.phone.native_bundle import find_compiler
from elasticvit.cli.profile import main
from elasticvit.workspace import Workspace
from lut.store import Store
from predictors.predictor import load_predictor

pytest_plugins = ["adbd.fixtures"]
ROOT = Path(__file__).resolve().parent.parent
SPACE = """
name = "few"
[layout]
conv_strides = [2, 1]
conv_se = [false, true]
attn_strides = [2, 1]
head_expansion = 2
head_hidden = 32
classes = 10
in_channels = 3
[choices]
resolution = [24, 32, 40, 48, 64]
"stem.width" = [8]
"stem.depth" = [1]
"stem.expansion" = [1]
"stem.kernel" = [3]
"conv1.width" = [16]
"conv1.depth" = [1]
"conv1.expansion" = [2]
"conv1.kernel" = [3]
"conv2.width" = [24]
"conv2.depth" = [1, 2]
"conv2.expansion" = [2]
"conv2.kernel" = [3]
"attn1.width" = [32]
"attn1.depth" = [1, 2]
"attn1.mlp_ratio" = [2]
"attn1.v_scale" = [2]
"attn2.width" = [48]
"attn2.depth" = [1, 2]
"attn2.mlp_ratio" = [2]
"attn2.v_scale" = [2]
"""


def evit_profile(folder: Path, *options: object) -> subprocess.CompletedProcess[str]:
    """Run the command on a space so small that its plan ends, in a home of its own, so that
    its keys are its own."""
    space = folder / "few.toml"
    space.write_text(SPACE)
    if "--list-devices" not in options:
        options = (*options, "--space", space, "--rounds", 2, "--budget-minutes", 9)
    command = [sys.executable, "-c", "from elasticvit.cli.profile import main; main()"]
    return subprocess.run(
        [*command, "--workspace", str(folder / "w"), *map(str, options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "OMP_NUM_THREADS": "1",
            "ANDROID_ADB_SERVER_PORT": "1",
        },
    )


@needs_adbd
def test_a_phone_is_profiled_and_its_runner_remembered(phone, folder):
    options = ("--device", "pixel6", "--address", phone.address)
    done = evit_profile(folder, *options, "--runner", STAND_IN, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["source"] == "adb:STANDIN0001"
    assert result["complete"]
    assert "timings, reference model within" in done.stderr
    quality = result["quality"]
    assert quality["accepted"] >= result["timed"] > 0
    assert set(quality) >= {"drift", "hottest_c", "repeated", "power_mode", "waited_s"}
    workspace = Workspace.open(folder / "w")
    assert workspace.settings().runner == str(STAND_IN)
    assert workspace.settings().device == "pixel6"
    frame = Store(workspace.lut_path).measurements("pixel6")
    assert not frame.duplicated(["key", "round"]).any()


@needs_adbd
def test_a_fleet_goes_into_one_store_and_one_failure_leaves_the_others(folder):
    pixel4 = PIXEL6 | {"ro.serialno": "STANDIN0002", "ro.product.device": "flame"}
    with Phone(folder / "a") as first, Phone(folder / "b", props=pixel4) as second:
        workspace = Workspace.open(folder / "w")
        workspace.update({"runner": str(STAND_IN)})
        entries = {"desk": ("oriole", first), "shelf": ("flame", second), "lost": ("husky", None)}
        (workspace.root / "devices.toml").write_text(
            "\n".join(
                f'[{name}]\nmatch = {{ "ro.product.device" = ["{device}"] }}\n'
                f'address = "{phone.address if phone else "unix:/nowhere"}"'
                for name, (device, phone) in entries.items()
            )
        )
        names = [option for name in entries for option in ("--device", name)]
        done = evit_profile(folder, *names, "--json")
        both = [o for name in ("shelf", "desk") for o in ("--device", name)]
        again = evit_profile(folder, *both, "--json")
        few = ("--device", "desk", "--like", "shelf", "--budget-kernels", 5, "--json")
        learnt = evit_profile(folder, *few)
    assert done.returncode == 2
    reached = json.loads(done.stdout)
    assert reached["command"] == "evit-profile"
    assert set(reached["devices"]) == {"desk", "shelf"}
    assert "unix:/nowhere" in reached["failed"]["lost"]
    assert again.returncode == 0, again.stderr
    results = json.loads(again.stdout)["devices"]
    assert {n: r["source"] for n, r in results.items()} == {
        "desk": "adb:STANDIN0001",
        "shelf": "adb:STANDIN0002",
    }
    for name, result in results.items():
        assert result["complete"]
        assert result["device"] == name
        assert result["quality"]["accepted"] >= result["timed"] > 0
        assert Path(result["report"]) == workspace.predictor_path(name) / "report.html"
        assert result["errors"]["subnets"]["count"] == result["held_out"]["subnet"]
    assert learnt.returncode == 0, learnt.stderr
    assert set(json.loads(learnt.stdout)["transfer"]["like"]) == {"shelf"}
    assert load_predictor(workspace.predictor_path("desk")).report.like == ("shelf",)
    assert workspace.settings().device == "desk"
    assert done.returncode == 2
    assert "/nowhere" in done.stderr
    assert "Traceback" not in done.stderr
    with Store(workspace.lut_path) as store:
        assert store.devices() == ["desk", "shelf"]
        for name, serial in {"desk": "STANDIN0001", "shelf": "STANDIN0002"}.items():
            assert set(store.measurements(name)["source"]) == {f"adb:{serial}"}
    assert workspace.predictor_path("shelf").exists()


@needs_adbd
def test_what_is_connected_is_listed(folder, phone):
    with Phone(folder / "locked", lock=Lock()) as locked:
        found = []
        for address in (phone.address, locked.address):
            done = evit_profile(folder, "--list-devices", "--address", address, "--json")
            assert done.returncode == 0, done.stderr
            result = json.loads(done.stdout)
            found += result["connected"]
            assert {"host", "pixel6", "galaxy-s24"} <= set(result["known"])
    first, second = found
    assert (first["state"], first["name"]) == ("ready", "pixel6")
    assert (second["state"], second["hint"]) == ("unauthorized", "accept the dialog on the phone")


@needs_adbd
def test_model_files_of_any_origin_are_timed_on_a_phone(folder, phone):
    workspace = Workspace.open(folder / "w")
    workspace.update({"runner": str(STAND_IN)})
    words = []
    for name, types in {"plain": (FLOAT32,), "mixed": (FLOAT32, INT32)}.items():
        (folder / f"{name}.tflite").write_bytes(add_model(*types))
        words += ["--model", str(folder / f"{name}.tflite")]
    words += ["--device", "pixel6", "--address", phone.address, "--rounds", "2", "--json"]
    done = CliRunner().invoke(main, ["--workspace", str(workspace.root), *words])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout.strip())["devices"]["pixel6"]
    assert result["source"] == "adb:STANDIN0001"
    assert "reference model within" in result["quality"]
    assert result["temperature_c"] is not None
    assert result["corrected"] is False
    for model in result["models"].values():
        assert model["timing"]["rounds"] == 2
        assert model["timing"]["load_ms"] == 0.5  # as the stand-in says
        assert model["timing"]["threads_started"] is None
    assert f"--address {phone.address}" in result["command_again"]
    assert not workspace.lut_path.exists()


@needs_adbd
def test_the_wrong_phone_is_one_clear_sentence(folder, phone):
    options = ("--device", "pixel4", "--address", phone.address, "--runner", STAND_IN)
    done = evit_profile(folder, *options)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Google Pixel 6" in done.stderr
    assert "not pixel4" in done.stderr
    assert Workspace.open(folder / "w").settings().runner is None  # it was never tried


@pytest.mark.skipif(find_compiler("aarch64") is not None, reason="one can be built here")
def test_a_phone_without_a_runner_names_the_official_one(folder):
    done = evit_profile(folder, "--device", "pixel6", "--address", "unix:/nowhere")
    assert done.returncode == 2
    assert "name it as the runner" in done.stderr
    assert "--runner:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_address_is_refused_before_a_runner_is_looked_for(folder):
    done = evit_profile(folder, "--device", "pixel6", "--address", "phone:99999")
    assert done.returncode == 2
    assert "phone:99999" in done.stderr
    assert "HOST:PORT" in done.stderr
    assert "runner" not in done.stderr
