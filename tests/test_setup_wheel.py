"""The wheel, built from a copy of this checkout and installed into an environment of its own.

The environment holds the wheel and what the wheel declares, at the versions of constraints.txt and
nothing else: a dependency that is declared for the tests alone, or not at all, is missing there.
That is 5 seconds with uv's cache filled, which `make` does, and about a minute without. Formats of
optional extras are not installed, and no supernet is trained with the wheel: `make demo` does it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from setup_uv import ROOT, need_registry, outside_env, uv

PACKAGES = {"elasticvit", "predictors", "devices", "lut", "export"}
COMMANDS = ("profile", "train", "search", "export")
IGNORED = (".*", "build", "dist", "demo", "*.egg-info", "__pycache__")
IMPORTS = """
import importlib, json, pkgutil, sys
names = [m.name for p in json.loads(sys.argv[1])
         for m in pkgutil.walk_packages(importlib.import_module(p).__path__, p + ".")
         if not m.name.startswith("elasticvit.testing")]  # it needs pytest, and says so
for name in names:
    importlib.import_module(name)
print(json.dumps({name: sys.modules[name].__file__ for name in names}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_registry()  # for setuptools
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "tree", ignore=shutil.ignore_patterns(*IGNORED))
    uv("build", "--quiet", "--wheel", "--out-dir", folder, folder / "tree", cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of a virtual environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environment")
    uv("venv", "--quiet", "--python", sys.executable, "venv", cwd=folder)
    python = folder / "venv/bin/python"
    constraints = ROOT / "constraints.txt"
    uv("pip", "install", "--quiet", "--python", python, "-c", constraints, wheel, cwd=folder)
    return python.parent


def run(environment: Path, folder: Path, program: str, *args: str) -> str:
    """Standard output of a program of the environment, run in another folder."""
    result = subprocess.run(
        [environment / program, *args],
        cwd=folder,
        env={**outside_env(), "PATH": f"{environment}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in files if ".dist-info/" not in name} == PACKAGES
    sources = {str(p.relative_to(ROOT)) for name in PACKAGES for p in (ROOT / name).rglob("*.py")}
    assert sources == {name for name in files if name.endswith(".py")}


def test_the_wheel_holds_data_and_licence(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel).namelist()
    native = {str(p.relative_to(ROOT)) for p in (ROOT / "devices/phone/native").glob("*.c")}
    assert native
    assert {"devices/catalog.toml", *native} <= {*files}
    assert any(re.fullmatch(r"elasticvit-.*\.dist-info/licenses/LICENSE", name) for name in files)


def test_the_installed_versions_fit_together(environment: Path, tmp_path: Path) -> None:
    uv("pip", "check", "--python", environment / "python", cwd=tmp_path)


@pytest.mark.slow
def test_every_module_is_imported_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    out = run(environment, tmp_path, "python", "-c", IMPORTS, json.dumps(sorted(PACKAGES)))
    files = json.loads(out)
    assert {name.split(".")[0] for name in files} == PACKAGES
    assert all(Path(file).is_relative_to(environment.parent) for file in files.values())


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_answers_from_another_folder(
    command: str, environment: Path, tmp_path: Path
) -> None:
    assert f"Usage: evit-{command}" in run(environment, tmp_path, f"evit-{command}", "--help")
    assert list(tmp_path.iterdir()) == []


def test_the_catalogue_is_read_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    out = run(environment, tmp_path, "evit-profile", "--list-devices", "--json")
    assert "pixel6" in json.loads(out.splitlines()[-1])["known"]


@pytest.mark.slow
def test_this_machine_is_profiled_from_another_folder(environment: Path, tmp_path: Path) -> None:
    options = ["--device", "host", "--space", "tiny", "--budget-minutes", "0.02", "--json"]
    out = run(environment, tmp_path, "evit-profile", *options)
    report = json.loads(out.splitlines()[-1])
    assert report["measured"]["subnet"] > 0
    assert (tmp_path / report["report"]).read_text().startswith("<!doctype html>")
