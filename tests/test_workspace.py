"""The workspace: defaults that are remembered and forbid nothing, atomic writes, no traces."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elasticvit.errors import EvitError, FileError, SpaceError, WorkspaceError
from elasticvit.files import write_atomic
from elasticvit.space import MOBILE, TINY
from elasticvit.workspace import Workspace


def test_what_was_used_last_is_the_default(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    assert workspace.space() == MOBILE
    assert workspace.data() == "digits"
    assert workspace.device() is None
    workspace.remember(space=TINY, data="photos", device="pixel6")
    assert workspace.space() == TINY
    assert workspace.data() == "photos"
    assert workspace.device() == "pixel6"
    assert workspace.space("mobile") == MOBILE  # named, so no matter what was used last
    assert workspace.data("digits") == "digits"
    assert workspace.device("host") == "host"
    workspace.remember(space=MOBILE)
    assert workspace.space() == MOBILE
    assert workspace.data() == "photos"


def test_reading_never_writes(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    workspace.space("tiny")
    workspace.data("photos")
    with pytest.raises(SpaceError):
        workspace.space("huge")
    with pytest.raises(WorkspaceError):
        workspace.latest("run")
    assert not (tmp_path / "ws").exists()


def test_a_space_of_ones_own_is_kept_when_its_file_goes(tmp_path: Path) -> None:
    mine = replace(TINY, name="mine")
    file = tmp_path / "mine.toml"
    file.write_text(mine.to_toml())
    workspace = Workspace.open(tmp_path / "ws")
    workspace.remember(space=workspace.space(str(file)))
    file.unlink()
    assert workspace.space() == mine
    assert workspace.space("mine") == mine
    other = replace(mine, choices=(mine.choices[0][:2], *mine.choices[1:]))
    workspace.remember(space=other)  # of the same name
    assert workspace.space() == other
    workspace.remember(space=TINY)
    assert workspace.space() == TINY
    assert workspace.settings().space_definition is None


def test_a_workspace_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """It pinned space and data set, and timed whole subnets with the classes of the data set."""
    (tmp_path / "settings.toml").write_text(
        'schema = 1\nspace = "mobile"\ndata = "digits"\nclasses = 10\ndevice = "host"\n'
        '[latest]\nrun = "runs/1"\n'
    )
    (tmp_path / "runs" / "1").mkdir(parents=True)
    workspace = Workspace.open(tmp_path)
    assert workspace.space() == MOBILE.with_classes(10)
    assert workspace.latest("run") == tmp_path / "runs" / "1"
    workspace.remember(data="photos", device="host")
    assert workspace.space() == MOBILE.with_classes(10)
    workspace.remember(space=workspace.space())
    assert workspace.space() == MOBILE.with_classes(10)
    workspace.remember(space=TINY)
    assert workspace.space() == TINY


def test_the_latest_of_a_kind(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    with pytest.raises(WorkspaceError, match="no training run in workspace") as caught:
        workspace.latest("run")
    assert caught.value.next_step is not None
    assert caught.value.next_step.flow == "train"
    first, second = workspace.new_folder("run"), workspace.new_folder("run")
    assert first != second
    workspace.set_latest("run", first)
    workspace.set_latest("search", workspace.new_folder("search"))
    workspace.set_latest("run", second)
    assert workspace.latest("run") == second
    assert workspace.latest("search").is_dir()
    second.rmdir()
    with pytest.raises(WorkspaceError, match="is gone"):
        workspace.latest("run")


def test_a_folder_with_a_name_of_its_own_is_whole(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    with workspace.whole_folder("export") as hidden:
        (hidden / "model").touch()
        assert workspace.folders("export") == []  # as a process that is killed here leaves it
        first = workspace.place("export", hidden)
    with workspace.whole_folder("export") as hidden:
        second = workspace.place("export", hidden)
    assert workspace.folders("export") == [first, second]
    assert [path.name for path in first.iterdir()] == ["model"]
    with pytest.raises(OSError, match="full"), workspace.whole_folder("search"):
        raise OSError("full")
    assert not (workspace.root / "searches").exists()


def fail(workspace: Workspace, file: str, error: type[BaseException]) -> Path:
    """Work in a fresh run's folder that writes a file and fails."""
    path = workspace.new_folder("run")
    with workspace.nothing_left_behind(path, keep="checkpoint.pt"):
        (path / file).touch()
        raise error
    return path


def test_work_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    with pytest.raises(KeyboardInterrupt):
        fail(workspace, "run.json", KeyboardInterrupt)
    assert not (tmp_path / "ws").exists()
    with pytest.raises(ZeroDivisionError):
        fail(workspace, "checkpoint.pt", ZeroDivisionError)
    (run,) = workspace.folders("run")
    assert (run / "checkpoint.pt").exists()


def test_comments_of_the_user_are_kept(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    workspace.remember(space=TINY)
    path = workspace.root / "settings.toml"
    path.write_text(path.read_text() + "# my note\n")
    workspace.update({"device": "host"})
    assert "# my note" in path.read_text()
    assert workspace.settings().device == "host"
    workspace.update({"device": None})
    assert workspace.settings().device is None


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(
        WorkspaceError, match=r"is no workspace: it has no settings.toml, but 'photo.jpg'"
    ) as caught:
        Workspace.open(tmp_path)
    assert caught.value.settings == ("workspace",)
    (tmp_path / "photo.jpg").rename(tmp_path / "lut.sqlite")  # as after a kill
    assert Workspace.open(tmp_path).space() == MOBILE
    (tmp_path / "lut.sqlite").rename(tmp_path / "photo.jpg")
    with pytest.raises(WorkspaceError, match="is a file"):
        Workspace.open(tmp_path / "photo.jpg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = ", "is not the settings of a workspace"),
        ("schema = 99", "schema 99, written by a later version"),
        ("space = 'mobile'", "has schema 1"),
        ("schema = 1\nspace = 5", "space is 5; expected a text"),
        ("schema = 1\nclasses = 'ten'", "classes is 'ten'; expected a whole number"),
        ("schema = 1\nclasses = -3", "classes is -3; expected a whole number >= 1"),
        ("schema = 1\n[latest]\nrun = 5", "latest.run is 5; expected a text"),
        ("schema = 1\nlatest = 5", "latest is 5; expected a table"),
        (b"schema = 1 # \xff", "not UTF-8"),
    ],
)
def test_unreadable_settings_are_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    raw = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "settings.toml").write_bytes(raw)
    with pytest.raises(WorkspaceError, match=message) as caught:
        Workspace.open(tmp_path)
    assert str(tmp_path / "settings.toml") in str(caught.value)
    assert caught.value.settings == ("workspace",)


@pytest.mark.parametrize("name", ["../../other/.evit/runs/1", "/etc", "runs/..", "searches/1", ""])
def test_the_latest_folder_lies_in_the_workspace(tmp_path: Path, name: str) -> None:
    workspace = Workspace.open(tmp_path)
    workspace.new_folder("run")
    workspace.update({"latest": {"run": name}})
    with pytest.raises(WorkspaceError, match=r"latest.run is .* it must be a folder in"):
        workspace.latest("run")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-x", "a\nb", "x" * 101, "\0"])
def test_names_of_devices_stay_inside(tmp_path: Path, name: str) -> None:
    workspace = Workspace.open(tmp_path)
    with pytest.raises(WorkspaceError, match=r"device is .* it must be 1 to 100 printable"):
        workspace.predictor_path(name)


def test_a_changed_space_file_is_another_space(tmp_path: Path) -> None:
    file, notices = tmp_path / "mine.toml", list[str]()
    mine = replace(TINY, name="mine")
    file.write_text(mine.to_toml())
    workspace = Workspace.open(tmp_path / "ws")
    workspace.remember(space=workspace.space(str(file)))
    assert workspace.space(None, notices.append) == workspace.space("mine") == mine
    smaller = replace(mine, choices=((64,), *mine.choices[1:]))
    file.write_text(smaller.to_toml())
    assert not notices
    for name in (None, "mine", str(file)):
        assert workspace.space(name, notices.append) == smaller
        assert "mine.toml has changed" in notices.pop()
    workspace.remember(space=smaller)
    file.unlink()
    assert workspace.space(None, notices.append) == smaller
    assert not notices


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match=f"{path} cannot be written: No space left.*free some"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file that lost its end, or a part of which became something else."""
    start = draw(st.integers(0, len(whole)))
    stop = draw(st.integers(start, len(whole)))
    new = draw(
        st.sampled_from([b"", b"nan", b"inf", b"-1", b"'x'", b"[]", b"{}", b"true", b"9" * 400])
        | st.binary(max_size=6)
    )
    return whole[:start] + new + (b"" if draw(st.booleans()) else whole[stop:])


SETTINGS_FILE = b"""schema = 1
space = "mine"
data = "digits"
device = "pixel6"
classes = 10
[latest]
run = "runs/1"
[space_definition]
""" + replace(TINY, name="mine").to_toml().replace("[layout]", "[space_definition.layout]").replace(
    "[choices]", "[space_definition.choices]"
).encode()


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.just(SETTINGS_FILE), damaged(SETTINGS_FILE)))
def test_damaged_settings_are_read_or_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "settings.toml").write_bytes(text)
    (tmp_path / "runs" / "1").mkdir(parents=True, exist_ok=True)
    refused = None
    try:
        workspace = Workspace.open(tmp_path)
        space, run, device = workspace.space(), workspace.latest("run"), workspace.device()
        assert run.parent == tmp_path / "runs"
        assert device is None or "/" not in device
        assert all(option > 0 for options in space.choices for option in options)
    except EvitError as error:
        refused = str(error)
    assert refused is None or text != SETTINGS_FILE
    assert refused is None or any(part in refused for part in (str(tmp_path), "device", "no space"))
