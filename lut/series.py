"""Series: measurements that may be compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elasticvit.cpu_setting import CpuSetting
from elasticvit.precisions import FP32, Precision, in_words
from elasticvit.reading import Count, Whole

IMPORTED = "import:"  # beginning of the source of what was read from a file
UNRECORDED = "unrecorded"


@dataclass(frozen=True)
class Series:
    """Measurements that may be compared: one device, one source, one way of measuring, one
    precision.

    Attributes:
        id: Number in the table.
        device, source, runtime, runtime_hash: As in `DeviceInfo`.
        threads: Number of inference threads.
        cores: Cores as requested, such as `auto` or `big`; each measurement has the numbers of the
            cores that were used, which may differ between equal ones.
        count: Number of measurements.
        precision: Precision of the models.
    """

    id: Whole
    device: str
    source: str
    runtime: str
    runtime_hash: str
    threads: Count
    cores: str
    count: Count
    precision: Precision = FP32

    @property
    def recorded(self) -> bool:
        """Whether it is known how it was measured."""
        return self.runtime != UNRECORDED

    @property
    def imported(self) -> bool:
        """Whether it was read from a file."""
        return self.source.startswith(IMPORTED)

    @property
    def cpu(self) -> CpuSetting | None:
        """Threads and cores; None if nobody recorded them."""
        return CpuSetting(self.threads, self.cores) if self.recorded else None

    def __str__(self) -> str:
        if not self.recorded:
            return f"{self.source}, conditions unrecorded{in_words(self.precision)}"
        return f"{self.source}, {self.runtime}, {self.cpu}{in_words(self.precision)}"


def printable_name(path: Path) -> str:
    """Name of a file as a source has it: with `?` for control characters and bytes of no text."""
    return "".join(c if c.isprintable() else "?" for c in path.name)
