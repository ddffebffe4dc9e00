"""Model files to be timed, and the computed device that times them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from add_models import FLOAT32, INT8, INT32, add_model

from devices.fake import FakeDevice
from export.inspect import delegation


@pytest.fixture
def models(tmp_path: Path) -> list[Path]:
    """Three files: one that is delegated, one that is not in one piece, and one in int8."""
    kinds = {"plain": (FLOAT32,), "mixed": (FLOAT32, INT32), "small": (INT8,)}
    paths = []
    for name, types in kinds.items():
        paths.append(tmp_path / f"{name}.tflite")
        paths[-1].write_bytes(add_model(*types))
    return paths


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks how models are delegated without a process of its own for each, which takes longer
    than all else."""
    monkeypatch.setattr("elasticvit.flows.model_files.delegation_apart", delegation)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes every device that is opened a `FakeDevice` with these arguments."""

    def use(**options: Any) -> None:
        options = {"noise": 0.02, **options}
        monkeypatch.setattr("devices.open_device", lambda *_, **__: FakeDevice(**options))

    return use
