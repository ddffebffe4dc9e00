"""A finished search that the tests of the export flow export, quickly."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from export_models import finished_search

from elasticvit.workspace import Workspace

QUICK: dict[str, Any] = {"format": "tflite", "images": 8}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace with a finished search, in another folder than the current one."""
    monkeypatch.setattr("elasticvit.flows.export_timing.ROUNDS", 3)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return finished_search(Workspace.open(tmp_path / "ws"))
