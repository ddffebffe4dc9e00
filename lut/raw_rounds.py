"""The raw rounds of model files that were timed: a file of JSON lines, one measurement a line,
appended as they are made.

They are kept apart from the latency table, so that no predictor is ever fitted to them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from devices.protocol import Measurement
from elasticvit.errors import DeviceError, StoreError
from elasticvit.files import writing
from elasticvit.reading import Format, shown
from lut.checked_rows import SLOWEST_US

RAW_FILE = "samples.jsonl"


@dataclass(frozen=True, kw_only=True)
class RawRound(Measurement):
    """A measurement of a model file, whose key is the file's name.

    Attributes:
        sha256: SHA-256 of the file.
        asked_cores: Cores as they were asked for, such as `auto`.
    """

    sha256: str
    asked_cores: str

    @classmethod
    def of(cls, measurement: Measurement, sha256: str, asked_cores: str) -> RawRound:
        """A measurement with what is known of its model."""
        return cls(**vars(measurement), sha256=sha256, asked_cores=asked_cores)

    @property
    def device_state(self) -> tuple[str, str, str, int, str]:
        """What must be the same for latencies to be comparable: origin, runtime and its hash,
        threads, and cores as asked for."""
        return (self.source, self.runtime, self.runtime_hash, self.threads, self.asked_cores)


ROUND_FORMAT = Format(
    kind=RawRound,
    what="a measurement of a model file",
    error=StoreError,
    mend="remove the file, or time the models again",
)


def append_round(path: Path, measurement: RawRound) -> None:
    """Append a measurement; a process that is killed loses at most the one in flight.

    Raises:
        DeviceError: A latency that cannot be true; nothing of it is written.
        FileError: The file cannot be written.
    """
    runs = {measurement.key: measurement.samples_us, **measurement.calibration_us}
    for what, samples_us in runs.items():
        bad = next((us for us in samples_us if not 0 < us <= SLOWEST_US), None)
        if bad is not None or not samples_us:
            found = "no run" if bad is None else f"a run of {bad} us"
            raise DeviceError(
                f"{shown(what)} was timed with {found}; every round has at least one run, and a "
                f"latency is a positive number of at most {SLOWEST_US:g} us; check the device "
                "that timed it"
            )
    line = json.dumps(asdict(measurement), allow_nan=False)
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def read_rounds(path: Path) -> Sequence[RawRound]:
    """The measurements of a file, in the order in which they were made.

    Raises:
        StoreError: The file is missing or damaged; with the number of the line.
    """
    lines = ROUND_FORMAT.read_bytes(path).split(b"\n")
    last = lines.pop()  # empty, or what a killed process left of a line
    numbered = enumerate([*lines, last] if last.endswith(b"}") else lines, 1)
    return [ROUND_FORMAT.parse_json(line, f"{path}, line {number}") for number, line in numbered]
