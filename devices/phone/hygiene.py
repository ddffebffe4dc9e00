"""Measurement hygiene on a phone: limits of drift and temperature, and waiting for it to cool."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from devices.pauses import pause
from devices.phone.state import HOT_STATUS, PhoneState
from devices.quality import Quality
from elasticvit.errors import DeviceError, DeviceTooHot

# smallest value of each rule
LEAST = {"group_size": 1, "max_drift": 0.0, "hot_c": 0.0, "cool_c": 0.0, "cool_down_s": 0.0}
LEAST |= {"poll_s": 0.0, "gate_every_s": 0.0, "runner_timeout_s": 1, "attempts": 1}


@dataclass(frozen=True, kw_only=True)
class Hygiene:
    """Rules that keep the timings of a profile on a phone comparable.

    Attributes:
        group_size: Number of models between two timings of the reference model.
        max_drift: A group is timed again if the latency of the reference model after it differs
            by more than this share from its first.
        hot_c: CPU temperature above which the profile pauses, in degrees Celsius.
        cool_c: CPU temperature at which a paused profile resumes, in degrees Celsius.
        cool_down_s: Longest pause for cooling, in seconds.
        poll_s: Pause between two readings of the temperature while waiting, in seconds.
        gate_every_s: Largest age of the last reading when a group begins, in seconds.
        runner_timeout_s: Longest time of one model in one round, in seconds.
        attempts: Number of attempts at a model that fails, before it is rejected.
        fix_power: Whether to ask the phone for steady clocks.

    Raises:
        DeviceError: A value is too small, or `cool_c` is above `hot_c`.
    """

    group_size: int = 12
    max_drift: float = 0.1
    hot_c: float = 80.0
    cool_c: float = 65.0
    cool_down_s: float = 900.0
    poll_s: float = 5.0
    gate_every_s: float = 10.0
    runner_timeout_s: int = 60
    attempts: int = 2
    fix_power: bool = True

    def __post_init__(self) -> None:
        for name, limit in LEAST.items():
            if not (value := getattr(self, name)) >= limit:  # NaN is refused, too
                raise DeviceError(f"{name} = {value}; it must be at least {limit:g}")
        if self.cool_c > self.hot_c:
            raise DeviceError(
                f"cool_c = {self.cool_c:g} is above hot_c = {self.hot_c:g}, so that a hot phone "
                "would never wait; lower cool_c"
            )


@dataclass(kw_only=True)
class Gate:
    """Delays a group of timings until the phone is cool.

    Attributes:
        rules: Rules of the profile.
        quality: Quality counts, which pauses and temperatures are added to.
        read: Function that reads the phone's state.
        notice: Callback for a line about every pause.
    """

    rules: Hygiene
    quality: Quality
    read: Callable[[], PhoneState]
    notice: Callable[[str], None]
    _read_s: float | None = field(default=None, init=False)

    def wait_until_cool(self, *, at_once: bool = False) -> None:
        """Return when the phone is cool, now or after a pause.

        Args:
            at_once: Read the temperature even if it was read a moment ago.

        Raises:
            DeviceTooHot: The phone does not cool down.
        """
        now = time.monotonic()
        recent = self._read_s is not None and now - self._read_s < self.rules.gate_every_s
        if recent and not at_once:
            return
        state = self._observe()
        self._read_s = time.monotonic()
        if _cool(state, self.rules.hot_c):
            return
        self.quality.cool_downs += 1
        self.notice(f"the phone is hot ({_described(state)}); waiting for it to cool down")
        while not _cool(state, self.rules.cool_c):
            waited_s = time.monotonic() - now
            if waited_s > self.rules.cool_down_s:
                raise DeviceTooHot(
                    f"the phone is still hot after {waited_s:.0f} s ({_described(state)}); take "
                    "off its cover, put it on something cool, and start again"
                )
            pause(self.rules.poll_s)
            state = self._observe()
        self.quality.waited_s += time.monotonic() - now
        self._read_s = time.monotonic()

    def _observe(self) -> PhoneState:
        state = self.read()
        self.quality.observe(state.temperature_c, state.thermal_status)
        return state


def _cool(state: PhoneState, limit_c: float) -> bool:
    if state.thermal_status is not None and state.thermal_status >= HOT_STATUS:
        return False
    return state.temperature_c is None or state.temperature_c <= limit_c


def _described(state: PhoneState) -> str:
    parts = []
    if state.temperature_c is not None:
        parts.append(f"{state.temperature_c:.0f} °C")
    if state.thermal_status:
        parts.append(f"thermal status {state.thermal_status}")
    return ", ".join(parts)
