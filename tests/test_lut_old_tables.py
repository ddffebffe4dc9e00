"""Tables of earlier versions: read as they are, resumed without a measurement repeated."""

import io
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_lut_profile import CONFIG, HEADS, PLAN, PLANNED, computed_us, device, planned_rounds, run

from devices.protocol import TimedModel
from elasticvit.kernels import Kernel, lower
from elasticvit.space import TINY
from lut.calibration import calibration_models, table_calibration_models
from lut.dataset import Dataset
from lut.exchange import export_table, read_table
from lut.keys import SubnetKey, kind_of
from lut.plan import Job, ProfilePlan
from lut.quality import drift
from lut.schema import APPLICATION_ID, SCHEMA
from lut.store import Store

# as version 2 of the schema was written
SCHEMA_2 = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL, source TEXT NOT NULL, runtime TEXT NOT NULL, runtime_hash TEXT NOT NULL,
    threads INTEGER NOT NULL, cores TEXT NOT NULL,
    UNIQUE (device, source, runtime, runtime_hash, threads, cores)
);
CREATE TABLE measurements (
    id INTEGER PRIMARY KEY,
    series INTEGER NOT NULL REFERENCES series (id),
    key TEXT NOT NULL, kind TEXT NOT NULL, round INTEGER NOT NULL,
    time_s REAL NOT NULL,
    cores TEXT NOT NULL,
    runs INTEGER NOT NULL, interrupted_runs INTEGER,
    round_ms REAL NOT NULL CHECK (round_ms > 0), median_ms REAL NOT NULL, spread REAL NOT NULL,
    temperature_before_c REAL, temperature_after_c REAL,
    frequency_before_mhz REAL, frequency_after_mhz REAL,
    peak_bytes INTEGER, gauges TEXT,
    samples_us BLOB NOT NULL
);
CREATE INDEX measurements_by_key ON measurements (series, kind, key);
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, runtime_hash TEXT NOT NULL,
    key TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE notes (
    id INTEGER PRIMARY KEY, device TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL
);
"""


def comma_key(key: str) -> str:
    """A key as earlier versions wrote it."""
    if kind_of(key) != "subnet":
        return key
    head, _, arch = key.partition(" r")
    numbers = "r" + arch
    for mark in "rxekmv|":
        numbers = numbers.replace(mark, " ")
    return f"{head} {','.join(numbers.split())}"


def us(kernels: Sequence[Kernel]) -> float:
    return computed_us(TimedModel("", "; ".join(k.key for k in kernels).encode()))


def planned_jobs() -> list[Job]:
    plan = ProfilePlan.of(TINY, PLAN)
    return [j for j in plan.jobs(plan.levels, 3) if not set(j.kernels) & set(plan.first_kernels)]


@pytest.fixture
def old_table(tmp_path: Path) -> Path:
    """A table in which an earlier version measured its whole plan, apart from one subnet that the
    device refused."""
    path = tmp_path / "lut.sqlite"
    known = {comma_key(k): [us(parts)] * 2 for k, parts in calibration_models(TINY).items()}
    *jobs, refused = sorted(planned_jobs(), key=lambda job: job.key)
    with sqlite3.connect(path) as db:
        db.executescript(SCHEMA_2)
        db.execute("INSERT INTO series VALUES (1, 'fake', 'fake:fake', 'fake', '', 1, 'auto')")
        for job in jobs:
            runs = np.full(5, us(job.kernels))
            for number in range(job.rounds):
                db.execute(
                    "INSERT INTO measurements (series, key, kind, round, time_s, cores, runs, "
                    "round_ms, median_ms, spread, gauges, samples_us) "
                    "VALUES (1, ?, ?, ?, 1e9, 'auto', 5, ?, ?, 0, ?, ?)",
                    (
                        *(comma_key(job.key), kind_of(job.key), number),
                        *(runs[0] / 1e3, runs[0] / 1e3),
                        *(json.dumps(known), runs.astype("<f8").tobytes()),
                    ),
                )
        db.execute(
            "INSERT INTO rejected (device, runtime_hash, key, reason) VALUES ('fake', '', ?, 'no')",
            (comma_key(refused.key),),
        )
        db.execute("INSERT INTO notes (device, name, value) VALUES ('fake', 'split_seed', '0')")
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 2")
    db.close()
    assert refused.key.startswith("subnet")
    return path


def test_an_old_table_is_read_as_it_is(old_table: Path) -> None:
    with Store(old_table) as store:
        data = Dataset.of(store, "fake", TINY)
        frame = store.measurements("fake")
        models = table_calibration_models(frame, TINY.layout)
    for arch, ms in {**data.fit_subnets, **data.held_subnets}.items():
        assert ms == pytest.approx(us(lower(arch, TINY.layout)) / 1e3)
    # a later timing goes by the names that the table has for its calibration models
    assert list(models) == [comma_key(key) for key in calibration_models(TINY)]
    assert list(models.values()) == list(calibration_models(TINY).values())
    assert not any(" r" in key for key in frame["key"])
    with sqlite3.connect(old_table) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    db.close()


def test_an_old_table_is_resumed_and_nothing_is_measured_again(old_table: Path) -> None:
    with Store(old_table) as store:
        old, count = Dataset.of(store, "fake", TINY), len(store.measurements("fake"))
        summary = run(store)
        new, frame = Dataset.of(store, "fake", TINY), store.measurements("fake")
        counted = planned_rounds(store)
    assert summary.complete
    assert set(counted.values()) == {1}
    refused = [job for job in planned_jobs() if job.key in summary.rejected]
    assert [job.whole for job in refused] == [True]
    assert len(counted) == PLANNED - refused[0].rounds
    added = frame[count:]
    again = added[added["round"] < 1000]
    assert set(again["kind"]) == {"head"}  # of other numbers of classes
    assert len(again) == HEADS * CONFIG.timing.rounds
    assert new.held_subnets == old.held_subnets
    assert new.held_kernels == old.held_kernels
    assert new.fit_subnets == old.fit_subnets
    subnets = frame[frame["kind"] == "subnet"]["key"]
    assert not any("," in key for key in subnets)
    assert drift(frame, summary.reference) is not None


def test_the_calibration_models_of_a_resumed_table_have_one_name(old_table: Path) -> None:
    with Store(old_table) as store:
        before = store.measurements("fake")["calibration_us"].map(json.loads)
        store.modernise_keys(TINY.layout)
        after = store.measurements("fake")["calibration_us"].map(json.loads)
        store.modernise_keys(TINY.layout)  # changes nothing more
        assert store.measurements("fake")["calibration_us"].map(json.loads).equals(after)
    assert {tuple(runs) for runs in after} == {tuple(calibration_models(TINY))}
    assert [list(runs.values()) for runs in after] == [list(runs.values()) for runs in before]


def test_only_the_keys_of_one_layout_are_rewritten(old_table: Path) -> None:
    with Store(old_table) as store:
        before = store.measurements("fake")
        store.modernise_keys(TINY.with_classes(11).layout)
        pd.testing.assert_frame_equal(store.measurements("fake"), before)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_an_old_shared_table_is_imported_once_in_the_present_form(
    old_table: Path, tmp_path: Path, name: str
) -> None:
    with Store(old_table) as store:
        count = export_table(store, "fake", tmp_path / name)
    table = read_table(written_by_schema_2(tmp_path / name))
    assert any("," in m.key for m, _ in table.rows)
    with Store(tmp_path / "to.sqlite") as store:
        assert table.add_to(store, "mine") == count
        assert table.add_to(store, "mine") == 0
        frame = store.measurements("mine")
        assert not any("," in key for key in frame["key"])
        assert set(json.loads(frame["calibration_us"][0])) == set(calibration_models(TINY))


def test_an_old_shared_table_of_an_unknown_layout_stays_as_it_is(
    old_table: Path, tmp_path: Path
) -> None:
    """Its keys are brought to the present form when its space is profiled."""
    strange = SubnetKey(10, "12345678", (1, 2, 3)).comma_form
    with Store(old_table) as store:
        export_table(store, "fake", tmp_path / "t.csv")
    path = tmp_path / "t.csv"
    whole = comma_key(next(j.key for j in planned_jobs() if j.whole))
    header, rows = path.read_text().split("\n", 1)
    facts = json.loads(header.removeprefix("# "))
    del facts["sha256"]  # earlier versions wrote none
    path.write_text(f"# {json.dumps(facts)}\n{rows.replace(whole, strange)}")
    with Store(tmp_path / "to.sqlite") as store:
        table = read_table(path)
        table.add_to(store, "mine")
        assert table.add_to(store, "mine") == 0
        assert strange in store.rounds("mine")


def written_by_schema_2(path: Path) -> Path:
    """The same shared table with the header and the column names of schema 2."""
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
        header = frame.attrs
        frame = frame.rename(columns={"calibration_us": "gauges"})
        frame.attrs = {**header, "schema": 2}
        frame.to_parquet(path)
        return path
    first, text = path.read_text().split("\n", 1)
    frame = pd.read_csv(io.StringIO(text), dtype=str).rename(columns={"calibration_us": "gauges"})
    header = json.loads(first.removeprefix("# ")) | {"schema": 2}
    path.write_text(f"# {json.dumps(header)}\n{frame.to_csv(index=False)}")
    return path


def test_a_profile_of_another_device_rewrites_the_keys_of_all(old_table: Path) -> None:
    with Store(old_table) as store:
        run(store, device(name="other"))
        assert not any("," in key for key in store.rounds("fake"))
