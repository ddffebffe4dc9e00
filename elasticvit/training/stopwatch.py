"""Where the time of a training goes: seconds by part of the work, from lap to lap."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """Seconds of one step and of what was done between the step before and it.

    On a GPU, work is queued: its seconds are counted where the host next waits for it.

    Attributes:
        data_s: Waiting for the batch.
        compute_s: Forward and backward passes.
        update_s: Gradient clipping, optimiser and moving average.
        checkpoint_s: Checkpoints written since the step before.
        judging_s: Judging the panel, diagnosing and writing the report since the step before.
    """

    data_s: float = 0.0
    compute_s: float = 0.0
    update_s: float = 0.0
    checkpoint_s: float = 0.0
    judging_s: float = 0.0

    @property
    def step_s(self) -> float:
        """Seconds of the step itself."""
        return self.data_s + self.compute_s + self.update_s


class Stopwatch:
    """Adds the seconds between laps up, by part: the names of `StepTimes` without `_s`."""

    def __init__(self) -> None:
        self._last_s = time.perf_counter()
        self._parts: dict[str, float] = {}

    def restart(self) -> None:
        """Forget all laps and begin one."""
        self._parts, self._last_s = {}, time.perf_counter()

    def lap(self, part: str = "") -> None:
        """Count the time since the last lap to a part; to none if it is empty."""
        now_s = time.perf_counter()
        if part:
            self._parts[part] = self._parts.get(part, 0.0) + now_s - self._last_s
        self._last_s = now_s

    def take(self) -> StepTimes:
        """The seconds since they were last taken."""
        parts, self._parts = self._parts, {}
        return StepTimes(**{f"{name}_s": seconds for name, seconds in parts.items()})
