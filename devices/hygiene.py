"""What keeps a phone's timings comparable: a cool phone, and a reference that does not move."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from devices.phone import HOT_STATUS, PhoneState
from elasticvit.errors import DeviceTooHot


@dataclass(frozen=True, kw_only=True)
class Hygiene:
    """Rules of a profile on a phone.

    Attributes:
        group_size: models between two timings of the reference.
        max_drift: a group is timed again when the reference after it differs by more than this
            share from its first latency.
        hot_c: a CPU sensor above this stops the profile until it is below `cool_c`.
        cool_down_s: how long to wait for that before giving up.
        poll_s: pause between two looks while waiting.
        gate_every_s: how old the last look may be when a group begins.
        runner_timeout_s: longest time of one model in one round.
        attempts: of a model that fails, before it is rejected.
        fix_power: ask the phone for steady clocks.
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


@dataclass(kw_only=True)
class Quality:
    """How trustworthy a profile is; counted while it runs.

    Attributes:
        accepted: timings that were handed out.
        repeated: timings that were thrown away because the reference had moved.
        failed_runs: runs of the runner that crashed, hung or printed nonsense.
        reconnects: how often the link was lost and found again.
        cool_downs, waited_s: pauses for cooling, and their length together.
        drift: largest deviation of the reference among accepted groups, as a share.
        hottest_c: hottest CPU sensor that was seen.
        thermal_status: worst of Android's thermal service.
        power_mode: see `devices.phone.PowerMode`.
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

    def saw(self, state: PhoneState) -> None:
        """Remember the worst."""
        if state.temperature_c is not None:
            self.hottest_c = max(self.hottest_c or state.temperature_c, state.temperature_c)
        if state.thermal_status is not None:
            self.thermal_status = max(self.thermal_status or 0, state.thermal_status)

    def summary(self) -> str:
        """One sentence for people."""
        parts = [f"{self.accepted} timings, reference within {100 * self.drift:.1f} %"]
        if self.repeated:
            parts.append(f"{self.repeated} repeated because it had moved")
        if self.cool_downs:
            parts.append(f"{self.cool_downs} pauses to cool down ({self.waited_s:.0f} s)")
        if self.failed_runs:
            parts.append(f"{self.failed_runs} failed runs")
        if self.reconnects:
            parts.append(f"link lost and found {self.reconnects} times")
        if self.hottest_c is not None:
            parts.append(f"at most {self.hottest_c:.0f} °C")
        if self.power_mode == "default":
            parts.append("clocks not fixed: the phone does not permit it")
        return "; ".join(parts)


@dataclass(kw_only=True)
class Gate:
    """Lets a group begin when the phone is cool.

    Attributes:
        rules, quality: of the profile.
        read: asks the phone for its state.
        notice: told about pauses.
    """

    rules: Hygiene
    quality: Quality
    read: Callable[[], PhoneState]
    notice: Callable[[str], None]
    _looked_s: float | None = field(default=None, init=False)

    def pass_when_cool(self, *, at_once: bool = False) -> None:
        """Return when the phone is cool, now or after a pause.

        Args:
            at_once: look even if the last look was a moment ago.

        Raises:
            DeviceTooHot: it does not cool down.
        """
        now = time.monotonic()
        recent = self._looked_s is not None and now - self._looked_s < self.rules.gate_every_s
        if recent and not at_once:
            return
        state = self.read()
        self.quality.saw(state)
        self._looked_s = time.monotonic()
        if _cool(state, self.rules.hot_c):
            return
        self.quality.cool_downs += 1
        self.notice(f"the phone is hot ({_described(state)}); waiting for it to cool down")
        while not _cool(state, self.rules.cool_c):
            waited_s = time.monotonic() - now
            if waited_s > self.rules.cool_down_s:
                raise DeviceTooHot(
                    f"the phone is still hot after {waited_s:.0f} s ({_described(state)}); take "
                    "off its cover, put it on something cool, and run the command again"
                )
            time.sleep(self.rules.poll_s)
            state = self.read()
            self.quality.saw(state)
        self.quality.waited_s += time.monotonic() - now
        self._looked_s = time.monotonic()


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
