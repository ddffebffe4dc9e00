"""State of a phone session: whether the runner works, and the latency of the reference model.

A session owns one `Findings`; `devices.phone.group` and `devices.phone.rounds` update it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from devices.protocol import TimedModel


class Findings:
    """Whether the runner works, and the drift of the reference model.

    Args:
        max_drift: Largest deviation of the reference model's latency, as a share of its first.
    """

    def __init__(self, max_drift: float) -> None:
        self.max_drift = max_drift
        self._runner_works = False
        self._reference: TimedModel | None = None
        self._baseline_us = 0.0
        self._steady = False
        self._drift = 0.0

    @property
    def runner_works(self) -> bool:
        """Whether the runner has timed any model yet."""
        return self._runner_works

    @property
    def reference(self) -> TimedModel | None:
        """Model whose latency shows drift; None until one was chosen."""
        return self._reference

    @property
    def is_doubtful(self) -> bool:
        """Whether the reference model was not within `max_drift` at the last comparison, or was not
        compared in this profile yet."""
        return self._reference is not None and not self._steady

    @property
    def drift(self) -> float:
        """Deviation of the reference model at the last comparison, as a share of its first."""
        return self._drift

    def begin_profile(self) -> None:
        """Require a new comparison of the reference model, since time has passed."""
        self._steady = False

    def record_group(self, measured: int) -> None:
        """Remember that the runner works once a group gave `measured` > 0 measurements."""
        self._runner_works = self._runner_works or measured > 0

    def choose_reference(self, model: TimedModel, latencies_us: Sequence[float]) -> None:
        """Set the reference model.

        Args:
            model: The reference model.
            latencies_us: Its first latencies in microseconds, at least one; their median is the
                baseline of the drift.
        """
        self._reference, self._baseline_us = model, statistics.median(latencies_us)

    def compare_reference(self, latencies_us: Sequence[float]) -> bool:
        """Compare the reference model with its first latency.

        Args:
            latencies_us: Its latencies now, in microseconds; empty if it could not be timed.

        Returns:
            Whether it is within `max_drift` of its first latency.
        """
        self._steady = False
        if latencies_us:
            self._drift = abs(statistics.median(latencies_us) / self._baseline_us - 1)
            self._steady = self._drift <= self.max_drift
        return self._steady
