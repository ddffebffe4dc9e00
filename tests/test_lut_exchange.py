"""Tables as files."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from devices.protocol import Conditions, Measurement
from elasticvit.errors import StoreError
from elasticvit.precisions import FP32
from elasticvit.space import TINY
from lut.dataset import Dataset, note_fitted, split_of
from lut.exchange import COLUMNS, SCHEMA, export_table, read_table
from lut.held_out import HeldOutSplit
from lut.keys import subnet_key
from lut.store import Store

ROWS = [
    Measurement(
        key=key,
        samples_us=(100.1, 1 / 3, 1e5),
        round=number,
        threads=2,
        cores="4-7",
        source="adb:123",
        runtime="LiteRT 2",
        runtime_hash="0123",  # must not become a number
        before=Conditions(temperature_c=31.5),
        after=Conditions(frequency_mhz=2000.0),
        time_s=1.75e9 + 1 / 3,
        peak_bytes=123 if number else None,
        interrupted_runs=None if number else 2,
        calibration_us={"attention size=8 width=96 v_scale=2": (1.5, 2.0)} if number else {},
    )
    for key in ("ffn size=8 width=96 mlp_ratio=2", subnet_key(TINY.smallest, TINY.layout))
    for number in range(2)
]
FORMATS = pytest.mark.parametrize("name", ["t.csv", "t.parquet"])


def exported(folder: Path, name: str, rows=ROWS, seed: int | None = 5) -> Path:
    with Store(folder / "from.sqlite") as store:
        store.add("phone", *rows, cores="big")
        if seed is not None:
            store.note("phone", "split_seed", seed)
        assert export_table(store, "phone", folder / name) == len(rows)
    return folder / name


@FORMATS
def test_everything_comes_back(tmp_path, name: str) -> None:
    table = read_table(exported(tmp_path, name))
    assert (table.device, table.split_seed) == ("phone", 5)
    expected = [(replace(m, source=f"import:{name} of adb:123"), "big") for m in ROWS]
    assert list(table.rows) == expected


def test_a_table_of_schema_1_is_read(tmp_path) -> None:
    path = exported(tmp_path, "t.csv")
    header, table = path.read_text().split("\n", 1)
    frame = pd.read_csv(io.StringIO(table), dtype=str).drop(columns="calibration_us")
    old = json.loads(header[2:]) | {"schema": 1}
    del old["sha256"]
    path.write_text(f"# {json.dumps(old)}\n{frame.to_csv(index=False)}")
    rows = [m for m, _ in read_table(path).rows]
    assert [m.samples_us for m in rows] == [m.samples_us for m in ROWS]
    assert not any(m.calibration_us for m in rows)


@FORMATS
def test_an_imported_table_is_used_like_a_measured_one(tmp_path, name: str) -> None:
    table = read_table(exported(tmp_path, name))
    with Store(tmp_path / "to.sqlite") as store:
        assert table.add_to(store, "mine") == 4
        assert table.add_to(store, "mine") == 0
        assert store.noted("mine", "split_seed") == [5]
        series = store.latest("mine")
        assert (series.count, series.cores, series.threads) == (4, "big", 2)
        assert "unrecorded" not in str(series)
        # exported once more, it keeps its first source
        export_table(store, "mine", tmp_path / "again.csv")
    again = read_table(tmp_path / "again.csv")
    assert {m.source for m, _ in again.rows} == {f"import:{name} of adb:123"}


def test_latencies_of_a_later_runtime_are_added_beside_the_former_ones(tmp_path) -> None:
    table = read_table(exported(tmp_path, "t.csv"))
    later = tuple((replace(m, runtime="LiteRT 3", runtime_hash="4567"), c) for m, c in table.rows)
    with Store(tmp_path / "to.sqlite") as store:
        assert table.add_to(store, "mine") == 4
        assert replace(table, rows=later).add_to(store, "mine") == 4
        assert {one.runtime for one in store.series("mine")} == {"LiteRT 2", "LiteRT 3"}


@FORMATS
def test_subnets_that_a_search_chose_are_not_held_out_after_an_import(tmp_path, name: str) -> None:
    archs = list(TINY.sample(20, np.random.default_rng(3)))
    keys = [subnet_key(arch, TINY.layout) for arch in archs]
    with Store(tmp_path / "from.sqlite") as store:
        note_fitted(store, "phone", FP32, keys[:10], ())
        store.note("phone", "split_seed", 0)
        store.add("phone", *(replace(ROWS[0], key=key) for key in keys), cores="big")
        export_table(store, "phone", tmp_path / name)
    table = read_table(tmp_path / name)
    with Store(tmp_path / "to.sqlite") as store:
        table.add_to(store, "mine")
        held = Dataset.of(store, "mine", TINY).held_subnets
    assert held
    assert not set(held) & set(archs[:10])
    # where one was held out before, it stays so
    with Store(tmp_path / "other.sqlite") as store:
        unfair = next(key for key in keys[:10] if HeldOutSplit(seed=0).held_out(key))
        store.add("mine", replace(ROWS[0], key=unfair, round=9), cores="big")
        table.add_to(store, "mine")
        assert split_of(store, "mine", FP32).held_out(unfair)


def test_another_split_is_refused_and_nothing_is_stored(tmp_path) -> None:
    table = read_table(exported(tmp_path, "t.csv"))
    with Store(tmp_path / "to.sqlite") as store:
        store.note("mine", "split_seed", 1)
        with pytest.raises(StoreError, match="seed 1, this table those of 5") as caught:
            table.add_to(store, "mine")
        assert caught.value.settings == ("device",)
        assert store.devices() == []


@pytest.mark.parametrize("source", ["fake:x", "adb-emulated:qemu"])
def test_an_import_does_not_hide_what_is_no_latency(tmp_path, source: str) -> None:
    rows = [replace(ROWS[0], source=source)]
    table = read_table(exported(tmp_path, "t.csv", rows))
    assert [m.source for m, _ in table.rows] == [source]


def test_an_unknown_device_or_ending_is_refused(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        with pytest.raises(StoreError, match="no measurements of device 'phone'"):
            export_table(store, "phone", tmp_path / "t.csv")
        with pytest.raises(StoreError, match=r"ends in '\.xlsx'; use \.csv or \.parquet"):
            export_table(store, "phone", tmp_path / "t.xlsx")


def changed(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (
            f'"schema": {SCHEMA}',
            f'"schema": {SCHEMA + 1}',
            f"latency table up to schema {SCHEMA}",
        ),
        ("elasticvit latency table", "another table", "format is 'another table'"),
        ("samples_us", "samples_ms", "lacks the columns samples_us"),
        ("100.1 ", "-100.1 ", r"row 1: samples_us\[0\] is -100.1; expected a number >= 0.01"),
        ("100.1 ", "nan ", r"samples_us\[0\] is nan; it must be finite"),
        ("100.1 ", "100.1e9 ", r"samples_us\[0\] is 100100000000.0; expected a number <= 1000"),
        ("100.1 ", "fast ", r"row 1: samples_us\[0\] is 'fast'; expected a number"),
        ("ffn size=8", "fnn size=8", "row 1: key: .* is not a kernel"),
        ("mlp_ratio=2", "mlp=2", "is not a kernel"),
        ("subnet 10", "subnet ten", "row 3: key: "),
        (",2,big", ",two,big", "row 1: threads is 'two'; expected a whole number"),
        ("# {", "# [", "is not the header of a shared latency table"),
    ],
)
def test_bad_files_are_refused_by_the_row(tmp_path, old: str, new: str, match: str) -> None:
    path = changed(exported(tmp_path, "t.csv"), old, new)
    with pytest.raises(StoreError, match=match):
        read_table(path)


@FORMATS
@pytest.mark.parametrize("cut_bytes", [1, 7, 300])
def test_half_a_file_is_refused(tmp_path, name: str, cut_bytes: int) -> None:
    path = exported(tmp_path, name)
    path.write_bytes(path.read_bytes()[:-cut_bytes])
    with pytest.raises(StoreError, match=r"damaged|half-written"):
        read_table(path)


def test_a_file_that_lacks_its_last_rows_is_refused(tmp_path) -> None:
    path = exported(tmp_path, "t.csv")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(StoreError, match="3 of the 4 rows that its header names"):
        read_table(path)


@FORMATS
def test_another_programs_file_is_refused(tmp_path, name: str) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [1, 2]})
    path = tmp_path / name
    frame.to_csv(path) if path.suffix == ".csv" else frame.to_parquet(path)
    with pytest.raises(StoreError, match="no header"):
        read_table(path)
    with pytest.raises(StoreError, match=r"there is no .*none"):
        read_table(tmp_path / f"none{path.suffix}")


def test_the_header_is_readable_json(tmp_path) -> None:
    first, columns, *_ = exported(tmp_path, "t.csv").read_text().splitlines()
    header = json.loads(first.removeprefix("# "))
    assert (header["schema"], header["device"]) == (SCHEMA, "phone")
    assert columns.split(",") == list(COLUMNS)
