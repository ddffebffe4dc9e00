"""The latency table: one SQLite file a workspace, append-only.

Every measurement is a transaction of its own, with its raw samples and all conditions, so a
profile that is killed loses at most the one in flight. The file is in WAL mode: several
processes profile several devices into it at once. No measurement is ever changed or deleted.

Measurements of one device name can come from several places (a phone, an imported file) and
be made in several ways (threads, cores, runtime) and precisions. Those that may be compared form a
`Series`; readers get one series at a time, by default the latest of a precision.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from devices.protocol import DeviceInfo, Measurement, Rejected
from elasticvit.arrays import FloatArray
from elasticvit.errors import StoreError
from elasticvit.kernels import Layout
from elasticvit.precisions import FP32
from lut.database import Database
from lut.frames import latency_frame, measurement_frame
from lut.row_types import (
    NoteRow,
    RejectedRow,
    RoundRow,
    SeriesDevice,
    note_value,
)
from lut.rows import check_measurement, insert_measurement, modernise_keys
from lut.samples import decoded_us
from lut.series import Series
from lut.table_errors import no_series

if TYPE_CHECKING:
    import pandas as pd


class Store:
    """The table at `path`, made when missing. One process may use it from several threads.

    What is read back is checked: a value that breaks the rule of its column raises a `StoreError`
    with table, row, column, value and rule.

    Args:
        path: File of the table.
        read_only: Whether it is only read; then it must be there, and nothing in its folder is
            changed.

    Raises:
        StoreError: The file is not such a table, is damaged, or was written by a newer version;
            it is left as it is.
        FileError: The table cannot be written.
    """

    def __init__(self, path: Path | str, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self._db = Database(self.path, read_only=read_only)

    def exclusive(self, device: str) -> AbstractContextManager[None]:
        """Hold a device against other profiles into this table while the context lasts.

        Raises:
            StoreError: Another process profiles it.
        """
        return self._db.exclusive(device)

    def all_or_nothing(self) -> AbstractContextManager[object]:
        """Keep all that is added while the context lasts, or, if it fails, nothing of it.

        Raises:
            FileError: The table cannot be written.
        """
        return self._db.transaction()

    def add(self, device: str, *items: Measurement, cores: str | None = None) -> None:
        """Append measurements, all or none.

        Args:
            cores: Cores as requested (see `Series`); by default those that were used.

        Raises:
            StoreError: A latency that is not a positive finite number, no samples, an empty key.
            FileError: The table cannot be written.
        """
        self.add_all(device, [(item, cores) for item in items])

    def add_all(self, device: str, rows: Sequence[tuple[Measurement, str | None]]) -> None:
        """Append measurements, each with the cores as requested, all or none; see `add`."""
        for item, _ in rows:
            check_measurement(item)
        with self._db.transaction() as db:
            for item, cores in rows:
                insert_measurement(db, device, item, cores or item.cores)

    def reject(self, info: DeviceInfo, item: Rejected, precision: str = FP32) -> None:
        """Append that a device's runtime refused a model in a precision."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO rejected (device, runtime_hash, key, reason, precision) "
                "VALUES (?, ?, ?, ?, ?)",
                (info.name, info.runtime_hash, item.key, item.reason, precision),
            )

    def rejected(self, info: DeviceInfo, precision: str = FP32) -> dict[str, str]:
        """The models that a device's present runtime refused in a precision, with the latest
        reason."""
        query = (
            "SELECT id, key, reason FROM rejected "
            "WHERE (device, runtime_hash, precision) = (?, ?, ?) ORDER BY id"
        )
        values = (info.name, info.runtime_hash, precision)
        rows = self._db.records(RejectedRow, "rejected", query, *values)
        return {row.key: row.reason for row in rows}

    def modernise_keys(self, layout: Layout) -> None:
        """Rewrite the keys that an earlier version gave to the subnets of a layout, in one
        transaction, so that a profile finds what it measured then; see `lut.keys`.

        Readers need not call it: they understand both forms.

        Args:
            layout: Layout with its number of classes; the keys of all others stay.
        """
        with self._db.transaction() as db:
            modernise_keys(db, layout, self._db.where)

    def devices(self) -> list[str]:
        """Names of the devices that have measurements."""
        query = "SELECT MIN(id) AS id, device FROM series GROUP BY device ORDER BY device"
        return [row.device for row in self._db.records(SeriesDevice, "series", query)]

    def series(self, device: str, precision: str | None = None) -> list[Series]:
        """The series of a device, the one that was measured last first.

        Args:
            precision: Precision that they are in; None is any.
        """
        query = (
            "SELECT s.id AS id, device, source, runtime, runtime_hash, threads, s.cores AS cores, "
            "precision, COUNT(m.id) AS count "
            "FROM series s JOIN measurements m ON m.series = s.id WHERE device = ? "
            "GROUP BY s.id ORDER BY MAX(m.id) DESC"
        )
        found = self._db.records(Series, "series", query, device)
        return [one for one in found if precision in (None, one.precision)]

    def latest(self, device: str, precision: str = FP32) -> Series:
        """The series of a device in a precision that was measured last.

        Raises:
            StoreError: There is none.
        """
        found = self.series(device)
        same = [one for one in found if one.precision == precision]
        if not same:
            raise no_series(self.path, device, precision, found, self.devices())
        return same[0]

    def measurements(
        self, device: str, *, kind: str | None = None, series: Series | None = None
    ) -> pd.DataFrame:
        """One row a measurement of one series, in the order they were made.

        Args:
            kind: Kind of the rows (`subnet`, or a kernel kind); by default all kinds.
            series: Series to read; by default the latest in fp32.

        Returns:
            Columns `id, key, kind, round, time_s, cores, runs, interrupted_runs, round_ms`
            (see `lut.estimate`), `median_ms, spread` (quartile distance over median),
            temperatures, frequencies, `peak_bytes`, `calibration_us` (JSON text: runs of each
            calibration model in microseconds, by its key), `steady_ms` (see `lut.steady`),
            `source`, `threads`.
        """
        frame = measurement_frame(self._db, series or self.latest(device))
        return frame if kind is None else frame[frame["kind"] == kind].reset_index(drop=True)

    def latencies(
        self, device: str, *, kind: str | None = None, series: Series | None = None
    ) -> pd.DataFrame:
        """One row a key of one series, sorted by key; arguments as of `measurements`.

        Returns:
            Columns `key, kind, latency_ms` (see `lut.estimate` and `lut.steady`), `spread`
            (largest over smallest round, minus 1), `rounds`, `runs`, `source`.
        """
        return latency_frame(self.measurements(device, kind=kind, series=series))

    def rounds(self, device: str, series: Series | None = None) -> dict[str, set[int]]:
        """Which rounds of each key are there already; empty for an unknown device.

        Args:
            series: Series to read; by default the latest in fp32.
        """
        found: dict[str, set[int]] = {}
        if series is None and not self.series(device, FP32):
            return found
        chosen = series or self.latest(device)
        query = (
            "SELECT MIN(id) AS id, key, round FROM measurements WHERE series = ? "
            "GROUP BY key, round"
        )
        for row in self._db.records(RoundRow, "measurements", query, chosen.id):
            found.setdefault(row.key, set()).add(row.round)
        return found

    def samples_us(self, measurement: int) -> FloatArray:
        """The raw runs of a measurement by its `id`, in microseconds, in order."""
        rows = self._db.rows("SELECT samples_us FROM measurements WHERE id = ?", measurement)
        if not rows:
            raise StoreError(
                f"no measurement with id {measurement} in {self.path}; use an id of `measurements`"
            )
        return decoded_us(rows[0][0], measurement, self._db.where)

    def note(self, device: str, name: str, value: Any, precision: str | None = None) -> None:
        """Append a fact about a device as JSON, such as its `info` or the profile's settings.

        Args:
            precision: Precision that the fact is of; None for a fact of the device itself.
        """
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO notes (device, name, value, precision) VALUES (?, ?, ?, ?)",
                (device, name, json.dumps(value, allow_nan=False), precision),
            )

    def noted(self, device: str, name: str, precision: str | None = None) -> list[Any]:
        """The values noted under a name, oldest first.

        Args:
            precision: As in `note`.
        """
        query = (
            "SELECT id, value FROM notes WHERE (device, name) = (?, ?) AND precision IS ? "
            "ORDER BY id"
        )
        rows = self._db.records(NoteRow, "notes", query, device, name, precision)
        return [note_value(row, name, self._db.where) for row in rows]

    def remember(self, info: DeviceInfo) -> None:
        """Note the facts of a device, if they differ from those that were noted last."""
        facts = json.loads(json.dumps(asdict(info), default=str))
        if self.noted(info.name, "info")[-1:] != [facts]:
            self.note(info.name, "info", facts)

    def is_unused(self) -> bool:
        """Whether nothing was ever measured into the table and nobody else has it open. To be asked
        before it is removed: nothing may be written to it any more."""
        return not self.devices() and self._db.is_alone()

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
