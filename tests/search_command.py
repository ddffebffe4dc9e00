"""Runs `evit-search` on a supernet and predictors made in a moment."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from small_search import workspace_with_devices

from elasticvit.cli.search import main
from elasticvit.workspace import Workspace

SIZES = ("--population", "3", "--generations", "1")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_with_devices(tmp_path / "ws")


def search(workspace: Workspace, *options: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(main, ["--workspace", str(workspace.root), *options])


def closing(result: Result) -> dict:
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    return json.loads(line)
