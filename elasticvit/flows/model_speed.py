"""The rounds of a session brought to the speed that the device had in the first recent session.

On a shared computer whole sessions are slower than others. Six sessions of the same two models
within five minutes, on a busy computer, differed by 4.3 and 6.4 % as they were measured, and by 1.8
and 2.9 % at the speed of the first; their ratio by 2.8 and 1.6 %.
"""

from __future__ import annotations

import time
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
        sessions: Number of earlier sessions, the first of which has set the speed.
        since_s: When that began, in seconds since the epoch; None without an earlier one.
        damaged: Sentences on sessions that could not be read.
    """

    ms: FloatArray
    corrected: bool
    sessions: int
    since_s: float | None
    damaged: tuple[str, ...]

    @property
    def estimator(self) -> str:
        """What a latency of these rounds is, in words."""
        if not self.corrected:
            return ESTIMATOR
        text = f"{ESTIMATOR}, corrected for background load by calibration models"
        if self.since_s is None:
            return text
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.since_s))
        return f"{text}, at the speed of the session of {began}"


def at_one_speed(measured: Sequence[RawRound], folder: Path) -> Speed:
    """The rounds of a session at the speed of the first of the recent sessions beside it that are
    of the same device, runtime, threads and cores; at its own where there is none.

    Args:
        measured: Rounds of the session, at least one.
        folder: Folder of the session, beside those of earlier ones.
    """
    earlier, damaged = _earlier(measured[0], folder)
    together = [m for session in (*earlier, measured) for m in session]
    by_file = [replace(m, key=m.sha256) for m in together]
    reference = len(earlier[0]) if earlier else None
    steady = steady_ms(Rounds.of_measurements(by_file, kind=KIND), reference)[-len(measured) :]
    raw = np.array([round_ms(m.samples_us) for m in measured])
    return Speed(
        ms=steady,
        corrected=not np.array_equal(raw, steady),
        sessions=len(earlier),
        since_s=earlier[0][0].time_s if earlier else None,
        damaged=tuple(damaged),
    )


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
