"""uv and a package registry, for the tests of what is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@cache
def uv_program() -> str:
    """Path of uv; skips the test if it is not installed."""
    if find_spec("uv") is not None:
        from uv import find_uv_bin

        return str(find_uv_bin())
    found = shutil.which("uv")
    return found or pytest.skip("uv is not installed: pip install uv")


def uv(*args: str | Path, cwd: Path) -> str:
    """Run uv and return its standard output; its error output is in the failure if it fails."""
    result = subprocess.run(
        [uv_program(), *map(str, args)],
        cwd=cwd,
        env=outside_env(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, f"uv {' '.join(map(str, args))}\n{result.stderr}"
    return result.stdout


def outside_env() -> dict[str, str]:
    """Environment variables of a shell outside of this checkout, where uv uses the Python that is
    there."""
    ours = ("PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "UV_PYTHON_DOWNLOADS": "never"}


@cache
def _registry_error() -> str:
    """Why uv cannot reach its package registry; empty if it can."""
    result = subprocess.run(
        [uv_program(), "pip", "compile", "--quiet", "--no-deps", "--refresh", "-"],
        input="iniconfig",
        capture_output=True,
        text=True,
        timeout=120,
        env=outside_env(),
    )
    return "" if result.returncode == 0 else result.stderr.strip()


def need_registry() -> None:
    """Skips the test if no package registry can be reached."""
    if error := _registry_error():
        pytest.skip(f"no package registry can be reached: {error[-300:]}")
