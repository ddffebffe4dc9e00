"""A damaged latency table is refused with its place, or read as if it were undamaged."""

import math
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mutations import byte_mutations
from test_lut_store import ROW, key

from devices.protocol import DeviceInfo, Rejected
from elasticvit.errors import StoreError
from elasticvit.space import TINY
from lut.dataset import Dataset
from lut.keys import subnet_key
from lut.store import Store

INFO = DeviceInfo(name="host", source="s", runtime="r", runtime_hash="abc", facts={"a": 1})
WHOLE = subnet_key(TINY.smallest, TINY.layout)
NUMBERS = ("abc", b"\xff\x00", math.inf, -math.inf, 1e300, -5, None)
TEXTS = (b"\xff\x00", None)
# column -> values that it must not have; SQLite itself refuses those that are not in the file then
MEASUREMENTS: dict[str, tuple[Any, ...]] = {
    "series": (77, "abc"),
    "key": (*TEXTS, "rubbish", "", "ffn 5", "ffn size=8 width=x mlp_ratio=2", "subnet 10 x r1"),
    "kind": (*TEXTS, "head", "rubbish"),
    "cores": TEXTS,
    "round": (*NUMBERS, 1.5),
    "time_s": NUMBERS,
    "runs": (*NUMBERS, 0),
    "interrupted_runs": NUMBERS[:-1],
    "round_ms": (*NUMBERS, 0, 0.2),
    "median_ms": (*NUMBERS, 0, 0.2),
    "spread": NUMBERS,
    "temperature_before_c": NUMBERS[:5],
    "temperature_after_c": NUMBERS[:5],
    "frequency_before_mhz": NUMBERS[:-1],
    "frequency_after_mhz": NUMBERS[:-1],
    "peak_bytes": NUMBERS[:-1],
    "calibration_us": (
        *(b"\xff", "", "{", "[]", "5", "null", '{"a": 5}', '{"a": []}', '{"a": ["x"]}'),
        *('{"a": [NaN]}', '{"a": [1e999]}', '{"a": [-1]}', '{"a": [0]}', "[" * 10_000),
    ),
    "samples_us": (
        *("abc", 5, b"", bytes(7), bytes(8), b"\0\0\0\0\0\0\xf8\x7f", b"\0\0\0\0\0\0\xf0\x7f"),
        *(b"\0" * 7 + b"\x40", None),
    ),
}
OTHERS: dict[str, dict[str, tuple[Any, ...]]] = {
    "series": {
        "device": (b"\xff",),
        "source": TEXTS,
        "runtime": TEXTS,
        "runtime_hash": TEXTS,
        "threads": ("two", -1, 1e300, 1.5, b"\x01"),
        "cores": TEXTS,
    },
    "rejected": {"key": TEXTS, "reason": TEXTS},
    "notes": {"value": (*TEXTS, "", "{", '{"a": NaN}', "[" * 10_000)},
}
CASES = [
    (table, column, value)
    for table, columns in {"measurements": MEASUREMENTS, **OTHERS}.items()
    for column, values in columns.items()
    for value in values
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undamaged table with rows of every kind."""
    path = tmp_path_factory.mktemp("whole") / "lut.sqlite"
    with Store(path) as store:
        for number in range(3):
            for name in (key(1), key(2), WHOLE):
                calibration = {key(9): (5.0, 6.0)}
                store.add("host", replace(ROW, key=name, round=number, calibration_us=calibration))
        store.note("host", "split_seed", 3)
        store.remember(INFO)
        store.reject(INFO, Rejected(key(3), "too large"))
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "lut.sqlite"))


def everything(path: Path) -> list[Any]:
    """All that readers ask of a table."""
    with Store(path, read_only=True) as store:
        frame = store.measurements("host")
        data = Dataset.of(store, "host", TINY)
        return [
            *(store.devices(), store.series("host"), frame.to_json()),
            *(store.latencies("host").to_json(), store.rounds("host"), store.rejected(INFO)),
            *([store.samples_us(number).tolist() for number in frame["id"]], data),
            *(store.noted("host", "split_seed"), store.noted("host", "info")),
        ]


def spoil(path: Path, statements: str, *values: Any) -> None:
    """Change a table behind our back."""
    with closing(sqlite3.connect(path)) as table:
        table.execute("PRAGMA ignore_check_constraints = ON")
        with table:
            if values:
                table.execute(statements, values)
            else:
                table.executescript(statements)


@pytest.mark.parametrize(("table", "column", "value"), CASES)
def test_a_value_that_breaks_its_columns_rule_is_refused_by_its_place(
    path: Path, whole: Path, table: str, column: str, value: Any
) -> None:
    try:
        spoil(path, f"UPDATE {table} SET {column} = ? WHERE id = 1", value)
    except sqlite3.IntegrityError:
        assert value is None
        return  # SQLite refuses it: no value where one must be
    with pytest.raises(StoreError) as caught:
        everything(path)
    message = str(caught.value)
    assert str(path) in message
    assert column in message or (table == "notes" and "split_seed" in message)
    assert "row 1 of table" in message
    assert len(message) < 1000
    assert "profile again" in message


@pytest.mark.parametrize("value", ['"abc"', "-1", "1.5", "null", "true", "[3]"])
def test_a_seed_that_is_none_is_refused(path: Path, value: str) -> None:
    spoil(path, "UPDATE notes SET value = ? WHERE name = 'split_seed'", value)
    with pytest.raises(StoreError, match=r"lut\.sqlite, row 1 of table notes, split_seed"):
        everything(path)


@pytest.mark.parametrize(
    ("statements", "match"),
    [
        ("DROP TABLE notes", "no such table: notes"),
        ("DROP TABLE measurements", "no such table: .*measurements"),
        ("ALTER TABLE measurements DROP COLUMN spread", "no such column: spread"),
        ("DELETE FROM series", "row 1 of table measurements refers to a row of table series"),
        ("PRAGMA user_version = -1", "its schema is -1"),
        ("DROP TABLE notes; CREATE VIEW notes AS SELECT 1 AS id", "it has the view 'notes'"),
        (
            "CREATE TRIGGER stop BEFORE INSERT ON notes BEGIN SELECT RAISE(ABORT, 'x'); END",
            "it has the trigger 'stop'",
        ),
    ],
)
def test_a_damaged_structure_is_refused(path: Path, statements: str, match: str) -> None:
    spoil(path, statements)
    with pytest.raises(StoreError, match=match) as caught:
        everything(path)
    assert str(path) in str(caught.value)


def test_a_subnet_of_other_stages_under_the_layouts_hash_is_refused(path: Path) -> None:
    shorter = WHOLE.rpartition(" ")[0]
    spoil(path, "UPDATE measurements SET key = ? WHERE kind = 'subnet'", shorter)
    with pytest.raises(StoreError, match=r"lut\.sqlite.*key 'subnet .*stages; this space has"):
        everything(path)


def test_damaged_bytes_are_refused_or_do_no_harm(path: Path, whole: Path) -> None:
    expected, raw = everything(whole), whole.read_bytes()
    for name, data in byte_mutations(raw):
        path.write_bytes(data)
        found: Any
        try:
            found = everything(path)
        except StoreError as error:
            found = str(error)
        assert found == expected or str(path) in found, name
        assert path.read_bytes() == data, name
        assert [file.name for file in path.parent.iterdir()] == [path.name], name


@pytest.mark.parametrize("ending", ["-wal", "-journal", "-shm"])
def test_rubbish_beside_the_table_does_no_harm(path: Path, whole: Path, ending: str) -> None:
    path.with_name(path.name + ending).write_bytes(b"rubbish\0" * 999)
    assert everything(path) == everything(whole)


def old_version(path: Path) -> None:
    """Make a table one of schema 1."""
    spoil(path, "ALTER TABLE measurements DROP COLUMN calibration_us; PRAGMA user_version = 1")


def test_damaged_runs_of_an_old_table_are_refused_and_it_stays_as_it_was(path: Path) -> None:
    old_version(path)
    spoil(path, "UPDATE measurements SET samples_us = x'00' WHERE id = 2")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"row 2 of table measurements: samples_us is 1 bytes"):
        Store(path)
    assert path.read_bytes() == before


def key_is_none(path: Path) -> None:
    prefix = " ".join(WHOLE.split(" ")[:3])
    spoil(path, "UPDATE measurements SET key = ? WHERE id = 3", f"{prefix} 32,x")


def calibration_is_none(path: Path) -> None:
    prefix = " ".join(WHOLE.split(" ")[:3])
    text = '{"' + prefix + ' 32,8": [-1]}'
    spoil(path, "UPDATE measurements SET calibration_us = ? WHERE id = 3", text)


@pytest.mark.parametrize("damage", [key_is_none, calibration_is_none])
def test_damaged_keys_of_earlier_versions_are_refused(
    path: Path, damage: Callable[[Path], None]
) -> None:
    damage(path)
    with Store(path) as store, pytest.raises(StoreError, match=r"row 3 of table measurements"):
        store.modernise_keys(TINY.layout)


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        (replace(ROW, samples_us=(1e9,)), "was timed at 1000000000.0 us"),
        (replace(ROW, calibration_us={"a": (math.nan,)}), "'a' was timed at nan us"),
        (replace(ROW, calibration_us={"a": ()}), "of each calibration model"),
        (replace(ROW, time_s=math.inf), "time_s is inf"),
        (replace(ROW, peak_bytes=-1), "peak_bytes is -1"),
        (replace(ROW, interrupted_runs=2**60), "interrupted_runs is 1152921504606846976"),
        (replace(ROW, runs=(0, 0, 0)), "runs is 0"),
        (replace(ROW, before=replace(ROW.before, temperature_c=math.nan)), "temperature_before_c"),
    ],
)
def test_what_could_not_be_read_back_is_not_stored(path: Path, bad: Any, match: str) -> None:
    with Store(path) as store:
        count = store.latest("host").count
        with pytest.raises(StoreError, match=f"{match}.*nothing of it was stored"):
            store.add("host", ROW, bad)
        assert store.latest("host").count == count
