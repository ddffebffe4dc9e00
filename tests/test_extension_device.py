"""A device of another package: declared, listed, profiled, and held to the shipped contract.

The package is written, built and installed here, as an outsider would: nothing of it is in this
repository's path. Its latencies are computed from the size of a model, and its source says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "example-board"
version = "1.2"

[project.entry-points."elasticvit.devices"]
exampleboard = "example_board:ExampleBoard"
absent = "example_board_that_is_not_there:Board"
unfit = "example_board:unfit"
failing = "example_board:failing"
host = "example_board:ExampleBoard"
twice = "example_board:ExampleBoard"

[tool.setuptools]
py-modules = ["example_board"]
"""
SECOND = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "second-board"
version = "0.1"

[project.entry-points."elasticvit.devices"]
twice = "second_board:Board"

[tool.setuptools]
py-modules = []
"""
MODULE = '''
"""A board that computes latencies: 5 us, and 1 us for each KB of a model. Nothing is measured."""

import time

from devices import DeviceInfo, Measurement, OpenOptions, Rejected
from devices.order import as_sequence, interleaved
from elasticvit.errors import DeviceUnreachable


class ExampleBoard:
    rounds_are_kept = opening_is_checked = True
    quality = None

    def __init__(self, options: OpenOptions) -> None:
        self.name, self.address, self.is_open = options.name, options.address, False

    @property
    def info(self):
        if self.opening_is_checked and not self.is_open:
            raise DeviceUnreachable(f"{self.name} is not open")
        return DeviceInfo(
            name=self.name, source=f"fake:board at {self.address}", runtime="none", runtime_hash=""
        )

    def __enter__(self):
        self.is_open = True
        return self

    def __exit__(self, *_):
        self.is_open = False

    def measure(self, models, config):
        return self._rounds(self.info, as_sequence(models), config)

    def _rounds(self, info, models, config):
        rejected = set()
        for round_, index in interleaved(len(models), config.rounds, config.seed):
            model = models[index]
            if index in rejected:
                continue
            if model.data[4:8] != b"TFL3":
                rejected.add(index)
                yield Rejected(model.key, "no TFLite model")
                continue
            latency_us = 5.0 + len(model.data) / 1000
            yield Measurement(
                key=model.key,
                samples_us=(latency_us,) * config.min_runs,
                round=round_ if self.rounds_are_kept else 0,
                threads=config.threads,
                cores="board",
                source=info.source,
                runtime=info.runtime,
                runtime_hash=info.runtime_hash,
                time_s=time.time(),
            )


class OneRound(ExampleBoard):
    rounds_are_kept = False


class AlwaysOpen(ExampleBoard):
    opening_is_checked = False


def unfit(options):
    return object()


def failing(options):
    raise KeyError("BOARD_TOKEN")
'''
CONTRACT = """
import pytest
from devices import OpenOptions, TimedModel
from elasticvit.testing import DeviceContract
from example_board import {board}


class TestBoard(DeviceContract):
    source_prefix = "fake:"

    @pytest.fixture
    def device(self):
        return {board}(OpenOptions(name="board"))

    @pytest.fixture
    def bad_model(self):
        return TimedModel("bad", b"no model at all")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder that the package, and a second one that clashes with it, were installed into."""
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    site = tmp_path_factory.mktemp("site")
    (first / "pyproject.toml").write_text(PYPROJECT)
    (first / "example_board.py").write_text(MODULE)
    (second / "pyproject.toml").write_text(SECOND)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(site)]
    subprocess.run([*pip, *offline, str(first), str(second)], check=True, cwd=site)
    return site


@pytest.fixture
def run(installed, tmp_path):
    """Runs Python with the package installed, in a folder and a home of its own."""

    def start(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=os.environ
            | {
                "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}",
                "HOME": str(tmp_path),
                "ANDROID_ADB_SERVER_PORT": "1",
            },
        )

    return start


def opened(run, name: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from devices import open_device; open_device(sys.argv[1])"
    done = run("-c", code, name)
    assert done.returncode != 0
    return done


def test_its_name_is_known_and_nothing_of_it_is_imported_for_that(run):
    code = (
        "import json, sys; from devices import known_devices, open_device; open_device('fake')\n"
        "print(json.dumps([known_devices(), 'example_board' in sys.modules]))"
    )
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    names, imported = json.loads(done.stdout)
    assert {"fake", "pixel6", "exampleboard", "absent"} <= set(names)
    assert names.count("host") == 1
    assert not imported


@pytest.mark.skipif(
    find_spec("elasticvit.flows.connected") is None, reason="the command has no flow to list with"
)
def test_the_command_lists_it(run):
    command = "from elasticvit.cli.profile import main; main()"
    done = run("-c", command, "--list-devices", "--json")
    assert done.returncode == 0, done.stderr
    assert {"fake", "pixel6", "exampleboard", "absent"} <= set(json.loads(done.stdout)["known"])


def test_an_unknown_name_lists_it(run):
    assert "DeviceUnknown" in (said := opened(run, "nosuch").stderr)
    assert "exampleboard" in said


def test_it_is_profiled_by_the_command(run, tmp_path):
    command = "from elasticvit.cli.profile import main; main()"
    options = ["--device", "exampleboard", "--space", "tiny", "--budget-minutes", 0.1]
    done = run("-c", command, *options, "--workspace", tmp_path / "w", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["device"] == "exampleboard"
    assert result["source"] == "fake:board at None"
    assert result["timed"] > 0


def test_an_entry_point_that_cannot_be_imported_is_named_when_it_is_asked_for(run):
    said = opened(run, "absent").stderr
    assert "DeviceError" in said
    assert "example-board" in said
    assert "example_board_that_is_not_there:Board" in said
    assert "ModuleNotFoundError: No module named 'example_board_that_is_not_there'" in said


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("failing", "KeyError: 'BOARD_TOKEN'"),
        ("unfit", "is no device: object has no info, quality, measure, __enter__, __exit__"),
    ],
)
def test_what_is_no_device_is_said_with_its_package(run, name, cause):
    (line,) = [
        line
        for line in opened(run, name).stderr.splitlines()
        if line.startswith("elasticvit.errors.DeviceError")
    ]
    assert f"package example-board 1.2 (example_board:{name})" in line
    assert cause in line


def test_a_name_that_is_taken_is_an_error_that_names_both(run):
    said = opened(run, "host").stderr
    assert "a built-in device" in said
    assert "package example-board 1.2 (example_board:ExampleBoard)" in said


def test_a_name_of_two_packages_is_an_error_that_names_both(run):
    said = opened(run, "twice").stderr
    assert "DeviceError" in said
    for package in ("package example-board 1.2 (", "package second-board 0.1 ("):
        assert package in said


def check_contract(run, folder: Path, board: str) -> subprocess.CompletedProcess[str]:
    """Run the shipped suite as a package's own test would."""
    (folder / "test_board.py").write_text(CONTRACT.format(board=board))
    return run("-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "test_board.py")


def test_the_shipped_contract_holds_for_it(run, tmp_path):
    done = check_contract(run, tmp_path, "ExampleBoard")
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.parametrize(
    ("board", "broken_rule"),
    [
        ("OneRound", "test_every_model_is_measured_once_a_round"),
        ("AlwaysOpen", "test_unopened_device_raises"),
    ],
)
def test_the_shipped_contract_fails_for_a_broken_device(run, tmp_path, board, broken_rule):
    done = check_contract(run, tmp_path, board)
    assert done.returncode == 1, done.stdout
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert f"test_board.py::TestBoard::{broken_rule}" in failed
    if board == "OneRound":  # pytest shows the values: the suite's assertions are rewritten
        assert "At index 1 diff: ('dense 32', 0) != ('dense 32', 1)" in done.stdout


def test_without_pytest_the_suites_say_what_they_need(run):
    code = "import sys; sys.modules['pytest'] = None; import elasticvit.testing"
    done = run("-c", code)
    assert done.returncode == 1
    assert "needs pytest; run `pip install pytest`" in done.stderr
