"""The raw rounds of model files that were timed: a file of JSON lines, one measurement a line,
appended as they are made.

They are kept apart from the latency table, so that no predictor is ever fitted to them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from devices.protocol import Measurement
from elasticvit.errors import DeviceError, StoreError
from elasticvit.files import writing
from elasticvit.reading import Format, shown
from lut.checked_rows import SLOWEST_US

RAW_FILE = "samples.jsonl"
ROUND_FORMAT = Format(
    kind=Measurement,
    what="a measurement of a model file",
    error=StoreError,
    mend="time the models again",
)


def append_round(path: Path, measurement: Measurement) -> None:
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


def read_rounds(path: Path) -> Sequence[Measurement]:
    """The measurements of a file, in the order in which they were made.

    Raises:
        StoreError: The file is missing or damaged; with the number of the line.
    """
    lines = ROUND_FORMAT.read_bytes(path).split(b"\n")
    last = lines.pop()  # empty, or what a killed process left of a line
    numbered = enumerate([*lines, last] if last.endswith(b"}") else lines, 1)
    return [ROUND_FORMAT.parse_json(line, f"{path}, line {number}") for number, line in numbered]
