"""The rounds of a session brought to the usual speed of the device, by its calibration models.

On a shared computer whole sessions are slower than others: six sessions of the same two models
within four minutes differed by 4.3 %, and by 1.7 % once their speed was judged together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from elasticvit.arrays import FloatArray
from elasticvit.errors import StoreError
from lut.estimate import ESTIMATOR, round_ms
from lut.raw_rounds import RAW_FILE, RawRound, read_rounds
from lut.steady import Rounds, steady_ms

KIND = "model"  # all models answer to background load alike, as far as is known
RECENT_S = 24 * 3600.0  # later the computer may be another one of the same name
MOST_SESSIONS = 30


@dataclass(frozen=True, eq=False)
class Speed:
    """Rounds at one speed of the device.

    Attributes:
        ms: Milliseconds of each round, shape (n,).
        corrected: Whether background load was corrected for.
        sessions: Number of earlier sessions that the usual speed was taken from.
        damaged: Sentences on sessions that could not be read.
    """

    ms: FloatArray
    corrected: bool
    sessions: int
    damaged: tuple[str, ...]

    @property
    def estimator(self) -> str:
        """What a latency of these rounds is, in words."""
        if not self.corrected:
            return ESTIMATOR
        known = f" and those of {self.sessions} earlier sessions" if self.sessions else ""
        return f"{ESTIMATOR}, corrected for background load by calibration models{known}"


def at_usual_speed(measured: Sequence[RawRound], folder: Path) -> Speed:
    """The rounds of a session at the speed that the device usually has: with those of the recent
    sessions beside it, of the same device, runtime, threads and cores.

    Args:
        measured: Rounds of the session, at least one.
        folder: Folder of the session, beside those of earlier ones.
    """
    earlier, damaged = _earlier(measured[0], folder)
    together = [m for session in (*earlier, measured) for m in session]
    by_file = [replace(m, key=m.sha256) for m in together]
    steady = steady_ms(Rounds.of_measurements(by_file, kind=KIND))[-len(measured) :]
    raw = np.array([round_ms(m.samples_us) for m in measured])
    return Speed(steady, not np.array_equal(raw, steady), len(earlier), tuple(damaged))


def _earlier(first: RawRound, folder: Path) -> tuple[list[Sequence[RawRound]], list[str]]:
    """The recent sessions of the same device that have calibration readings, and what is said of
    those that cannot be read."""
    found: list[Sequence[RawRound]] = []
    damaged: list[str] = []
    if not first.calibration_us:
        return found, damaged
    beside = [path for path in folder.parent.iterdir() if path != folder]
    for path in sorted(beside, reverse=True)[:MOST_SESSIONS]:
        if not (path / RAW_FILE).exists():
            continue
        try:
            rounds = read_rounds(path / RAW_FILE)
        except StoreError as error:
            damaged.append(f"an earlier session was left out: {error}")
            continue
        same = [
            m
            for m in rounds
            if m.device_state == first.device_state
            and m.calibration_us.keys() == first.calibration_us.keys()
            and 0 <= first.time_s - m.time_s <= RECENT_S
        ]
        if same:
            found.insert(0, same)
    return found, damaged
