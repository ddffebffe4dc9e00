"""What a latency table holds, told without changing its file in any way and without pandas."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec

from elasticvit.cpu_setting import CpuSetting
from elasticvit.precisions import Precision
from elasticvit.reading import Count, Whole
from lut.checked_rows import FromZero
from lut.database import Database
from lut.keys import SUBNET
from lut.series import UNRECORDED

CONTENT = """
SELECT s.id AS id, s.device AS device, s.source AS source, s.precision AS precision,
       s.runtime AS runtime, s.threads AS threads, s.cores AS cores,
       COUNT(DISTINCT m.key) - COUNT(DISTINCT CASE WHEN m.kind = ? THEN m.key END) AS kernels,
       COUNT(DISTINCT CASE WHEN m.kind = ? THEN m.key END) AS subnets,
       COUNT(m.id) AS measurements, MAX(m.time_s) AS measured_s
FROM series s JOIN measurements m ON m.series = s.id
GROUP BY s.id ORDER BY s.device, MAX(m.id) DESC
"""


class SeriesContent(msgspec.Struct, frozen=True, kw_only=True):
    """One series of measurements of a device.

    Attributes:
        id: Number of the series in the table.
        device: Name of the device.
        source: Where the measurements come from, such as `host:CPU model`.
        precision: Precision of the models.
        runtime: Library that ran them.
        threads, cores: Threads and cores; those of a table that nobody recorded mean nothing.
        kernels: Number of different kernels that were timed.
        subnets: Number of different whole subnets that were timed.
        measurements: Number of measurements in all.
        measured_s: Time of the latest one, in seconds since the epoch.
    """

    id: Whole
    device: str
    source: str
    precision: Precision
    runtime: str
    threads: Count
    cores: str
    kernels: Count
    subnets: Count
    measurements: Count
    measured_s: FromZero

    @property
    def cpu(self) -> CpuSetting | None:
        """Threads and cores; None if nobody recorded them."""
        return None if self.runtime == UNRECORDED else CpuSetting(self.threads, self.cores)


def contents(path: Path) -> tuple[SeriesContent, ...]:
    """The series of a latency table by device, those of a device from the latest on.

    Args:
        path: File of the table.

    Raises:
        StoreError: The file is missing, is no latency table, is damaged, or was written by a later
            version.
    """
    with closing(Database(path, read_only=True)) as table:
        return tuple(table.records(SeriesContent, "series", CONTENT, SUBNET, SUBNET))
