"""`evit-profile --model`: model files timed side by side, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from timed_models import fake, in_this_process, models

from elasticvit.cli.profile import main

__all__ = ["fake", "models"]
pytestmark = pytest.mark.usefixtures(in_this_process.__name__)


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
