"""The latency table: what goes in comes out, whatever happens to the writers and the file."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from devices.protocol import Conditions, DeviceInfo, Measurement, Rejected
from elasticvit.errors import NextStep, StoreError
from lut.estimate import round_ms
from lut.schema import SCHEMA
from lut.store import Store

ROW = Measurement(
    key="ffn size=8 width=96 mlp_ratio=2",
    samples_us=(103.5, 101.25, 250.0),
    round=1,
    threads=2,
    cores="4-5",
    source="host:test",
    runtime="LiteRT 1",
    runtime_hash="abc",
    before=Conditions(temperature_c=40.5),
    after=Conditions(temperature_c=41.0, frequency_mhz=1800.0),
    time_s=1e9,
    peak_bytes=2**33,
    interrupted_runs=1,
)


def key(width: int) -> str:
    """Key of a kernel by its width."""
    return f"ffn size=8 width={width + 1} mlp_ratio=2"


def filled(path: Path, rows: int = 40) -> Path:
    """A table with some rows, checkpointed into its one file."""
    with Store(path) as store:
        store.add_all("host", [(replace(ROW, key=key(i)), None) for i in range(rows)])
    return path


def test_a_measurement_comes_back_whole(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        store.add("host", ROW, cores="big")
        (series,) = store.series("host")
        (row,) = store.measurements("host").to_dict("records")
        assert store.samples_us(row["id"]).tolist() == list(ROW.samples_us)
        assert store.rounds("host") == {ROW.key: {1}}
    assert (series.source, series.runtime, series.runtime_hash) == ("host:test", "LiteRT 1", "abc")
    assert (series.threads, series.cores, series.count) == (2, "big", 1)
    expected = {
        "key": ROW.key,
        "kind": "ffn",
        "round": 1,
        "time_s": 1e9,
        "cores": "4-5",
        "runs": 3,
        "interrupted_runs": 1,
        "median_ms": 0.1035,
        "temperature_before_c": 40.5,
        "temperature_after_c": 41.0,
        "frequency_after_mhz": 1800.0,
        "peak_bytes": 2**33,
        "source": "host:test",
        "threads": 2,
    }
    assert {name: row[name] for name in expected} == expected
    assert pd.isna(row["frequency_before_mhz"])


def test_the_median_of_the_rounds_is_the_latency(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        for number, level in enumerate((300.0, 100.0, 200.0)):
            store.add("host", replace(ROW, round=number, samples_us=(level,) * 20))
        (row,) = store.latencies("host").to_dict("records")
    assert row["latency_ms"] == pytest.approx(0.2)
    assert row["spread"] == pytest.approx(2.0)
    assert (row["rounds"], row["runs"]) == (3, 60)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3.0, 0.0])
def test_impossible_latencies_are_refused_and_nothing_of_the_batch_is_stored(
    tmp_path, value: float
) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        with pytest.raises(StoreError, match="positive finite number"):
            store.add("host", ROW, replace(ROW, samples_us=(5.0, value)))
        assert store.devices() == []


@pytest.mark.parametrize(
    "bad", [replace(ROW, samples_us=()), replace(ROW, key=""), replace(ROW, round=-1)]
)
def test_empty_measurements_are_refused(tmp_path, bad: Measurement) -> None:
    with Store(tmp_path / "lut.sqlite") as store, pytest.raises(StoreError, match="needs a key"):
        store.add("host", bad)


def test_sources_and_ways_of_measuring_never_mix(tmp_path) -> None:
    other = [
        replace(ROW, source="import:table.json"),
        replace(ROW, threads=4),
        replace(ROW, runtime_hash="def"),
    ]
    with Store(tmp_path / "lut.sqlite") as store:
        store.add("host", ROW, *other)
        store.add("host", ROW, cores="little")
        assert len(store.series("host")) == 5
        assert len(store.latencies("host")) == 1
        assert store.latest("host").cores == "little"
        for series in store.series("host"):
            assert store.measurements("host", series=series)["source"].unique() == [series.source]


def test_equal_cores_of_one_request_are_one_series(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        store.add("host", replace(ROW, cores="0", round=0), cores="auto")
        store.add("host", replace(ROW, cores="1", round=1), cores="auto")
        (series,) = store.series("host")
        assert store.measurements("host")["cores"].tolist() == ["0", "1"]
    assert series.count == 2


def test_an_unknown_device_is_refused_with_the_known_ones(tmp_path) -> None:
    with Store(filled(tmp_path / "lut.sqlite")) as store:
        with pytest.raises(StoreError, match=r"pixel6.*has host; profile the device") as caught:
            store.latencies("pixel6")
        assert caught.value.settings == ("device",)
        assert caught.value.next_step == NextStep("profile", {"device": "pixel6"})
        assert store.rounds("pixel6") == {}


def test_notes_rejections_and_facts(tmp_path) -> None:
    info = DeviceInfo(
        name="host", source="s", runtime="r", runtime_hash="h", facts={"cores": [0, 1]}
    )
    with Store(tmp_path / "lut.sqlite") as store:
        store.reject(info, Rejected("k", "first"))
        store.reject(info, Rejected("k", "second"))
        assert store.rejected(info) == {"k": "second"}
        assert store.rejected(replace(info, runtime_hash="newer")) == {}
        assert store.rejected(replace(info, name="other")) == {}
        for device in (info, info, replace(info, runtime="r2"), info):
            store.remember(device)
        assert [fact["runtime"] for fact in store.noted("host", "info")] == ["r", "r2", "r"]
        assert store.noted("other", "info") == []


WRITER = """
import sys
from dataclasses import replace
from lut.store import Store
from tests.test_lut_store import ROW, key
path, device, count = sys.argv[1:]
with Store(path) as store:
    for i in range(int(count)):
        store.add(device, replace(ROW, key=key(i)))
        print(i, flush=True)
"""


def writer(path: Path, device: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), device, str(count)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )


def test_several_processes_write_at_once(tmp_path) -> None:
    path = tmp_path / "lut.sqlite"  # made by whichever is first
    writers = [writer(path, device, 150) for device in ("a", "b", "c")]
    assert [w.wait(timeout=60) for w in writers] == [0, 0, 0]
    for w in writers:
        assert w.stdout is not None
        w.stdout.close()
    with Store(path) as store:
        assert store.devices() == ["a", "b", "c"]
        for device in "abc":
            assert sorted(store.rounds(device)) == sorted(key(i) for i in range(150))
            assert store.latest(device).count == 150


def test_a_killed_writer_loses_at_most_the_row_in_flight(tmp_path) -> None:
    path = tmp_path / "lut.sqlite"
    told = 0
    for attempt in range(3):
        process = writer(path, f"phone{attempt}", 100_000)
        assert process.stdout is not None
        for line in process.stdout:
            told = int(line)
            if told >= 20 + 13 * attempt:
                break
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
        told = int(rest[-1]) if rest else told
        process.stdout.close()
        process.wait()
        with Store(path) as store:
            count = store.latest(f"phone{attempt}").count
            assert count - (told + 1) in (0, 1)
            assert sorted(store.rounds(f"phone{attempt}")) == sorted(key(i) for i in range(count))


def test_threads_share_a_store(tmp_path) -> None:
    import threading

    with Store(tmp_path / "lut.sqlite") as store:

        def write(device: str) -> None:
            for i in range(50):
                store.add(device, replace(ROW, round=i))

        threads = [threading.Thread(target=write, args=(d,)) for d in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [store.latest(d).count for d in ("a", "b")] == [50, 50]


def refused(path: Path, match: str) -> None:
    """Opening is refused, and the file stays as it was."""
    before = path.read_bytes()
    with pytest.raises(StoreError, match=match):
        Store(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_table_is_refused(tmp_path) -> None:
    path = tmp_path / "lut.sqlite"
    path.write_text("key,latency_ms\nffn,1.0\n" * 20)
    refused(path, "not a latency table")
    path.write_bytes(b"SQLite format 3\x00" + bytes(20))
    refused(path, "not a latency table")


def test_another_programs_database_is_refused(tmp_path) -> None:
    path = tmp_path / "lut.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE photos (id)")
    db.close()
    refused(path, "another program")


def test_a_newer_table_is_refused(tmp_path) -> None:
    path = filled(tmp_path / "lut.sqlite")
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    refused(path, f"schema {SCHEMA + 1}, this version reads {SCHEMA}; update")


def test_a_table_of_schema_1_is_used(tmp_path) -> None:
    from old_tables import without_precision  # which processes of other tests do not find

    path = filled(tmp_path / "lut.sqlite", rows=3)
    with sqlite3.connect(path) as db:
        without_precision(db)
        db.execute("ALTER TABLE measurements DROP COLUMN calibration_us")
        db.execute("UPDATE measurements SET round_ms = 77.0")
        db.execute("PRAGMA user_version = 1")
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    with Store(path) as store:
        store.add("host", replace(ROW, round=9, calibration_us={"a": (2.0, 3.0)}))
        frame = store.measurements("host")
        runs = [store.samples_us(i) for i in frame["id"]]
    assert frame["round_ms"].tolist() == pytest.approx([round_ms(us) for us in runs])
    calibration = frame["calibration_us"]
    assert calibration.isna().sum() == 3
    assert calibration.dropna().tolist() == ['{"a": [2.0, 3.0]}']


def test_a_table_of_schema_2_is_used(tmp_path) -> None:
    from old_tables import without_precision  # which processes of other tests do not find

    path = tmp_path / "lut.sqlite"
    with Store(path) as store:
        store.add("host", replace(ROW, calibration_us={"a": (2.0, 3.0)}))
    with sqlite3.connect(path) as db:
        without_precision(db)
        db.execute("ALTER TABLE measurements RENAME COLUMN calibration_us TO gauges")
        db.execute("PRAGMA user_version = 2")
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    for _ in range(2):  # brought to the present schema once
        with Store(path) as store:
            assert store.measurements("host")["calibration_us"].tolist() == ['{"a": [2.0, 3.0]}']


def test_a_migration_that_fails_leaves_the_table_as_it_was(tmp_path) -> None:
    path = filled(tmp_path / "lut.sqlite", rows=3)
    with sqlite3.connect(path) as db:  # says 2, but has the columns of 3
        db.execute("PRAGMA user_version = 2")
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    refused(path, "cannot be used")


def test_a_half_written_table_is_refused(tmp_path) -> None:
    path = filled(tmp_path / "lut.sqlite", rows=400)
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(path, "damaged|cannot be used")


def test_a_scrambled_table_is_refused(tmp_path) -> None:
    path = filled(tmp_path / "lut.sqlite", rows=400)
    raw = bytearray(path.read_bytes())
    raw[4096:12288] = os.urandom(8192)
    path.write_bytes(raw)
    refused(path, "damaged|cannot be used")


def test_an_empty_file_becomes_a_table(tmp_path) -> None:
    path = tmp_path / "lut.sqlite"
    path.touch()
    assert filled(path).stat().st_size > 0


def test_a_folder_that_cannot_be_written_is_told(tmp_path) -> None:
    (tmp_path / "lut.sqlite").mkdir()
    with pytest.raises(StoreError, match="latency table"):
        Store(tmp_path / "lut.sqlite")


def test_a_reader_sees_rows_as_they_come(tmp_path) -> None:
    path = tmp_path / "lut.sqlite"
    with Store(path) as first, Store(path) as second:
        first.add("host", replace(ROW, time_s=time.time()))
        assert second.devices() == ["host"]
