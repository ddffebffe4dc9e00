"""The rows of a latency table as types; the annotations are the rules of the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from elasticvit.errors import ArchError, StoreError
from elasticvit.reading import Count, Format, Whole
from lut.checked_rows import MEND, Figure, FromZero, Ms, Us, row_failure
from lut.keys import check_key, kind_of

CalibrationUs = dict[str, Annotated[list[Us], Meta(min_length=1)]]
NOTES: Mapping[str, Any] = {  # what is noted under a name; anything under another one
    "split_seed": Annotated[int, Meta(ge=0)],
    "info": dict[str, Any],
    "chosen": list[str],
    "fitted": str,
}


class MeasurementRow(msgspec.Struct, kw_only=True):
    """A row of `measurements` without its runs; see `lut.store.Store.measurements`."""

    id: Whole
    key: str
    kind: str
    round: Count
    time_s: FromZero
    cores: str
    runs: Whole
    interrupted_runs: Count | None
    round_ms: Ms
    median_ms: Ms
    spread: FromZero
    temperature_before_c: Figure | None
    temperature_after_c: Figure | None
    frequency_before_mhz: FromZero | None
    frequency_after_mhz: FromZero | None
    peak_bytes: Count | None
    calibration_us: str | None


class RoundRow(msgspec.Struct, kw_only=True):
    """Key and round of a measurement."""

    id: Whole
    key: str
    round: Count


class SeriesDevice(msgspec.Struct, kw_only=True):
    """A device that has a series."""

    id: Whole
    device: str


class RejectedRow(msgspec.Struct, kw_only=True):
    """A model that a device's runtime refused, and why."""

    id: Whole
    key: str
    reason: str


class NoteRow(msgspec.Struct, kw_only=True):
    """A fact about a device, as JSON."""

    id: Whole
    value: str


COLUMNS = MeasurementRow.__struct_fields__


def check_measurements(rows: Sequence[MeasurementRow], where: str) -> None:
    """Refuse rows whose key, kind or calibration runs are damaged.

    Args:
        rows: Rows of measurements.
        where: What a message calls the table.

    Raises:
        StoreError: One is; with its row, column, value and rule.
    """
    for row in rows:
        problem = _key_problem(row.key)
        if problem is None and row.kind != kind_of(row.key):
            problem = f"kind is {row.kind!r}; its key {row.key!r} is of the kind {kind_of(row.key)}"
        if problem is not None:
            raise row_failure(where, "measurements", row.id, problem)
        if row.calibration_us is not None:
            calibration_of(row.calibration_us, row.id, where)


@lru_cache(maxsize=2**16)
def _key_problem(key: str) -> str | None:
    try:
        check_key(key)
    except ArchError as error:
        return f"key: {error}"
    return None


def calibration_of(text: str, number: int, where: str) -> CalibrationUs:
    """The runs of each calibration model around a measurement, in microseconds, by its key.

    Args:
        text: Value of the column `calibration_us`: a JSON object.
        number: The measurement's `id`.
        where: What a message calls the table.

    Raises:
        StoreError: It is damaged.
    """
    try:
        runs: CalibrationUs = msgspec.json.decode(text, type=CalibrationUs)
    except (msgspec.MsgspecError, RecursionError):
        form = Format(
            kind=CalibrationUs, what="a table of calibration runs", error=StoreError, mend=MEND
        )
        runs = form.parse_json(text, f"{where}, row {number} of table measurements, calibration_us")
    return runs


def note_value(row: NoteRow, name: str, where: str) -> Any:
    """The value of a note.

    Args:
        row: The note.
        name: What it is noted under; see `NOTES`.
        where: What a message calls the table.

    Raises:
        StoreError: It is damaged.
    """
    form: Format[Any] = Format(
        kind=NOTES.get(name, Any), what="a note", error=StoreError, mend=MEND
    )
    return form.parse_json(row.value, f"{where}, row {row.id} of table notes, {name}")
