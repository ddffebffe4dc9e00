"""What is imported is declared, what is declared is used, and all of it is pinned."""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib.metadata import packages_distributions

import pytest
import tomlkit
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setup_uv import ROOT, need_registry, uv

PROJECT = tomlkit.parse((ROOT / "pyproject.toml").read_text()).unwrap()["project"]
SHIPPED = ("elasticvit", "predictors", "devices", "lut", "export")
PYTHONS = ("3.10", "3.11", "3.12")
MACHINES = ("x86_64", "aarch64")
UNDER_OTHERS = {"onnxscript", "torchvision"}  # imported by torch's ONNX exporter, by timm's data
INSTEAD = {"tflite-runtime"}  # imported, where a board has it instead of ai-edge-litert
BY_TESTS = {"pytest"}  # imported by elasticvit.testing, which tests of other packages import
NOT_IMPORTED = {"ruff", "mypy", "pandas-stubs", "pytest-xdist"}
NOTEBOOK = {"ipykernel"}  # runs the notebook in docs/


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


@cache
def imported(*folders: str) -> frozenset[str]:
    """Distributions that the Python files of folders import from."""
    modules = set()
    for path in (p for folder in folders for p in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.split(".")[0])
    known = packages_distributions()
    # tests and benchmarks import their neighbours by their bare names
    own = {path.stem for folder in {*folders} - {*SHIPPED} for path in (ROOT / folder).iterdir()}
    others = modules - sys.stdlib_module_names - {*SHIPPED, "tests"} - own
    return frozenset(canonicalize_name(known.get(name, [name])[0]) for name in others)


def pins(python: str, machine: str) -> dict[str, str]:
    """Versions of constraints.txt that hold for a Python version and a machine."""
    environment = {
        **default_environment(),
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
    }
    found: dict[str, str] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(environment):
            name = canonicalize_name(pin.name)
            assert name not in found, f"{name} is pinned twice for Python {python}"
            found[name] = str(pin.specifier)
    return found


def test_what_the_packages_import_is_a_dependency_and_used() -> None:
    extras = PROJECT["optional-dependencies"]
    declared = names(PROJECT["dependencies"])
    needed = imported(*SHIPPED)
    optional = names([*extras["runner"], *extras["onnx2tf"], *extras["litert-torch"]])
    assert needed - INSTEAD - BY_TESTS - optional <= declared
    assert declared <= needed | UNDER_OTHERS


def test_what_tests_and_benchmarks_import_is_declared_and_used() -> None:
    extras = PROJECT["optional-dependencies"]
    needed = imported("tests", "benchmarks")
    benchmarks = names(extras["benchmarks"])
    assert needed <= names(PROJECT["dependencies"]) | names(extras["dev"]) | benchmarks
    assert benchmarks <= needed
    assert names(extras["dev"]) <= needed | NOT_IMPORTED | NOTEBOOK


@cache
def resolved(python: str, machine: str) -> dict[str, str]:
    """Versions that uv chooses for this project with all extras under constraints.txt, by name;
    nothing is installed."""
    need_registry()
    out = uv(
        *("pip", "compile", "--quiet", "--no-header", "--no-annotate", "--all-extras"),
        *("--python-version", python),
        *("--python-platform", f"{machine}-unknown-linux-gnu"),
        *("-c", "constraints.txt", "pyproject.toml"),
        cwd=ROOT,
    )
    found = [Requirement(line.strip()) for line in out.splitlines()]
    return {canonicalize_name(each.name): str(each.specifier) for each in found}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_pin_everything_that_any_extra_needs(python: str, machine: str) -> None:
    versions = resolved(python, machine)
    assert versions.keys() >= names(PROJECT["optional-dependencies"]["dev"])
    pinned = pins(python, machine)
    assert {name: pinned.get(name) for name in versions} == versions


def test_every_pin_is_needed() -> None:
    """By some extra on some Python version and machine."""
    needed = {name for p in PYTHONS for m in MACHINES for name in resolved(p, m)}
    assert {name for p in PYTHONS for m in MACHINES for name in pins(p, m)} == needed
