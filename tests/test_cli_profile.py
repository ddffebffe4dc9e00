"""evit-profile: as a user runs it, with the device that computes its latencies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from elasticvit.arch import ArchBatch
from elasticvit.cli.profile import main
from elasticvit.published import published
from elasticvit.space import TINY
from elasticvit.workspace import Workspace
from lut.exchange import read_table
from lut.store import Store
from predictors.predictor import load_predictor
from predictors.workspace_predictors import load_device_predictor

SHARED = Path(__file__).parents[2] / "shared" / "data" / "block_luts"
needs_tables = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the block tables are not part of this project ({SHARED} absent)"
)
BUDGET = ["--space", "tiny", "--budget-minutes", "0.2", "--rounds", "2"]


def call(folder: Path, *options: str, device: str | None = "fake") -> Result:
    named = ["--device", device] if device else []
    return CliRunner().invoke(main, [*options, *named, "--workspace", str(folder), "--json"])


def refused(result: Result, *words: str) -> None:
    """One clear sentence, no traceback, exit code 2."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 6


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a profile of the fake device."""
    folder = tmp_path_factory.mktemp("profile") / "ws"
    result = call(folder, *BUDGET)
    assert result.exit_code == 0, result.output
    (folder.parent / "result.json").write_text(result.stdout)
    (folder.parent / "told.txt").write_text(result.stderr)
    return folder


def test_a_profile_ends_with_one_json_line(profiled: Path) -> None:
    (line,) = (profiled.parent / "result.json").read_text().splitlines()
    result = json.loads(line)
    assert result["device"] == "fake"
    assert result["source"] == "fake:fake"
    assert result["timed"] > 50
    assert set(result["errors"]) >= {"kernels", "subnets", "subnets, as sums of kernels"}
    for row in (*result["errors"].values(), result["noise_floor"]):
        assert row["count"] > 0
        assert 0 <= row["within_5_pct"] <= row["within_10_pct"] <= 100
    assert result["noise_floor"]["rmspe_pct"] == 0.0  # the fake has no noise
    assert result["drift"]["spread_pct"] == 0.0


def test_a_person_is_told_the_errors_the_source_and_the_next_step(profiled: Path) -> None:
    told = (profiled.parent / "told.txt").read_text()
    for words in ("fake:fake", "held out", "noise floor", "RMSPE", "drift:", "next: evit-train"):
        assert words in told


def test_the_report_is_a_page(profiled: Path) -> None:
    (line,) = (profiled.parent / "result.json").read_text().splitlines()
    page = Path(json.loads(line)["report"]).read_text()
    for words in ("Latency profile of fake", "fake:fake", "Where the time goes", "noise floor"):
        assert words in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_predictor_and_the_default_device_are_set(profiled: Path) -> None:
    workspace = Workspace.open(profiled)
    assert workspace.settings().device == "fake"
    assert load_predictor(workspace.predictor_path("fake")).source == "fake:fake"
    cost = load_device_predictor(workspace, "fake").cost(TINY)
    assert cost.unit == "ms"


def test_the_predictor_never_saw_what_is_held_out(profiled: Path) -> None:
    workspace = Workspace.open(profiled)
    report = load_predictor(workspace.predictor_path("fake")).report
    (line,) = (profiled.parent / "result.json").read_text().splitlines()
    measured = json.loads(line)["measured"]
    assert report.subnets == measured["subnet"]
    assert report.kernels == sum(measured.values()) - measured["subnet"]


def test_an_architecture_is_explained(profiled: Path) -> None:
    result = call(profiled, "--explain", "smallest", device=None)
    assert result.exit_code == 0, result.output
    explained = json.loads(result.stdout)
    rows = explained["kernels"]
    assert [rows[0]["place"], rows[-1]["place"]] == ["first.0.block", "subnet"]
    total = sum(row["ms"] for row in rows)
    cost = load_device_predictor(Workspace.open(profiled), "fake").cost(TINY)
    assert total == pytest.approx(float(cost.price(ArchBatch.of([TINY.smallest]))[0]))
    assert explained["ms"] == pytest.approx(total)
    assert explained["lower_ms"] <= explained["ms"] <= explained["upper_ms"]
    assert explained["architecture"] == str(TINY.smallest)
    pasted = call(profiled, "--explain", str(TINY.smallest), device=None)
    assert json.loads(pasted.stdout)["ms"] == explained["ms"]
    refused(call(profiled, "--explain", "elastic_S1"), "convolutional")
    refused(call(profiled, "--explain", "elastic_S9"), "no architecture 'elastic_S9'", "smallest")


def test_a_table_goes_out_and_in(profiled: Path, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    assert call(profiled, "--export-lut", str(file), device=None).exit_code == 0
    count = len(read_table(file).rows)
    other = ["--space", "tiny", "--import", str(file)]
    refused(call(tmp_path / "ws", *other, device="mine"), "measured on 'fake'", "--force")
    assert not (tmp_path / "ws").exists()
    result = call(tmp_path / "ws", *other, device=None)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["device"] == "fake"
    result = call(tmp_path / "ws", *other, "--force", device="mine")
    assert result.exit_code == 0, result.output
    imported = json.loads(result.stdout)
    assert imported["added"] == count > 50
    assert imported["source"] == "fake:fake"
    before = json.loads((profiled.parent / "result.json").read_text())["errors"]["subnets"]
    assert imported["errors"]["subnets"]["rmspe_pct"] == pytest.approx(before["rmspe_pct"])


def test_two_devices_are_profiled_at_once(tmp_path: Path) -> None:
    options = [*BUDGET, "--budget-minutes", "0.1", "--device", "host", "--device", "fake"]
    result = call(tmp_path / "ws", *options, device=None)
    assert result.exit_code == 0, result.output
    both = json.loads(result.stdout)["devices"]
    assert both["fake"]["source"] == "fake:fake"
    assert both["host"]["source"].startswith("host:")
    assert Workspace.open(tmp_path / "ws").settings().device == "host"
    with Store(tmp_path / "ws" / "lut.sqlite") as store:
        assert store.devices() == ["fake", "host"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--device", "nokia3310"], ["no device 'nokia3310'", "pixel6"]),
        (["--device", "fake", "--space", "huge"], ["no space 'huge'"]),
        (["--device", "fake", "--device", "fake"], ["named twice"]),
        (["--device", "fake", "--address", "1.2.3.4"], ["not a phone", "--address"]),
        (["--device", "host", "--runner", "b"], ["runner b is for phones", "host is none"]),
        (["--device", "a", "--device", "b", "--explain", "x"], ["name one --device"]),
        (["--explain", "x", "--export-lut", "y.csv"], ["name one"]),
        (["--device", "fake", "--explain", "smallest"], ["evit-profile --device fake"]),
        (["--device", "fake", "--export-lut", "y.csv"], ["no measurements of 'fake'"]),
        (["--device", "fake", "--import", "none.json"], ["there is no none.json"]),
        (["--explain", "elastic_S1"], ["no profiled device"]),
        (["--device", "fake", "--import", "none.csv"], ["there is no none.csv"]),
        (["--budget-minutes", "0"], ["0.02"]),
        (["--rounds", "1"], ["--rounds"]),
    ],
)
def test_bad_input_is_refused(tmp_path: Path, options: list[str], words: list[str]) -> None:
    refused(call(tmp_path / "ws", *options, device=None), *words)
    assert not (tmp_path / "ws").exists()


def test_a_refused_device_leaves_no_workspace(tmp_path: Path) -> None:
    refused(call(tmp_path / "ws", device="nokia3310"))
    assert not (tmp_path / "ws").exists()


def test_a_damaged_table_is_refused_and_left(tmp_path: Path) -> None:
    Workspace.open(tmp_path / "ws").update({})
    table = tmp_path / "ws" / "lut.sqlite"
    table.write_text("no table")
    refused(call(tmp_path / "ws", *BUDGET), "not a latency table")
    assert table.read_text() == "no table"


def test_devices_are_listed(tmp_path: Path) -> None:
    result = call(tmp_path / "ws", "--list-devices", device=None)
    assert result.exit_code == 0, result.output
    assert {"host", "pixel4", "pixel6", "xiaomi11"} <= set(json.loads(result.stdout)["known"])


def test_an_interrupted_profile_keeps_what_it_has(tmp_path: Path) -> None:
    command = [Path(sys.executable).parent / "evit-profile", "--workspace", tmp_path / "ws"]
    process = subprocess.Popen(
        [*command, "--device", "fake", "--space", "tiny", "--budget-minutes", "5", "--json"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    table = tmp_path / "ws" / "lut.sqlite"
    for _ in range(600):
        time.sleep(0.05)
        if table.exists() and table.with_name("lut.sqlite-wal").exists():
            with Store(table) as store:
                if store.devices():
                    break
    process.send_signal(signal.SIGINT)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert "the measurements that were made are kept" in told
    assert out == ""
    with Store(table) as store:
        assert len(store.measurements("fake")) > 0


@needs_tables
def test_an_imported_table_prices_a_phone_that_is_not_there(tmp_path: Path) -> None:
    path = SHARED / "pixel6_lut_ln_v3.json"
    result = call(tmp_path / "ws", "--import", str(path), device="pixel6")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["source"], told["missing"]) == ("import:pixel6_lut_ln_v3.json", [])
    said = " ".join(result.stderr.split())
    assert "conditions unrecorded" in said
    assert told["remarks"] == []
    sums = {row["architecture"]: row for row in told["architectures"]}
    assert len(sums) == 9
    assert f"{sums['elastic_L3']['authors_ms']:.3f}" in said
    explained = call(tmp_path / "ws", "--explain", "elastic_S1", device="pixel6")
    assert json.loads(explained.stdout)["upper_ms"] is None
    assert "pixel6_lut_ln_v3.json, imported, conditions unrecorded" in " ".join(
        explained.stderr.split()
    )
    workspace = Workspace.open(tmp_path / "ws")
    assert workspace.settings().device == "pixel6"
    cost = load_device_predictor(workspace, "pixel6").cost(workspace.space())
    price = float(cost.price(ArchBatch.of([published("elastic_S1")]))[0])
    assert price == pytest.approx(13.576928, rel=1e-6)
    again = call(tmp_path / "ws", "--import", str(path), device="pixel6")
    assert json.loads(again.stdout)["added"] == 0


@needs_tables
def test_whose_table_it_is_has_to_be_said(tmp_path: Path) -> None:
    """A phone's table once became the host's, and replaced what was measured, without a word."""
    path = str(SHARED / "pixel6_lut_ln_v3.json")
    refused(call(tmp_path / "ws", "--import", path, device=None), "--device", "does not say which")
    assert not (tmp_path / "ws").exists()
    assert call(tmp_path / "ws", *BUDGET).exit_code == 0
    before = load_predictor(Workspace.open(tmp_path / "ws").predictor_path("fake")).source
    refused(call(tmp_path / "ws", "--import", path, device="fake"), "measurements", "--force")
    after = load_predictor(Workspace.open(tmp_path / "ws").predictor_path("fake")).source
    assert before == after == "fake:fake"
    forced = call(tmp_path / "ws", "--import", path, "--force", device="fake")
    assert json.loads(forced.stdout)["source"] == "import:pixel6_lut_ln_v3.json"


@needs_tables
def test_missing_kernels_are_listed(tmp_path: Path) -> None:
    path = SHARED / "pixel6_lut_ln_v3.json"
    result = call(tmp_path / "ws", "--space", "tiny", "--import", str(path), device="pixel6")
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["missing"]) > 100
    assert "are not in the table" in result.stderr
