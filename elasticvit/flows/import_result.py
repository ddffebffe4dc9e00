"""What the import and the export of a latency table found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.flows.profile_result import Errors

if TYPE_CHECKING:
    from lut.series import Series


@dataclass(frozen=True, kw_only=True)
class BlockSums:
    """What a published block table says of those published architectures whose kernels it has.

    Attributes:
        ms: Sum of kernel latencies as they run, in milliseconds, by the architecture's name.
        authors_ms: The same as the table's authors sum, who round odd map sides down.
        left_out: Rows that no architecture of this family can have.
    """

    ms: Mapping[str, float]
    authors_ms: Mapping[str, float]
    left_out: int


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """Result of importing a latency table.

    Attributes:
        device: Name of the device.
        space: Name of the space that the predictor was checked against.
        series: The measurements that were added to.
        added: Rows that were added; 0 if the file was imported before.
        missing: Keys of the kernels of the space that the table lacks.
        errors: Held-out errors in percent of a shared table, as in `DeviceProfile`.
        sums: What a published block table says of the published architectures.
        remarks: What to know before trusting the numbers.
        lut, predictor_folder: Where the table and the predictor are.
    """

    device: str
    space: str
    series: Series
    added: int
    missing: Sequence[str]
    errors: Errors
    sums: BlockSums | None
    remarks: Sequence[str]
    lut: Path
    predictor_folder: Path

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        cpu = self.series.cpu
        sums = self.sums
        return {
            "device": self.device,
            "space": self.space,
            "source": self.series.source,
            "precision": self.series.precision,
            "threads": None if cpu is None else cpu.threads,
            "cores": None if cpu is None else cpu.cores,
            "added": self.added,
            "missing": list(self.missing),
            "errors": {name: dict(row) for name, row in self.errors.items()},
            "architectures": []
            if sums is None
            else [
                {"architecture": name, "ms": sums.ms[name], "authors_ms": sums.authors_ms[name]}
                for name in sums.ms
            ],
            "left_out": 0 if sums is None else sums.left_out,
            "remarks": list(self.remarks),
            "lut": str(self.lut),
            "predictor": str(self.predictor_folder),
        }


@dataclass(frozen=True, kw_only=True)
class TableExport:
    """Result of exporting a latency table.

    Attributes:
        path: The file.
        series: The measurements that were written.
        count: Their number.
        others: The other series of the device in the same precision, which were left out.
    """

    path: Path
    series: Series
    count: int
    others: Sequence[Series]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        cpu = self.series.cpu
        return {
            "device": self.series.device,
            "source": self.series.source,
            "precision": self.series.precision,
            "threads": None if cpu is None else cpu.threads,
            "cores": None if cpu is None else cpu.cores,
            "exported": str(self.path),
            "count": self.count,
            "left_out": [str(one) for one in self.others],
        }
