"""Quality counts of a profile: repeated timings, failures, cooling, drift."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True)
class Quality:
    """Quality counts of a profile, updated while it runs.

    Attributes:
        accepted: Number of measurements that were yielded.
        repeated: Number of measurements that were discarded and made again because the latency of
            the reference model had drifted.
        failed_runs: Number of runner processes that crashed, hung or printed invalid output.
        reconnects: Number of times that the link was lost and restored.
        cool_downs: Number of pauses for cooling.
        waited_s: Total length of the pauses for cooling, in seconds.
        drift: Largest deviation of the reference model's latency among accepted groups, as a
            share of its first latency.
        hottest_c: Highest temperature of a CPU sensor, in degrees Celsius; None if not reported.
        thermal_status: Worst status of Android's thermal service; None if not reported.
        power_mode: Power mode that keeps the clocks steady, such as `governor performance`;
            `default` if the clocks are not fixed.
    """

    accepted: int = 0
    repeated: int = 0
    failed_runs: int = 0
    reconnects: int = 0
    cool_downs: int = 0
    waited_s: float = 0.0
    drift: float = 0.0
    hottest_c: float | None = None
    thermal_status: int | None = None
    power_mode: str = "default"

    def observe(self, temperature_c: float | None, thermal_status: int | None) -> None:
        """Update the highest temperature and the worst thermal status with a reading.

        Args:
            temperature_c: Degrees Celsius; None if not reported.
            thermal_status: Status of Android's thermal service; None if not reported.
        """
        if temperature_c is not None:
            self.hottest_c = max(self.hottest_c or temperature_c, temperature_c)
        if thermal_status is not None:
            self.thermal_status = max(self.thermal_status or 0, thermal_status)

    def summary(self) -> str:
        """The counts as one line of text for the user."""
        parts = [f"{self.accepted} timings, reference model within {100 * self.drift:.1f} %"]
        if self.repeated:
            parts.append(f"{self.repeated} repeated because of drift")
        if self.cool_downs:
            parts.append(f"{self.cool_downs} pauses to cool down ({self.waited_s:.0f} s)")
        if self.failed_runs:
            parts.append(f"{self.failed_runs} failed runs")
        if self.reconnects:
            parts.append(f"link lost and restored {self.reconnects} times")
        if self.hottest_c is not None:
            parts.append(f"at most {self.hottest_c:.0f} °C")
        if self.power_mode == "default":
            parts.append("clocks not fixed: the phone does not permit it")
        return "; ".join(parts)
