"""The rows of a shared table as types: what each column holds, and what it must not hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from devices.protocol import Conditions, Measurement
from elasticvit.errors import ArchError
from elasticvit.precisions import FP32
from elasticvit.reading import Count, Format, shown
from lut.checked_rows import SLOWEST_US, Figure, FromZero
from lut.graphs import UNMARKED
from lut.keys import check_key
from lut.series import IMPORTED

FASTEST_US = 0.01  # a run of less: the unit must be wrong
LONGEST = 1000  # characters of a text
NO_LATENCIES = ("fake", "emulated")  # in the first part of a source; imports must not hide it
Us = Annotated[float, Meta(ge=FASTEST_US, le=SLOWEST_US)]  # a run, in microseconds
RunsUs = Annotated[list[Us], Meta(min_length=1)]
Text = Annotated[str, Meta(max_length=LONGEST)]
Words = Annotated[str, Meta(min_length=1, max_length=LONGEST)]


class SharedRow(msgspec.Struct, kw_only=True, frozen=True):
    """A measurement; the fields are the columns of the file, in their order.

    Attributes:
        cores_asked: Cores as requested; `cores` are those that were used.
        calibration_us: Runs of each calibration model in microseconds, by its key.
        samples_us: Runs in microseconds, in order.

    The others are those of `devices.protocol.Measurement`, with its `Conditions`.
    """

    key: Words
    round: Count
    time_s: FromZero
    source: Words
    runtime: Text
    runtime_hash: Text
    threads: Count
    cores_asked: Text
    cores: Text
    interrupted_runs: Count | None
    temperature_before_c: Figure | None
    temperature_after_c: Figure | None
    frequency_before_mhz: FromZero | None
    frequency_after_mhz: FromZero | None
    peak_bytes: Count | None
    calibration_us: dict[str, RunsUs]
    samples_us: RunsUs

    def measurement(self, file: str, precision: str) -> Measurement:
        """The measurement, as one that was imported from a file.

        Args:
            file: Name of the file. It becomes part of the source, unless that names a file already
                or says that the numbers are no latencies of a device.
            precision: Precision of the file's models.
        """
        first = self.source.partition(":")[0]
        kept = self.source.startswith(IMPORTED) or any(word in first for word in NO_LATENCIES)
        return Measurement(
            key=self.key,
            samples_us=tuple(self.samples_us),
            round=self.round,
            threads=self.threads,
            cores=self.cores,
            source=self.source if kept else f"{IMPORTED}{file} of {self.source}",
            runtime=self.runtime,
            runtime_hash=self.runtime_hash,
            before=Conditions(
                temperature_c=self.temperature_before_c, frequency_mhz=self.frequency_before_mhz
            ),
            after=Conditions(
                temperature_c=self.temperature_after_c, frequency_mhz=self.frequency_after_mhz
            ),
            time_s=self.time_s,
            peak_bytes=self.peak_bytes,
            interrupted_runs=self.interrupted_runs,
            calibration_us={key: tuple(us) for key, us in self.calibration_us.items()},
            precision=precision,
        )


COLUMNS = SharedRow.__struct_fields__
TEXTS = ("key", "source", "runtime", "runtime_hash", "cores_asked", "cores")
WHOLE = ("round", "threads", "interrupted_runs", "peak_bytes")
REAL = (
    *("time_s", "temperature_before_c", "temperature_after_c"),
    *("frequency_before_mhz", "frequency_after_mhz"),
)


def shared_rows(
    records: Iterable[Mapping[str, Any]], where: str, form: Format[SharedRow]
) -> list[SharedRow]:
    """Plain values as checked rows.

    Args:
        records: Values of the columns of each row, in their order in the file.
        where: What a message calls the file.
        form: The `Format` of a row, which says what to do about a bad one.

    Raises:
        EvitError: A value breaks the rule of its column; of the type that `form` names, with row,
            column, value and rule. Rows are counted from 1.
    """
    rows = []
    for number, record in enumerate(records, 1):
        try:
            row = msgspec.convert(record, SharedRow)
        except msgspec.ValidationError:
            form.parse(record, f"{where}, row {number}")
            raise
        for column in TEXTS:
            text = getattr(row, column)
            if not text.isprintable():
                raise form.failure(
                    f"{where}, row {number}: {column} is {shown(text)}; expected a text without "
                    "control characters"
                )
        for column, keys in (("key", (row.key,)), ("calibration_us", row.calibration_us)):
            for problem in filter(None, map(_key_problem, keys)):
                raise form.failure(f"{where}, row {number}: {column}: {problem}")
        rows.append(row)
    return rows


def checksum(
    device: str,
    split_seed: int | None,
    rows: Iterable[SharedRow],
    precision: str = FP32,
    graphs: int = UNMARKED,
    fitted: Sequence[str] = (),
) -> str:
    """SHA-256 of a table's device, split, precision, graphs, fitted subnets and rows in hexadecimal
    digits, the same for every kind of file; that of an fp32 table of the first graphs, of which no
    search chose anything, is what earlier versions made of it."""
    named: list[str | int | Sequence[str]] = [] if precision == FP32 else [precision]
    named += [] if graphs == UNMARKED else [graphs]
    named += [fitted] if fitted else []
    found = hashlib.sha256(msgspec.json.encode([device, split_seed, *named]))
    for row in rows:
        found.update(msgspec.json.encode(row))
    return found.hexdigest()


@lru_cache(maxsize=2**16)
def _key_problem(key: str) -> str | None:
    try:
        check_key(key)
    except ArchError as error:
        return str(error)
    return None
