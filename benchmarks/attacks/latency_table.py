"""Class `table`: a damaged latency table, as a file and row by row."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from attacks.attack import EQUAL, OK, REFUSED, WORKSPACE, Attack, Site
from attacks.damage import byte_attacks
from attacks.prepared import MEASURED, PROFILE, TABLE_CSV

LUT = f"{WORKSPACE}/lut.sqlite"
READ = ("evit-profile", "--export-lut", "again.csv")
ROW = "id = (SELECT max(id) FROM measurements)"
UPDATES = {  # a statement, and the column that must be named
    "round_ms of text": (f"UPDATE measurements SET round_ms = 'abc' WHERE {ROW}", "round_ms"),
    "round_ms of a thousand digits": (
        f"UPDATE measurements SET round_ms = 1e300 WHERE {ROW}",
        "round_ms",
    ),
    "round_ms infinite": (f"UPDATE measurements SET round_ms = 9e999 WHERE {ROW}", "round_ms"),
    "median_ms of text": (f"UPDATE measurements SET median_ms = 'abc' WHERE {ROW}", "median_ms"),
    "spread negative": (f"UPDATE measurements SET spread = -5 WHERE {ROW}", "spread"),
    "round of text": (f"UPDATE measurements SET round = 'first' WHERE {ROW}", "round"),
    "time of text": (f"UPDATE measurements SET time_s = 'noon' WHERE {ROW}", "time_s"),
    "runs negative": (f"UPDATE measurements SET runs = -1 WHERE {ROW}", "runs"),
    "key that is none": (f"UPDATE measurements SET key = 'rubbish' WHERE {ROW}", "key"),
    "key of a blob": (f"UPDATE measurements SET key = x'00ff' WHERE {ROW}", "key"),
    "kind of another key": ("UPDATE measurements SET kind = 'ffn' WHERE kind = 'head'", "kind"),
    "kind that is none": (f"UPDATE measurements SET kind = 'rubbish' WHERE {ROW}", "kind"),
    "series that is none": (f"UPDATE measurements SET series = 999 WHERE {ROW}", "series"),
    "calibration of bad JSON": (
        f"UPDATE measurements SET calibration_us = '{{' WHERE {ROW}",
        "calibration_us",
    ),
    "calibration of texts": (
        f"UPDATE measurements SET calibration_us = '[[\"a\"]]' WHERE {ROW}",
        "calibration_us",
    ),
    "calibration of NaN": (
        f"UPDATE measurements SET calibration_us = '[NaN]' WHERE {ROW}",
        "calibration_us",
    ),
    "samples of a wrong length": (
        f"UPDATE measurements SET samples_us = x'0011' WHERE {ROW}",
        "samples_us",
    ),
    "samples of text": (f"UPDATE measurements SET samples_us = 'abc' WHERE {ROW}", "samples_us"),
    "samples of NaN": (
        f"UPDATE measurements SET samples_us = x'000000000000f87f' WHERE {ROW}",
        "samples_us",
    ),
    "no samples": (f"UPDATE measurements SET samples_us = x'' WHERE {ROW}", "samples_us"),
    "temperature of text": (
        f"UPDATE measurements SET temperature_before_c = 'hot' WHERE {ROW}",
        "temperature_before_c",
    ),
    "peak of text": (f"UPDATE measurements SET peak_bytes = 'much' WHERE {ROW}", "peak_bytes"),
    "cores of a blob": (f"UPDATE measurements SET cores = x'ff' WHERE {ROW}", "cores"),
    "threads of text": ("UPDATE series SET threads = 'two'", "threads"),
    "source of a blob": ("UPDATE series SET source = x'ff'", "source"),
    "seed of text": ("UPDATE notes SET value = 'abc' WHERE name = 'split_seed'", "split_seed"),
}
STRUCTURES = {
    "a table is gone": "DROP TABLE notes",
    "the measurements are gone": "DROP TABLE measurements",
    "a column is gone": "ALTER TABLE measurements DROP COLUMN peak_bytes",
    "a later schema": "PRAGMA user_version = 99",
    "a negative schema": "PRAGMA user_version = -1",
    "another program's": "PRAGMA application_id = 5",
    "a view in place of a table": "DROP TABLE notes; CREATE VIEW notes AS SELECT 1 AS id, "
    "'host' AS device, 'info' AS name, 5 AS value",
    "a trigger that raises": "CREATE TRIGGER stop BEFORE INSERT ON measurements BEGIN SELECT "
    "RAISE(ABORT, 'stopped'); END",
}


def _sql(statements: str) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        with closing(sqlite3.connect(site.one(LUT))) as table:
            table.execute("PRAGMA ignore_check_constraints = ON")
            table.executescript(statements)
            table.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    return spoil


def _locked(site: Site) -> None:
    """Hold the table in a transaction of another process for ever."""
    code = (
        "import sqlite3, time; db = sqlite3.connect('.evit/lut.sqlite', isolation_level=None); "
        "db.execute('BEGIN EXCLUSIVE'); open('held', 'w').close(); time.sleep(600)"
    )
    from subprocess import Popen
    from sys import executable

    site.background.append(Popen([executable, "-c", code], cwd=site.root))
    import time

    while not (site.root / "held").exists():
        time.sleep(0.05)


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found = [
        *byte_attacks("table", prepared, LUT, READ, names=(("lut.sqlite", "latency table"),)),
        *byte_attacks(
            "table",
            prepared,
            LUT,
            PROFILE,
            only=("cut", "random", "byte"),
            special=False,
            touched=MEASURED,
        ),
    ]
    for name, (statement, column) in UPDATES.items():
        argv = READ
        found.append(
            Attack(
                kind="table",
                name=f"{name} ({argv[0]} --export-lut)",
                argv=argv,
                spoil=_sql(statement),
                names=("lut.sqlite", column),
                allowed=(REFUSED, EQUAL),
            )
        )
    for name in tuple(UPDATES)[::4]:
        statement, column = UPDATES[name]
        found.append(
            Attack(
                kind="table",
                name=f"{name} (evit-profile)",
                argv=PROFILE,
                spoil=_sql(statement),
                names=("lut.sqlite", column),
                allowed=(REFUSED, OK),  # what it does not read may stay
                touched=MEASURED,
            )
        )
    for name, statement in STRUCTURES.items():
        argv = PROFILE if "trigger" in name else READ
        found.append(
            Attack(
                kind="table",
                name=name,
                argv=argv,
                spoil=_sql(statement),
                names=("lut.sqlite",),
                allowed=(REFUSED, EQUAL) if argv == READ else (REFUSED,),
            )
        )
    found.append(
        Attack(
            kind="table",
            name="another process holds the table",
            allowed=(REFUSED, EQUAL),
            argv=READ,
            spoil=_locked,
            names=("lut.sqlite",),
            limit_s=90,
        )
    )
    found.append(
        Attack(
            kind="table",
            name="a journal of another table beside it",
            argv=READ,
            spoil=lambda site: (site.workspace / "lut.sqlite-wal").write_bytes(b"\0rubbish" * 999),
            allowed=(REFUSED, EQUAL),
            names=("lut.sqlite",),
        )
    )
    found.append(
        Attack(
            kind="table",
            name="the table of another workspace",
            argv=("evit-profile", "--export-lut", "again.csv", "--device", "host"),
            spoil=lambda site: shutil.copy(site.one(LUT), site.root / "copy.sqlite"),
            allowed=(EQUAL,),
            like=READ,
        )
    )
    assert TABLE_CSV[1] == READ[1]
    return found
