"""Damaged tables of other people: refused with the file's name, or read as the undamaged one."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pandas as pd
import pyarrow as pa
import pytest
from mutations import byte_mutations, mutations
from pyarrow import parquet

from devices.protocol import Conditions, Measurement
from elasticvit.errors import StoreError
from elasticvit.reading import Format
from elasticvit.space import TINY
from lut.exchange import export_table, read_table
from lut.importer import FASTEST_MS, SLOWEST_MS, read_block_table
from lut.keys import subnet_key
from lut.shared_file import format_of
from lut.shared_row import COLUMNS, SharedRow, checksum, shared_rows
from lut.shared_table import SharedTable
from lut.store import Store

FIRST = Measurement(
    key="ffn size=8 width=96 mlp_ratio=2",
    samples_us=(100.1, 1 / 3, 1e5),
    round=0,
    threads=2,
    cores="4-7",
    source="host:a processor",
    runtime="LiteRT 2",
    runtime_hash="0123",
    before=Conditions(temperature_c=31.5, frequency_mhz=1800.0),
    after=Conditions(temperature_c=32.5, frequency_mhz=2000.0),
    time_s=1.75e9 + 1 / 3,
    peak_bytes=123,
    interrupted_runs=2,
    calibration_us={"attention size=8 width=96 v_scale=2": (1.5, 2.0)},
)
ROWS = [
    FIRST,
    replace(FIRST, round=1, peak_bytes=None, calibration_us={}),
    replace(FIRST, key=subnet_key(TINY.smallest, TINY.layout)),
]
CELLS = ("", "x", "-1", "1.5", "nan", "inf", "1e300", "9" * 400, "[red]x[/red]", "\x1b[31m", "a\0b")
BLOCKS = {"transffn_16_48_3_hard_swish_ln": 0.7, "transds_16_16_48_2_6": 0.5}
ROW: Format[SharedRow] = format_of(SharedRow, "a row")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the undamaged table lies, as `whole.csv` and `whole.parquet`."""
    made = tmp_path_factory.mktemp("shared")
    with Store(made / "lut.sqlite") as store:
        store.add("phone", *ROWS, cores="big")
        store.note("phone", "split_seed", 5)
        for suffix in ("csv", "parquet"):
            export_table(store, "phone", made / f"whole.{suffix}")
    return made


def read_or_refused(path: Path) -> SharedTable | None:
    """The table; None if it is refused in one line that names the file and says what to do."""
    try:
        return read_table(path)
    except StoreError as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said
    assert len(said) < 1000
    return None


def flips(data: bytes, count: int) -> Iterator[bytes]:
    """Iterate over copies of which one bit differs."""
    rng = random.Random(0)
    for _ in range(count):
        at = rng.randrange(len(data))
        yield data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_damaged_bytes(folder: Path, tmp_path: Path, suffix: str) -> None:
    data, path = (folder / f"whole.{suffix}").read_bytes(), tmp_path / f"whole.{suffix}"
    whole = read_table(folder / path.name)
    refused = 0
    for damaged in (*(each for _, each in byte_mutations(data)), *flips(data, 150)):
        path.write_bytes(damaged)
        found = read_or_refused(path)
        assert found in (None, whole)
        refused += found is None
    assert refused > 20


def test_damaged_headers(folder: Path, tmp_path: Path) -> None:
    header, rows = (folder / "whole.csv").read_text().split("\n", 1)
    path = tmp_path / "whole.csv"
    whole = read_table(folder / path.name)
    for mutation in mutations(json.loads(header.removeprefix("# "))):
        path.write_text(f"# {json.dumps(mutation.document)}\n{rows}")
        found = read_or_refused(path)
        # as earlier versions wrote it
        unsaid = mutation.field in ("precision", "graphs", "fitted") and mutation.name == "missing"
        told = ("info", "source", "runtime", "threads", "cores")  # for people; the rows have them
        free = mutation.field in ("sha256", *told) or mutation.name == "unknown field"
        if free or unsaid:
            assert found in (None, whole), mutation.field
        elif (mutation.field, mutation.value) != ("split_seed", None):
            assert found is None, (mutation.name, mutation.field)


def test_a_header_in_a_parquet_file_is_read_by_the_same_rules(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "whole.parquet"
    frame = pd.read_parquet(folder / path.name)
    for field, value in {"rows": -1, "device": "../x", "schema": "3", "split_seed": 1.5}.items():
        changed = frame.copy()
        changed.attrs = frame.attrs | {field: value}
        changed.to_parquet(path)
        with pytest.raises(StoreError, match=f"header of table .*whole.parquet.*{field}"):
            read_table(path)


@pytest.mark.parametrize("column", COLUMNS)
def test_damaged_cells(folder: Path, tmp_path: Path, column: str) -> None:
    header, text = (folder / "whole.csv").read_text().split("\n", 1)
    path = tmp_path / "whole.csv"
    whole = read_table(folder / path.name)
    for value in CELLS:
        rows = list(csv.reader(io.StringIO(text)))
        rows[2][rows[0].index(column)] = value
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(rows)
        path.write_text(f"{header}\n{out.getvalue()}")
        assert read_or_refused(path) in (None, whole), value


def test_a_damaged_row_breaks_a_rule_or_the_checksum(folder: Path) -> None:
    row = shared_rows([plain_row()], "t", ROW)[0]
    whole = checksum("phone", 5, [row])
    for mutation in mutations(plain_row()):
        if mutation.name == "unknown field" and len(mutation.path) == 1:
            continue  # only the known columns of a file are read
        try:
            found = shared_rows([mutation.document], "t.csv", ROW)
        except StoreError as error:
            said = str(error)
        else:
            assert not mutation.broken or mutation.value is None, mutation.name
            assert checksum("phone", 5, found) != whole, (mutation.name, mutation.field)
            continue
        assert said.startswith("t.csv, row 1: ")
        assert not mutation.path or str(mutation.path[0]) in said


def plain_row() -> dict[str, object]:
    values = {name: getattr(FIRST, name, None) for name in COLUMNS}
    return values | {
        "cores_asked": "big",
        "temperature_before_c": 31.5,
        "temperature_after_c": 32.5,
        "frequency_before_mhz": 1800.0,
        "frequency_after_mhz": 2000.0,
        "samples_us": list(FIRST.samples_us),
        "calibration_us": msgspec.to_builtins(FIRST.calibration_us),
    }


def with_columns(folder: Path, path: Path, rename: dict[str, str]) -> Path:
    header, names, rest = (folder / "whole.csv").read_text().split("\n", 2)
    names = ",".join(rename.get(name, name) for name in names.split(","))
    path.write_text(f"{header}\n{names}\n{rest}")
    return path


def test_columns_are_there_once(folder: Path, tmp_path: Path) -> None:
    path = with_columns(folder, tmp_path / "t.csv", {"peak_bytes": "round"})
    with pytest.raises(StoreError, match=r"t\.csv has the column round more than once"):
        read_table(path)
    path = with_columns(folder, tmp_path / "t.csv", {"peak_bytes": "memory"})
    with pytest.raises(StoreError, match=r"t\.csv lacks the columns peak_bytes"):
        read_table(path)


def test_a_file_of_another_width_or_encoding_is_refused(folder: Path, tmp_path: Path) -> None:
    text, path = (folder / "whole.csv").read_text(), tmp_path / "t.csv"
    for line, damage, match in (
        (2, lambda row: f"{row},1", "Expected 17 columns, got 18"),
        (3, lambda row: row.rpartition(",")[0], "Expected 17 columns, got 16"),
        (2, lambda row: f'"{row}', "damaged"),
        (3, lambda row: row.replace("LiteRT", "Litë"), "UTF"),
    ):
        lines = text.splitlines()
        lines[line] = damage(lines[line])
        path.write_bytes("".join(f"{each}\n" for each in lines).encode("latin-1"))
        with pytest.raises(StoreError, match=rf"t\.csv .*{match}"):
            read_table(path)


def test_windows_line_ends_and_byte_order_marks_are_read(folder: Path, tmp_path: Path) -> None:
    data = (folder / "whole.csv").read_bytes()
    (tmp_path / "whole.csv").write_bytes(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
    assert read_table(tmp_path / "whole.csv") == read_table(folder / "whole.csv")


def test_a_file_that_would_fill_the_memory_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lut.shared_file.MOST_BYTES", 10_000_000)
    path = tmp_path / "t.parquet"
    table = parquet.read_table(folder / "whole.parquet").replace_schema_metadata()
    attributes = parquet.read_schema(folder / "whole.parquet").metadata
    bombs = {
        "runtime": pa.array(["x" * 50_000] * 300),
        "samples_us": pa.array([[1.0] * 5_000] * 300),
    }
    for name, values in bombs.items():
        many = pa.concat_tables([table] * 100)
        many = many.set_column(many.schema.get_field_index(name), name, values)
        parquet.write_table(many.replace_schema_metadata(attributes), path)
        assert path.stat().st_size < 1_000_000
        with pytest.raises(StoreError, match=r"t\.parquet unpacks to more than 10,000,000 bytes"):
            read_table(path)


def test_a_damaged_block_table(tmp_path: Path) -> None:
    path, data = tmp_path / "t.json", json.dumps(BLOCKS).encode()
    documents = [json.dumps(m.document).encode() for m in mutations(BLOCKS) if m.name != "missing"]
    for damaged in (*documents, *(each for _, each in byte_mutations(data)), *flips(data, 100)):
        path.write_bytes(damaged)
        try:
            found = read_block_table(path)
        except StoreError as error:
            said = str(error)
        else:
            assert len(found.table_ms) + found.left_out == len(BLOCKS)
            assert all(FASTEST_MS <= ms <= SLOWEST_MS for ms in found.table_ms.values())
            continue
        assert str(path) in said


def test_the_name_of_a_file_stays_text(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a\nb\udcff.csv"
    path.write_bytes((folder / "whole.csv").read_bytes())
    assert read_table(path).rows[0][0].source == "import:a?b?.csv of host:a processor"
