"""The latency table: one SQLite file a workspace, append-only.

Every measurement is a transaction of its own, with its raw samples and all conditions, so a
profile that is killed loses at most the one in flight. The file is in WAL mode: several
processes profile several devices into it at once. Nothing is ever changed or deleted.

Measurements of one device name can come from several places (a phone, an imported file) and
be made in several ways (threads, cores, runtime). Those that may be compared form a `Series`;
readers get one series at a time and are told which.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from devices.protocol import DeviceInfo, Measurement, Rejected
from elasticvit.errors import StoreError
from lut.database import Database
from lut.estimate import latency_ms, round_ms
from lut.keys import kind_of
from lut.steady import steady_ms

if TYPE_CHECKING:
    import pandas as pd

IMPORTED = "import:"  # beginning of the source of what was read from a file
UNRECORDED = "unrecorded"
DRIFT_ROUND = 1000  # from here on, rounds show drift and do not count for a model's latency
COLUMNS = (
    *("id", "key", "kind", "round", "time_s", "cores", "runs", "interrupted_runs"),
    *("round_ms", "median_ms", "spread", "temperature_before_c", "temperature_after_c"),
    *("frequency_before_mhz", "frequency_after_mhz", "peak_bytes", "gauges"),
)


@dataclass(frozen=True)
class Series:
    """Measurements that may be compared: one device, one source, one way of measuring.

    Attributes:
        id: number in the table.
        device, source, runtime, runtime_hash: as in `DeviceInfo`.
        threads: inference threads.
        cores: as they were asked for, such as `auto` or `big`; a measurement says which were
            in force, which may change among equal ones.
        count: how many measurements.
    """

    id: int
    device: str
    source: str
    runtime: str
    runtime_hash: str
    threads: int
    cores: str
    count: int

    @property
    def recorded(self) -> bool:
        """Whether it is known how it was measured."""
        return self.runtime != UNRECORDED

    @property
    def imported(self) -> bool:
        """Whether it was read from a file."""
        return self.source.startswith(IMPORTED)

    def __str__(self) -> str:
        if not self.recorded:
            return f"{self.source}, conditions unrecorded"
        return f"{self.source}, {self.runtime}, {self.threads} thread(s) on core(s) {self.cores}"


class Store:
    """The table at `path`, made when missing. One process may use it from several threads.

    Raises:
        StoreError: the file is not such a table, is damaged, or was written by a newer version;
            it is left as it is.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._db = Database(self.path)

    def exclusive(self, device: str) -> AbstractContextManager[None]:
        """Hold a device against other profiles into this table while the context lasts.

        Raises:
            StoreError: another process profiles it.
        """
        return self._db.exclusive(device)

    def add(self, device: str, *items: Measurement, cores: str | None = None) -> None:
        """Append measurements, all or none.

        Args:
            cores: as they were asked for (see `Series`); by default those in force.

        Raises:
            StoreError: a latency that is not a positive finite number, no samples, an empty key,
                or a table that cannot be written.
        """
        self.add_all(device, [(item, cores) for item in items])

    def add_all(self, device: str, rows: Sequence[tuple[Measurement, str | None]]) -> None:
        """Append measurements, each with the cores that were asked for, all or none; see `add`."""
        for item, _ in rows:
            _check(item)
        with self._db.transaction() as db:
            for item, cores in rows:
                _insert(db, _series_id(db, device, item, cores or item.cores), item)

    def reject(self, info: DeviceInfo, item: Rejected) -> None:
        """Append that a device's runtime refused a model."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO rejected (device, runtime_hash, key, reason) VALUES (?, ?, ?, ?)",
                (info.name, info.runtime_hash, item.key, item.reason),
            )

    def rejected(self, info: DeviceInfo) -> dict[str, str]:
        """The models that a device's present runtime refused, with the latest reason."""
        query = "SELECT key, reason FROM rejected WHERE (device, runtime_hash) = (?, ?) ORDER BY id"
        return dict(self._db.rows(query, info.name, info.runtime_hash))

    def devices(self) -> list[str]:
        """Names of the devices that have measurements."""
        return [
            row[0] for row in self._db.rows("SELECT DISTINCT device FROM series ORDER BY device")
        ]

    def series(self, device: str) -> list[Series]:
        """The series of a device, the one that was measured last first."""
        query = (
            "SELECT s.id, device, source, runtime, runtime_hash, threads, s.cores, COUNT(m.id) "
            "FROM series s JOIN measurements m ON m.series = s.id WHERE device = ? "
            "GROUP BY s.id ORDER BY MAX(m.id) DESC"
        )
        return [Series(*row) for row in self._db.rows(query, device)]

    def latest(self, device: str) -> Series:
        """The series of a device that was measured last.

        Raises:
            StoreError: there is none.
        """
        found = self.series(device)
        if not found:
            known = ", ".join(self.devices()) or "no device"
            raise StoreError(
                f"no measurements of {device!r} in {self.path}, which has {known}; run "
                f"`evit-profile --device {device}`"
            )
        return found[0]

    def measurements(
        self, device: str, *, kind: str | None = None, series: Series | None = None
    ) -> pd.DataFrame:
        """One row a measurement of one series, in the order they were made.

        Args:
            kind: only these (`subnet`, or a kernel kind).
            series: which; by default the latest.

        Returns:
            Columns `id, key, kind, round, time_s, cores, runs, interrupted_runs, round_ms`
            (see `lut.estimate`), `median_ms, spread` (quartile distance over median),
            temperatures, frequencies, `peak_bytes`, `gauges` (JSON, microseconds), `steady_ms`
            (see `lut.steady`), `source`, `threads`.
        """
        import pandas as pd

        chosen = series or self.latest(device)
        query = f"SELECT {', '.join(COLUMNS)} FROM measurements WHERE series = ? ORDER BY id"
        frame: pd.DataFrame = pd.DataFrame(self._db.rows(query, chosen.id), columns=COLUMNS)
        frame["steady_ms"] = steady_ms(frame)
        frame["source"], frame["threads"] = chosen.source, chosen.threads
        return frame if kind is None else frame[frame["kind"] == kind].reset_index(drop=True)

    def latencies(
        self, device: str, *, kind: str | None = None, series: Series | None = None
    ) -> pd.DataFrame:
        """One row a key of one series, sorted by key.

        Returns:
            Columns `key, kind, latency_ms` (see `lut.estimate` and `lut.steady`), `spread`
            (largest over smallest round, minus 1), `rounds`, `runs`, `source`.
        """
        import pandas as pd

        frame = self.measurements(device, kind=kind, series=series)
        by_key = frame[frame["round"] < DRIFT_ROUND].groupby("key", sort=True)
        rounds = by_key["steady_ms"]
        found = pd.DataFrame(
            {
                "kind": by_key["kind"].first(),
                "latency_ms": rounds.agg(latency_ms),
                "spread": rounds.max() / rounds.min() - 1,
                "rounds": rounds.size(),
                "runs": by_key["runs"].sum(),
                "source": by_key["source"].first(),
            }
        )
        whole: pd.DataFrame = found.reset_index()
        return whole

    def rounds(self, device: str, series: Series | None = None) -> dict[str, set[int]]:
        """Which rounds of each key are there already; empty for an unknown device."""
        found: dict[str, set[int]] = {}
        if series is None and not self.series(device):
            return found
        chosen = series or self.latest(device)
        for key, number in self._db.rows(
            "SELECT DISTINCT key, round FROM measurements WHERE series = ?", chosen.id
        ):
            found.setdefault(key, set()).add(number)
        return found

    def samples_us(self, measurement: int) -> npt.NDArray[np.float64]:
        """The raw runs of a measurement by its `id`, in microseconds, in order."""
        rows = self._db.rows("SELECT samples_us FROM measurements WHERE id = ?", measurement)
        if not rows:
            raise StoreError(f"no measurement {measurement} in {self.path}")
        return np.frombuffer(rows[0][0], dtype="<f8")

    def note(self, device: str, name: str, value: Any) -> None:
        """Append a fact about a device as JSON, such as its `info` or the profile's settings."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO notes (device, name, value) VALUES (?, ?, ?)",
                (device, name, json.dumps(value, allow_nan=False)),
            )

    def noted(self, device: str, name: str) -> list[Any]:
        """The values noted under a name, oldest first."""
        query = "SELECT value FROM notes WHERE (device, name) = (?, ?) ORDER BY id"
        return [json.loads(row[0]) for row in self._db.rows(query, device, name)]

    def remember(self, info: DeviceInfo) -> None:
        """Note what a device says of itself, when it differs from what it last said."""
        facts = json.loads(json.dumps(asdict(info), default=str))
        if self.noted(info.name, "info")[-1:] != [facts]:
            self.note(info.name, "info", facts)

    def close(self) -> None:
        """Close the file; the store cannot be used any more."""
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _check(m: Measurement) -> None:
    bad = next((s for s in m.samples_us if not math.isfinite(s) or s <= 0), None)
    if bad is not None:
        raise StoreError(
            f"{m.key!r} was timed at {bad} us; a latency is a positive finite number, so nothing "
            "of it was stored"
        )
    if not m.samples_us or not m.key or m.round < 0 or m.threads < 0:
        raise StoreError(
            f"measurement of {m.key!r}: {len(m.samples_us)} samples, round {m.round}, {m.threads} "
            "threads; it needs a key, at least one sample and counts from 0"
        )


def _series_id(db: sqlite3.Connection, device: str, m: Measurement, cores: str) -> int:
    row = (device, m.source, m.runtime, m.runtime_hash, m.threads, cores)
    db.execute(
        "INSERT OR IGNORE INTO series (device, source, runtime, runtime_hash, threads, cores) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        row,
    )
    found = db.execute(
        "SELECT id FROM series WHERE (device, source, runtime, runtime_hash, threads, cores) "
        "= (?, ?, ?, ?, ?, ?)",
        row,
    )
    return int(found.fetchone()[0])


def _insert(db: sqlite3.Connection, series: int, m: Measurement) -> None:
    samples = np.asarray(m.samples_us, dtype="<f8")
    low, median, high = np.quantile(samples, [0.25, 0.5, 0.75])
    gauges = {key: [round(us, 3) for us in runs] for key, runs in m.gauges_us.items()}
    values = (
        *(series, m.key, kind_of(m.key), m.round, m.time_s),
        *(m.cores, m.run_count, m.interrupted_runs),
        *(round_ms(samples), median / 1e3, (high - low) / median),
        *(m.before.temperature_c, m.after.temperature_c),
        *(m.before.frequency_mhz, m.after.frequency_mhz),
        *(m.peak_bytes, json.dumps(gauges) if gauges else None),
        samples.tobytes(),
    )
    names = f"series, {', '.join(COLUMNS[1:])}, samples_us"
    db.execute(
        f"INSERT INTO measurements ({names}) VALUES ({', '.join('?' * len(values))})", values
    )
