"""The phone path against an emulated arm64 phone that runs real kernel models.

Genuine: Debian's arm64 adbd, mksh and toybox; the arm64 library of LiteRT 2.1.0 with XNNPACK's
arm64 kernels, which times and runs models of every kernel kind; our device and profiling code;
`uname -m`. Emulated: the CPU, instruction by instruction, by qemu; so no time is that of any
phone, and every row says so. Scripted: `getprop`, which tells what emulators tell
(`ro.boot.qemu`), `dumpsys`, `taskset`, `id` and /sys. Ours: the runner, Python on LiteRT's C
interface (`adbd/benchmark_model_arm64.py`). Not there: Android's own C library and kernel.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from adbd.arm64 import EMULATED, arm64_root
from adbd.harness import HERE, Phone
from adbd.settings import FAST, FAST_LINK, ONCE, needs_arm64
from ai_edge_litert.interpreter import Interpreter
from click.testing import CliRunner

from devices import TimedModel
from devices.adb.connection import AdbConnection
from devices.adb.link import AdbLink
from devices.catalog import CatalogEntry
from devices.phone.folder import content_name
from elasticvit.cli.profile import main
from elasticvit.errors import PredictorError
from elasticvit.kernels import (
    FFN,
    KINDS,
    Attention,
    Downsample,
    FirstConv,
    Head,
    Kernel,
    MBConv,
    lower,
)
from elasticvit.space import TINY
from elasticvit.workspace import Workspace
from export.inspect import operators
from export.kernel_models import kernel_model
from lut.dataset import Dataset
from lut.store import Store
from predictors.fit import fit_predictor

pytest_plugins = ["adbd.fixtures"]
pytestmark = needs_arm64
RUNNER = HERE / "benchmark_model_arm64.py"
AARCH64 = 183  # the machine in the head of its programs
OUTPUTS = "/data/local/tmp/outputs"  # where the runner writes what a model computes
SOURCE = "adb-emulated:EMULATOR0001"
ENTRY = CatalogEntry(name="emulated", match={"ro.product.device": ("emu64a",)})
RULES = replace(FAST, max_drift=99.0, runner_timeout_s=60)  # an emulator's speed is no measure
LINK = replace(FAST_LINK, command_s=60.0)
KERNELS: list[Kernel] = [
    FirstConv(9, 3, 8),
    MBConv(6, 8, 8, 1, 3, 1, 0),
    MBConv(7, 8, 12, 3, 5, 2, 1),
    Downsample(5, 8, 16, 2),
    Attention(3, 16, 2),
    FFN(3, 16, 2),
    Head(2, 16, 2, 24, 10),
]
SPACE = """
name = "two"
[layout]
conv_strides = [2]
conv_se = [true]
attn_strides = [2]
head_expansion = 2
head_hidden = 24
classes = 10
in_channels = 3
[choices]
resolution = [16, 24]
"stem.width" = [8]
"stem.depth" = [1]
"stem.expansion" = [1]
"stem.kernel" = [3]
"conv1.width" = [8]
"conv1.depth" = [1]
"conv1.expansion" = [2]
"conv1.kernel" = [3]
"attn1.width" = [16]
"attn1.depth" = [1]
"attn1.mlp_ratio" = [2]
"attn1.v_scale" = [2]
"""


@pytest.fixture(scope="module")
def emulated():
    """One phone for all tests; starting it takes a moment."""
    folder = Path(tempfile.mkdtemp(prefix="evit", dir="/tmp"))
    with Phone(folder / "p", props=EMULATED, arm64=arm64_root()) as phone:
        yield phone
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def device(emulated, open_phone):
    made = open_phone(emulated, "emulated", entry=ENTRY, runner=RUNNER, hygiene=RULES, link=LINK)
    with made as opened:
        yield opened


@pytest.fixture
def link(emulated, key):
    link = AdbLink(AdbConnection(emulated.address, config=LINK, keys=[key]))
    link.connection.connect()
    yield link
    link.connection.close()


def computed_here(data: bytes) -> np.ndarray:
    """What this computer's LiteRT computes from the runner's inputs."""
    model = Interpreter(model_content=data, num_threads=1)
    model.allocate_tensors()
    for detail in model.get_input_details():
        shape = detail["shape"]
        x = (np.arange(np.prod(shape)) * 37 % 101 - 50) / 32
        model.set_tensor(detail["index"], x.reshape(shape).astype(np.float32))
    model.invoke()
    return np.concatenate(
        [model.get_tensor(detail["index"]).ravel() for detail in model.get_output_details()]
    )


def test_it_is_an_arm64_machine_and_says_that_it_is_emulated(device, link):
    assert link.shell("uname -m").stdout == "aarch64\n"
    for program in ("/usr/sbin/adbd", "/bin/sh", "/bin/toybox", "/usr/lib/libLiteRt.so"):
        read = link.shell(f"od -An -j18 -N2 -tu2 {program}").stdout
        assert int(read) == AARCH64, program
    assert device.info.facts["machine"] == "aarch64"
    assert device.info.facts["emulated"]
    assert device.info.source == SOURCE


def test_every_kind_of_kernel_computes_on_arm64_what_it_computes_here(device, link):
    assert {kernel.kind for kernel in KERNELS} == set(KINDS)
    chains = {kernel.key: (kernel,) for kernel in KERNELS}
    chains["the smallest subnet"] = lower(TINY.smallest, TINY.layout)
    models = [TimedModel(key, kernel_model(chain)) for key, chain in chains.items()]
    link.run(f"mkdir -p {OUTPUTS}")
    try:
        results = list(device.measure(models, ONCE))
        assert sorted(r.key for r in results) == sorted(chains)
        assert {r.source for r in results} == {SOURCE}
        for model in models:
            file = f"{OUTPUTS}/{content_name(model.data)}"
            there = np.frombuffer(link.pull(file), np.float32)
            here = computed_here(model.data)
            assert here.std() > 0
            np.testing.assert_allclose(there, here, rtol=0, atol=1e-5, err_msg=model.key)
            # XNNPACK keeps every tensor between two operators to itself: it takes them all
            between = sum(len(op.outputs) for op in operators(model.data)) - 1
            assert int(link.pull(f"{file}.inner")) == between, model.key
    finally:
        link.run(f"rm -rf {OUTPUTS}")


def test_a_profile_of_it_is_marked_and_nothing_is_predicted_from_it(
    emulated, tmp_path, monkeypatch
):
    """The whole of `evit-profile`, but for the rules of drift, which an emulator cannot keep."""
    monkeypatch.setattr("devices.phone.device.Hygiene", lambda: RULES)
    monkeypatch.setenv("HOME", str(tmp_path))  # of the keys
    workspace = Workspace.open(tmp_path / "w")
    workspace.update({"runner": str(RUNNER)})
    (workspace.root / "devices.toml").write_text(
        '[emulated]\nmatch = { "ro.product.device" = ["emu64a"] }\n'
        f'address = "{emulated.address}"\n'
    )
    space = tmp_path / "two.toml"
    space.write_text(SPACE)
    options = ["--workspace", workspace.root, "--space", space]
    options += ["--rounds", 2, "--budget-minutes", 0.02]
    done = CliRunner().invoke(main, ["--device", "emulated", *map(str, options)])
    assert done.exit_code == 2, done.output
    assert f"measurements of {SOURCE} come from an emulator" in " ".join(done.output.split())
    assert not workspace.predictor_path("emulated").exists()
    with Store(workspace.lut_path) as store:
        frame = store.measurements("emulated")
        assert set(frame["source"]) == {SOURCE}
        assert set(frame["kind"]) == {"subnet", *KINDS}
        assert (frame["median_ms"] > 0).all()
        loaded = workspace.space(None)
        data = Dataset.of(store, "emulated", loaded)
    with pytest.raises(PredictorError, match="come from an emulator"):
        fit_predictor(
            data.fit_kernels,
            data.fit_subnets,
            loaded,
            device="emulated",
            source=data.series.source,
        )
