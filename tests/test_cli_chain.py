"""The four commands in an empty folder, as a user runs them, and out of order."""

import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from elasticvit.space import TINY

BIN = Path(sys.executable).parent
# the cheaper choices of every gene: the largest subnet of `tiny` takes seconds a training step
PART = replace(TINY, name="part", choices=tuple(choices[:2] for choices in TINY.choices))
SMALL = {
    "evit-profile": ["--space", "../part.toml", "--budget-minutes", "0.2"],
    "evit-train": ["--epochs", "1"],
    "evit-search": ["--target-ms", "1000", "--population", "4", "--generations", "1"],
    "evit-export": ["--format", "tflite"],
}


def run(command: str, *options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / command, *options],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=400,
        env=os.environ | {"COLUMNS": "120"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chain")
    (root / "part.toml").write_text(PART.to_toml())
    (root / "empty").mkdir()
    return root / "empty"


@pytest.fixture(scope="module")
def results(folder: Path) -> dict[str, dict]:
    """The closing JSON line of each command, run one after the other in one empty folder."""
    lines = {}
    for command, options in SMALL.items():
        done = run(command, *options, "--json", cwd=folder)
        assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}"
        (line,) = done.stdout.splitlines()
        lines[command] = json.loads(line)
        if command != "evit-export":
            following = list(SMALL)[list(SMALL).index(command) + 1]
            assert f"next: {following}" in done.stderr, done.stderr[-500:]
    return lines


def test_everything_lies_in_one_workspace(folder: Path, results: dict) -> None:
    assert [p.name for p in folder.iterdir()] == [".evit"]
    settings = (folder / ".evit" / "settings.toml").read_text()
    for fact in ('space = "part"', 'data = "digits"', 'device = "host"', "[latest]"):
        assert fact in settings


def test_the_exported_file_runs_in_litert(folder: Path, results: dict) -> None:
    from ai_edge_litert.interpreter import Interpreter

    export = results["evit-export"]
    interpreter = Interpreter(str(folder / export["path"]))
    interpreter.allocate_tensors()
    (takes,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    _, height, width, channels = takes["shape"]
    assert (height, channels) == (width, 3)
    interpreter.set_tensor(takes["index"], np.zeros(takes["shape"], np.float32))
    interpreter.invoke()
    assert interpreter.get_tensor(gives["index"]).shape == (1, 10)


def test_the_numbers_hang_together(folder: Path, results: dict) -> None:
    search, export = results["evit-search"], results["evit-export"]
    assert search["predicted_ms"] == pytest.approx(export["predicted_ms"])
    assert search["predicted_ms"] <= search["target"] == 1000
    assert export["measured_ms"] > 0
    assert abs(export["torch_accuracy"] - export["exported_accuracy"]) <= 0.5
    assert export["torch_accuracy"] == pytest.approx(search["test_accuracy"])
    written = json.loads((folder / search["folder"] / "search.json").read_text())
    assert written["arch"] == search["arch"]


def test_the_tables_of_the_readme_read_what_the_commands_say(
    results: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "benchmarks"))
    render = importlib.import_module("results_tables").render
    machine = {"cpu": "this one", "cores": 2}
    line = {"command": "the chain", "date": "today", "commit": "this", "machine": machine}
    demo = {command.removeprefix("evit-"): result for command, result in results.items()}
    text = render(
        {
            "demo": line | {"seconds": 90.0, "result": demo},
            "profile_tiny": line | {"result": results["evit-profile"]},
        }
    )
    measured = f"{results['evit-export']['measured_ms']:.3f} ms"
    assert f"| `the chain` | 1.5 min | 1000 ms | {demo['search']['predicted_ms']:.3f}" in text
    assert measured in text
    assert "| noise floor, the same subnets timed twice |" in text


def test_a_second_run_on_other_data_is_nothing_special(folder: Path, results: dict) -> None:
    """Photographs of three classes after digits of ten: trained, searched and exported, with the
    profile that is there."""
    photos, rng = folder.parent / "photos", np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        (photos / name).mkdir(parents=True)
        for i in range(30):
            pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(photos / name / f"{i}.png")
    options = {**SMALL, "evit-train": ["--data", str(photos), "--epochs", "1"]}
    for command in ("evit-train", "evit-search", "evit-export"):
        done = run(command, *options[command], "--json", cwd=folder)
        assert done.returncode == 0, f"{command}: {done.stderr[-3000:]}"
    export = json.loads(done.stdout)
    labels = Path(folder / export["folder"] / "labels.txt").read_text().split()
    assert labels == ["cat", "dog", "owl"]


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        ("evit-search", ["--target-ms", "5"], "run: evit-train"),
        ("evit-export", [], "run: evit-search"),
        ("evit-profile", ["--device", "nokia3310"], "nokia3310"),
        ("evit-profile", ["--space", "huge"], "known are mobile, tiny"),
        ("evit-train", ["--data", "no-such-data"], "no-such-data"),
        ("evit-export", ["--format", "coreml"], "coreml"),
        ("evit-train", ["--epochs", "minus one"], "minus one"),
    ],
)
def test_mistakes_are_answered_in_one_message(
    tmp_path: Path, command: str, options: list[str], message: str
) -> None:
    done = run(command, *options, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_folder_is_no_workspace(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    done = run("evit-train", "--workspace", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2
    assert "is no workspace" in done.stderr
