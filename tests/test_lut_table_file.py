"""The file of a latency table: to read it changes nothing, and what the system refuses is told."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from old_tables import without_precision
from test_lut_store import ROW, filled, key

from elasticvit.errors import FileError, NextStep, StoreError
from lut import table_file
from lut.store import Store
from lut.table_errors import table_errors


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    """Nothing in a folder is changed, made or removed."""

    def state() -> list[tuple[str, int, bytes]]:
        files = sorted(folder.iterdir())
        return [(file.name, file.stat().st_mtime_ns, file.read_bytes()) for file in files]

    before = state()
    yield
    assert state() == before


def closed(path: Path) -> None:
    filled(path, rows=3)


def killed(path: Path) -> None:
    """Rows are in the log, whose index is lost."""
    code = (
        "import os, sys\nfrom tests.test_lut_store import ROW, key\nfrom lut.store import Store\n"
        "from dataclasses import replace\nstore = Store(sys.argv[1])\n"
        "for i in range(3): store.add('host', replace(ROW, key=key(i)))\n"
        "os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=root)
    assert done.returncode == -signal.SIGKILL
    path.with_name(f"{path.name}-shm").unlink()
    assert path.with_name(f"{path.name}-wal").stat().st_size > 0


def of_schema_2(path: Path) -> None:
    filled(path, rows=3)
    with closing(sqlite3.connect(path)) as table:
        without_precision(table)
        table.execute("ALTER TABLE measurements RENAME COLUMN calibration_us TO gauges")
        table.execute("PRAGMA user_version = 2")
        table.execute("PRAGMA journal_mode = DELETE")


@pytest.mark.parametrize("make", [closed, killed, of_schema_2])
def test_to_read_a_table_changes_nothing(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "a ?#%20 folder" / "lut.sqlite"
    path.parent.mkdir()
    make(path)
    with unchanged(path.parent), Store(path, read_only=True) as store:
        assert store.measurements("host")["key"].tolist() == [key(i) for i in range(3)]
        with pytest.raises(FileError, match="cannot be written"):
            store.add("host", ROW)


def test_a_reader_beside_a_writer_reads_what_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "lut.sqlite"
    with Store(path) as writer:
        writer.add("host", ROW)
        with Store(path, read_only=True) as reader:
            assert reader.latest("host").count == 1
            writer.add("host", replace(ROW, round=2))
            assert reader.latest("host").count == 2


def test_a_missing_table_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no latency table") as caught:
        Store(tmp_path / "lut.sqlite", read_only=True)
    assert caught.value.next_step == NextStep("profile")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lut.sqlite"
    path.touch()
    with unchanged(tmp_path), Store(path, read_only=True) as store:
        assert store.devices() == []


@pytest.mark.parametrize("read_only", [False, True])
def test_a_pipe_is_refused_at_once(tmp_path: Path, read_only: bool) -> None:
    os.mkfifo(tmp_path / "lut.sqlite")
    with pytest.raises(StoreError, match="not a file; move it away"):
        Store(tmp_path / "lut.sqlite", read_only=read_only)


def test_a_full_disk_is_told_and_what_was_stored_is_kept(tmp_path: Path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        store.add("host", ROW)
        connection = store._db._db  # SQLite fails as on a full disk beyond a number of pages
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(FileError) as caught:
            store.add_all("host", [(replace(ROW, key=key(i)), None) for i in range(100)])
        assert str(caught.value) == (
            f"latency table {store.path} cannot be written: {os.strerror(errno.ENOSPC)}; free some "
            "space there, then repeat this; what was measured before is kept"
        )
        assert store.latest("host").count == 1
        connection.execute("PRAGMA max_page_count = 100000")
        store.add("host", replace(ROW, round=2))
        assert store.rounds("host") == {ROW.key: {1, 2}}


def test_a_table_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import resource, sys\nfrom elasticvit.errors import FileError\n"
        "from lut.store import Store\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try: Store(sys.argv[1])\nexcept FileError as error: print(error)"
    )
    path = tmp_path / "lut.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert f"latency table {path} cannot be written: {os.strerror(errno.EFBIG)}" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "free", "message", "expected"),
    [
        (os.ST_RDONLY, 9, "attempt to write a readonly database", errno.EROFS),
        (0, 0, "disk I/O error", errno.ENOSPC),
        (0, 9, "database or disk is full", errno.ENOSPC),
    ],
)
def test_the_cause_in_the_file_system_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: int,
    free: int,
    message: str,
    expected: int,
) -> None:
    real = os.statvfs(tmp_path)
    seen = os.statvfs_result([*real[:4], free, *real[5:8], flags, *real[9:]])
    monkeypatch.setattr(os, "statvfs", lambda path: seen)
    with (
        pytest.raises(FileError, match=f"{os.strerror(expected)}; .*, then repeat this"),
        table_errors(tmp_path / "lut.sqlite"),
    ):
        raise sqlite3.OperationalError(message)


def test_a_folder_in_place_of_the_log_is_told(tmp_path: Path) -> None:
    path = filled(tmp_path / "lut.sqlite", rows=1)
    (tmp_path / "lut.sqlite-wal").mkdir()
    with pytest.raises(FileError, match=os.strerror(errno.EISDIR)):
        Store(path)


def test_a_table_that_another_process_holds_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_file, "BUSY_S", 0.05)
    path = filled(tmp_path / "lut.sqlite", rows=1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, Store(path) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"in use by another process.*wait for that process"):
            store.add("host", ROW)
        other.execute("ROLLBACK")
        store.add("host", ROW)


def test_a_piece_of_work_that_fails_adds_nothing(tmp_path: Path) -> None:
    with Store(filled(tmp_path / "lut.sqlite", rows=1)) as store:

        def work() -> None:
            with store.all_or_nothing():
                store.add("host", replace(ROW, round=5))
                store.note("host", "split_seed", 1)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            work()
        assert store.rounds("host") == {key(0): {1}}
        assert store.noted("host", "split_seed") == []
        with store.all_or_nothing():
            store.add("host", replace(ROW, round=5))
        assert store.rounds("host") == {key(0): {1}, ROW.key: {5}}
