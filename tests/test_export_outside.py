"""Export formats of other packages: found, used, and refused with their names."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from export_models import finished_search

from elasticvit.cli.export import main
from elasticvit.errors import ExportError
from elasticvit.flows.export import export
from elasticvit.testing.export_format import FormatContract
from elasticvit.workspace import Workspace
from export.backend import Backend, find_backend, format_names, format_of_suffix

MODULE = '''
"""Weights and genes as they are, run by torch."""
import io

import msgspec
import torch
from elasticvit.arch import Arch
from elasticvit.errors import ExportError
from elasticvit.kernels import Layout
from elasticvit.nn import Subnet


class TorchFile:
    name, suffix, tflite = "torchfile", ".pth", False

    def convert(self, subnet):
        file = io.BytesIO()
        torch.save(
            {
                "arch": subnet.arch.to_dict(),
                "layout": subnet.layout.to_dict(),
                "weights": subnet.state_dict(),
            },
            file,
        )
        return file.getvalue()

    def load(self, data):
        try:
            saved = torch.load(io.BytesIO(data), weights_only=True)
        except Exception as error:
            raise ExportError(f"not a torch file: {error}") from error
        subnet = Subnet(Arch.from_dict(saved["arch"]), msgspec.convert(saved["layout"], Layout))
        subnet.load_state_dict(saved["weights"])
        subnet.eval()

        def run(image):
            with torch.inference_mode():
                return subnet(torch.from_numpy(image).permute(0, 3, 1, 2))[0].numpy()

        return run

    def versions(self):
        return {"torch": torch.__version__}


class Nameless:
    name, suffix = "nameless", ".x"
'''
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.2"

[project.entry-points."elasticvit.formats"]
{entries}

[tool.setuptools]
py-modules = ["{module}"]
"""


def install(root: Path, name: str, entries: dict[str, str], module: str = MODULE) -> Path:
    """A package with entry points, installed into a folder of its own."""
    source, target = root / f"{name}-source", root / name
    source.mkdir()
    lines = "\n".join(f'{key} = "{name}_formats:{value}"' for key, value in entries.items())
    (source / f"{name}_formats.py").write_text(module)
    text = PROJECT.format(name=name, entries=lines, module=f"{name}_formats")
    (source / "pyproject.toml").write_text(text)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    command = [*pip, "--no-index", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([*command, str(source)], check=True, capture_output=True, timeout=120)
    return target


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("packages")
    broken = {"torchfile": "TorchFile", "broken": "Missing", "nameless": "Nameless"}
    return {
        "good": install(root, "good", {"torchfile": "TorchFile"}),
        "broken": install(root, "broken", broken | {"onnx": "TorchFile"}),
    }


@pytest.fixture
def good(packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(packages["good"])
    return packages["good"]


class TestContract(FormatContract):
    """An outsider's own test file, as the contract's docstring shows it."""

    @pytest.fixture
    def backend(self, good: Path) -> Backend:
        return find_backend("torchfile")


def test_a_format_of_another_package_is_listed_and_told_by_its_suffix(good: Path) -> None:
    assert format_names()[-1] == "torchfile"
    assert format_of_suffix(".pth") == "torchfile"
    with pytest.raises(ExportError, match=r"no format 'coreml'; formats are tflite, .*torchfile"):
        find_backend("coreml")


def test_nothing_is_found_once_the_package_is_gone() -> None:
    with pytest.raises(ExportError, match="no format 'torchfile'"):
        find_backend("torchfile")


def test_the_flow_and_the_command_take_it(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = finished_search(Workspace.open(tmp_path / "ws"))
    result = export(workspace.latest("search"), tmp_path / "vit.pth", images=4)
    assert result.card.format == "torchfile"
    assert result.card.parity.max_rel_diff < 1e-4
    arguments = ["--workspace", str(workspace.root), "--format", "torchfile", "--images", "4"]
    told = CliRunner().invoke(main, [*arguments, "--json"])
    assert told.exit_code == 0, told.output
    line: dict[str, Any] = json.loads(told.stdout)
    assert (line["format"], Path(line["path"]).name) == ("torchfile", "model.pth")
    assert (line["precision"], line["tensor_types"]) == ("fp32", {})
    refused = CliRunner().invoke(main, [*arguments, "--precision", "int8"])
    assert refused.exit_code == 2
    assert "format torchfile makes fp32 files only, precision is int8" in refused.output


def test_a_broken_entry_point_is_an_error_only_when_it_is_asked_for(
    packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(packages["broken"])
    assert {"broken", "nameless", "torchfile"} <= set(format_names())
    assert find_backend("tflite").suffix == ".tflite"
    assert find_backend("torchfile").suffix == ".pth"
    words = r"'broken' of package broken 1\.2 \(broken_formats:Missing\).*Missing"
    with pytest.raises(ExportError, match=words):
        find_backend("broken")
    with pytest.raises(ExportError, match=r"nameless.*no tflite, convert, load, versions"):
        find_backend("nameless")


def test_a_name_that_is_taken_is_an_error_that_names_both(
    packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(packages["broken"])
    words = r"'onnx' is the name of a format of elasticvit itself and of package broken 1\.2"
    with pytest.raises(ExportError, match=words):
        find_backend("onnx")
    monkeypatch.syspath_prepend(packages["good"])
    with pytest.raises(ExportError, match=r"of package broken 1\.2 .* and of package good 1\.2"):
        find_backend("torchfile")
