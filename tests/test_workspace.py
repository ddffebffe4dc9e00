"""The workspace: one space, one data set, the latest of each kind, atomic writes."""

import os
from dataclasses import replace

import pytest

from elasticvit.errors import WorkspaceError
from elasticvit.space import MOBILE, TINY
from elasticvit.workspace import Workspace, write_atomic


def test_the_first_choice_stays(tmp_path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    assert workspace.choose_space("tiny") == TINY
    assert workspace.choose_space(None) == TINY
    with pytest.raises(WorkspaceError, match=r"uses space 'tiny', not 'mobile'.*--workspace DIR"):
        workspace.choose_space("mobile")
    workspace.choose_data("digits", 10)
    workspace.choose_data("digits", 10)
    with pytest.raises(WorkspaceError, match=r"uses data 'digits', not 'cifar10'"):
        workspace.choose_data("cifar10", 10)


def test_the_default_space_is_the_papers(tmp_path) -> None:
    assert Workspace.open(tmp_path / "ws").choose_space(None) == MOBILE


def test_the_data_sets_the_classes(tmp_path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    workspace.choose_data("flowers", 102)
    assert workspace.choose_space("mobile").layout.classes == 102


def test_a_space_of_ones_own_is_kept_when_its_file_goes(tmp_path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(replace(TINY, name="mine").to_toml())
    workspace = Workspace.open(tmp_path / "ws")
    workspace.choose_space(str(file))
    file.unlink()
    assert workspace.choose_space(None) == replace(TINY, name="mine")


def test_the_latest_of_a_kind(tmp_path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    with pytest.raises(WorkspaceError, match="run `evit-train` first"):
        workspace.latest("run")
    first, second = workspace.new_folder("run"), workspace.new_folder("run")
    assert first != second
    workspace.set_latest("run", first)
    workspace.set_latest("search", workspace.new_folder("search"))
    workspace.set_latest("run", second)
    assert workspace.latest("run") == second
    second.rmdir()
    with pytest.raises(WorkspaceError, match="is gone"):
        workspace.latest("run")


def test_comments_of_the_user_are_kept(tmp_path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    workspace.choose_space("tiny")
    path = workspace.root / "settings.toml"
    path.write_text(path.read_text() + "# my note\n")
    workspace.update({"device": "host"})
    assert "# my note" in path.read_text()
    assert workspace.settings()["device"] == "host"


def test_foreign_folders_are_refused(tmp_path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(WorkspaceError, match="not empty and not a workspace"):
        Workspace.open(tmp_path)
    with pytest.raises(WorkspaceError, match="is a file"):
        Workspace.open(tmp_path / "photo.jpg")


@pytest.mark.parametrize(
    ("text", "message"),
    [("schema = ", "cannot be read"), ("schema = 99", "schema 99, this version reads 1")],
)
def test_unreadable_settings_are_refused(tmp_path, text: str, message: str) -> None:
    (tmp_path / "settings.toml").write_text(text)
    with pytest.raises(WorkspaceError, match=message):
        Workspace.open(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
