"""Commands that are printed: they can be copied, and act on the same workspace."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from add_models import FLOAT32, add_model
from click.testing import CliRunner

import elasticvit as ev
from elasticvit.cli import status
from elasticvit.cli.command import command_line
from elasticvit.cli.report import Report
from elasticvit.errors import NextStep


@pytest.mark.parametrize(
    ("flow", "settings", "typed"),
    [
        ("train", {"fresh": True}, "evit-train --fresh"),
        (
            "train",
            {"fresh": False, "bank": True, "preference": False},
            "evit-train --bank on --preference off",
        ),
        (
            "train",
            {"teacher": ["a", "b c"], "lr": 0.25},
            "evit-train --teacher a --teacher 'b c' --lr 0.25",
        ),
        ("search", {"target_ms": [[10.0, 15.5]]}, "evit-search --target-ms 10,15.5"),
        ("search", {"target_ms": [10.0, 15.5]}, "evit-search --target-ms 10 --target-ms 15.5"),
        ("search", {"target_ms": "4,6"}, "evit-search --target-ms 4,6"),
        ("search", {"target_mmacs": [1e-05, 2.0]}, "evit-search --target-mmacs 1e-05,2"),
        (
            "search",
            {"target": {"pixel6": [3, 4], "size": 1}},
            "evit-search --target pixel6=3,4 --target size=1",
        ),
        ("search", {"start": []}, "evit-search --start none"),
        ("search", {"keep": {"resolution": 96}, "out": "x"}, "evit-search --keep resolution=96"),
        ("profile", {"table": "a.csv"}, "evit-profile --import a.csv"),
    ],
)
def test_settings_become_options(flow: str, settings: dict[str, Any], typed: str) -> None:
    assert command_line(NextStep(flow, settings)) == typed


def test_the_workspace_is_part_of_every_printed_command(tmp_path: Path) -> None:
    root = str(tmp_path / "a workspace")
    shown = CliRunner().invoke(status.main, ["--workspace", root])
    assert f"next: evit-profile --device host --workspace {shlex.quote(root)}" in shown.stdout
    assert command_line(NextStep("train"), workspace="b") == "evit-train --workspace b"

    from elasticvit.cli.search import main as search

    failed = CliRunner().invoke(search, ["--target-ms", "3", "--workspace", root])
    assert failed.exit_code == 2
    assert f"run: evit-train --workspace {shlex.quote(root)}\n" in failed.stderr


def test_a_timing_is_repeated_in_the_same_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.tflite").write_bytes(add_model(FLOAT32, FLOAT32))
    again = {}
    for root in (None, "ws"):
        found = ev.time_models(model="a.tflite", device="fake", rounds=2, workspace=root)
        again[root] = found.devices["fake"].command
    assert again["ws"] == f"{again[None]} --workspace ws"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_printed_command_is_one_line(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    command = "evit-train " + " ".join(f"--option-{n} value" for n in range(9))
    with Report(as_json) as report:
        report.close({}, command)
    out, err = capsys.readouterr()
    assert f"next: {command}\n" in (err if as_json else out)
