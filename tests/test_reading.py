"""Reading files: every damage is one error that names file, field, value, rule and next step."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from elasticvit.errors import (
    CheckpointError,
    EvitError,
    FileError,
    NextStep,
    WorkspaceError,
)
from elasticvit.files import make_folder, write_atomic, writing
from elasticvit.names import check_name
from elasticvit.process_lock import process_lock
from elasticvit.reading import Format, Positive, Whole, shown


@dataclass(frozen=True)
class Row:
    width: Annotated[int, Meta(ge=1, le=64)]
    tag: str = ""

    def __post_init__(self) -> None:
        if self.tag == "bad":
            raise ValueError("tag is 'bad'; it must not be")


@dataclass(frozen=True)
class Box:
    rows: tuple[Row, ...]
    share: Positive = 1.0
    count: Whole | None = None
    facts: dict[str, Any] | None = None
    tables: dict[str, dict[str, tuple[int, ...]]] | None = None


BOX: Format[Box] = Format(
    kind=Box,
    what="a box",
    error=CheckpointError,
    mend="pack it again",
    next_step=NextStep("train"),
    schema=2,
)


def box(rows: str = '[{"width": 3}]', rest: str = "") -> str:
    return f'{{"schema": 1, "rows": {rows}{rest}}}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (box('[{"width": 3}, {"width": "x"}]'), r"rows\[1\].width is 'x'; expected a whole number"),
        (box('[{"width": 0}]'), r"rows\[0\].width is 0; expected a whole number >= 1"),
        (box('[{"width": 3.5}]'), r"width is 3.5; expected a whole number"),
        (box('[{"width": true}]'), r"width is True; expected a whole number"),
        (box('[{"tag": "a"}]'), r"rows\[0\].width is missing"),
        (box('[{"width": 3, "tag": "bad"}]'), r"rows\[0\] is .*; tag is 'bad'; it must not be"),
        (box("5"), "rows is 5; expected a list"),
        (box(rest=', "share": -1'), "share is -1; expected a number > 0"),
        (box(rest=', "share": "NaN"'), "share is 'NaN'; expected a number"),
        (box(rest=', "share": 1e999'), "out of range|must be finite"),
        (box(rest=', "share": NaN'), "is not a box"),
        (
            box(rest=f', "count": {10**40}'),
            r"count is 10{40}; expected a whole number <=",
        ),
        (
            box(rest=', "tables": {"a": {"b": [1]}, "c": {"d": [2], "e": [3, "x"]}}'),
            r"tables.c.e\[1\] is 'x'; expected a whole number",
        ),
        (box(rest=', "tables": {"a": {"b": 5}}'), r"tables.a.b is 5; expected a list"),
        (box(rest=', "tables": {"a": 5}'), r"tables.a is 5; expected a table"),
        ('{"schema": 3, "rows": []}', "schema 3, written by a later version.*update elasticvit"),
        ('{"schema": "1", "rows": []}', "holds schema '1'; a box has schema 2"),
        ('{"rows": []}', "holds schema None"),
        ("[1]", r"is \[1\]; a box has schema 2"),
        ("[" * 100_000, "is not a box"),
        ("", "is not a box"),
        (b"\xff\xfe", "is not a box"),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "box.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CheckpointError, match=message) as caught:
        BOX.read_json(path)
    assert str(path) in str(caught.value)
    later = "later version" in str(caught.value)
    assert str(caught.value).endswith("update elasticvit" if later else "; pack it again")
    assert len(str(caught.value)) < len(str(path)) + 300


@pytest.mark.parametrize("name", ["none.json", "folder", "x" * 300, "nul\0l"])
def test_what_is_no_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(CheckpointError) as caught:
        BOX.read_json(tmp_path / name)
    assert name[:10].replace("\0", "\\x00") in str(caught.value)
    assert caught.value.next_step == NextStep("train")


def test_deep_nesting_is_refused_whatever_the_limit_of_recursion() -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)  # as some libraries do
    try:
        for text in (b"[" * 10**6, b'{"a":' * 10**6, b"[" * 10**5 + b"]" * 10**5):
            with pytest.raises(CheckpointError, match="nested too deeply"):
                BOX.parse_json(text, "it")
    finally:
        sys.setrecursionlimit(before)


def test_a_file_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "box.json"
    with path.open("wb") as file:
        file.truncate(10**12)  # sparse
    with pytest.raises(CheckpointError, match="1,000,000,000,000 bytes"):
        BOX.read_json(path)


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "box.json"
    path.write_text(box(rest=', "share": 2, "unknown": 5, "facts": {"a": [1.5]}'))
    assert BOX.read_json(path) == Box((Row(3),), 2.0, None, {"a": [1.5]})


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["schema", "rows", "share", "width", "count"]), inner)
    ),
    max_leaves=12,
)


@given(plain)
def test_any_plain_values_are_a_box_or_an_error(data: Any) -> None:
    try:
        value = BOX.parse(data, "it")
    except CheckpointError as error:
        assert str(error).startswith("it")  # noqa: PT017
    else:
        assert isinstance(value, Box)
        assert all(1 <= row.width <= 64 for row in value.rows)
        assert value.share > 0


@given(st.binary(max_size=40))
def test_any_bytes_are_a_box_or_an_error(data: bytes) -> None:
    for parse in (BOX.parse_json, BOX.parse_toml):
        with pytest.raises(CheckpointError):
            parse(data, "it")


@given(st.text(max_size=120))
def test_a_good_name_is_one_part_of_a_path(name: str) -> None:
    try:
        check_name("device", name, WorkspaceError)
    except WorkspaceError as error:
        assert shown(name) in str(error)  # noqa: PT017
    else:
        assert Path("folder", name).parent == Path("folder")
        assert name not in (".", "..")
        assert "\n" not in name


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EROFS, "choose a folder that can be written to"),
        (errno.EACCES, "get the permission"),
        (errno.EIO, "check the folder and the disk"),
    ],
)
def test_a_refused_write_says_what_to_do(number: int, remedy: str) -> None:
    with pytest.raises(FileError, match=f"here/it cannot be written: .*{remedy}"):  # noqa: SIM117
        with writing("here/it"):
            raise OSError(number, os.strerror(number))


def test_real_refusals_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    for path, reason in (
        (tmp_path / "file" / "below", "a part of its path is a file|in the way"),
        (tmp_path / ("x" * 300), "choose a shorter name"),
        (tmp_path / ("y" * 300) / "below", "choose a shorter name"),
    ):
        with pytest.raises(FileError, match=reason):
            write_atomic(path, "new")
    with pytest.raises(FileError, match="in the way"):
        make_folder(tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


HOLDER = """
import sys, time
from pathlib import Path
from elasticvit.errors import EvitError
from elasticvit.process_lock import process_lock
with process_lock(Path(sys.argv[1]), EvitError, ""):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        message = "{it} is held by process {process}"
        with pytest.raises(CheckpointError, match=rf"^\{{it\}} is held by process {holder.pid}$"):  # noqa: SIM117
            with process_lock(path, CheckpointError, message):
                pass
    finally:
        holder.kill()
        holder.wait()
    deadline = time.monotonic() + 10
    while True:
        try:
            with process_lock(path, CheckpointError, "{process}"):
                assert path.read_text() == str(os.getpid())
                break
        except EvitError:  # the system has not let go yet
            assert time.monotonic() < deadline
            time.sleep(0.05)
