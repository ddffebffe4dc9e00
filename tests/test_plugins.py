"""What other packages add by entry points: found by name, and their faults told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from elasticvit.errors import SpaceError
from elasticvit.plugins import SPACES, load_plugin, plugin_names
from elasticvit.space import TINY, find_space
from elasticvit.workspace import Workspace

SOURCE = """
from dataclasses import replace
from elasticvit.space import TINY

SPACE = replace(TINY, name="outside")

def made():
    return replace(TINY, name="made")

NOT_A_SPACE = 7
"""


def install(folder: Path, package: str, source: str, entries: dict[str, str]) -> None:
    """What an installed package looks like: a module, and its metadata beside it."""
    folder.mkdir(exist_ok=True)
    (folder / f"{package}.py").write_text(source)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = {value}" for name, value in entries.items())
    (info / "entry_points.txt").write_text(f"[{SPACES}]\n{lines}\n")


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    entries = {
        "outside": "spaces_a:SPACE",
        "made": "spaces_a:made",
        "seven": "spaces_a:NOT_A_SPACE",
    }
    install(folder, "spaces_a", SOURCE, entries | {"gone": "spaces_a:GONE"})
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_a_space_of_another_package_is_found_by_name(outside: Path, tmp_path: Path) -> None:
    assert find_space("outside").choices == TINY.choices
    assert find_space("made").name == "made"
    workspace = Workspace.open(tmp_path / "ws")
    workspace.remember(space=workspace.space("outside"))
    assert workspace.space() == find_space("outside")


def test_its_faults_are_told_by_name(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpaceError, match="'seven' of another package is of type int"):
        find_space("seven")
    with pytest.raises(SpaceError, match=r"'gone' of package spaces_a 1\.0 .* cannot be loaded"):
        find_space("gone")
    with pytest.raises(SpaceError, match=r"known are mobile, tiny, .*outside"):
        find_space("huge")
    install(outside, "spaces_b", SOURCE, {"outside": "spaces_b:SPACE"})
    with pytest.raises(SpaceError, match=r"package spaces_a 1\.0 .* and of package spaces_b"):
        find_space("outside")


def test_names_are_listed_without_loading_anything(outside: Path) -> None:
    assert {"gone", "made", "outside", "seven"} <= set(plugin_names(SPACES))
    assert load_plugin(SPACES, "nothing", SpaceError) is None
