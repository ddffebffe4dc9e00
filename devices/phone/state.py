"""State of a phone that changes during a profile: temperature, throttling and clocks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from devices.adb.link import AdbLink
from devices.phone.facts import CPU, MARK, PhoneFacts, sections

HOT_STATUS = 1  # dumpsys thermalservice: 1 is light throttling
THROTTLING = re.compile(r"Thermal Status:\s*(\d+)")
CPU_TEMPERATURES = re.compile(r"mValue=([\d.]+), mType=0\b")  # type 0: CPU


@dataclass(frozen=True, kw_only=True)
class PhoneState:
    """Temperature, throttling and clocks at one moment.

    Attributes:
        temperature_c: Temperature of the hottest CPU sensor, in degrees Celsius; None if not
            reported.
        thermal_status: Status of Android's thermal service, where 0 is no throttling; None if
            not reported.
        frequency_mhz: Current clock by core, in MHz, of every core that reports it.
    """

    temperature_c: float | None
    thermal_status: int | None
    frequency_mhz: dict[int, float] = field(default_factory=dict)


def read_state(link: AdbLink, facts: PhoneFacts) -> PhoneState:
    """Read the temperature, throttling and clocks of a phone.

    Raises:
        DeviceUnreachable: The phone went away.
    """
    asks = [f"echo {MARK} temp {zone}; cat {zone}/temp 2>/dev/null" for zone in facts.zones]
    asks += [
        f"for f in {CPU}/cpu[0-9]*; do echo {MARK} clock ${{f##*cpu}}; "
        "cat $f/cpufreq/scaling_cur_freq 2>/dev/null; done",
        f"echo {MARK} thermal; dumpsys thermalservice 2>/dev/null",
    ]
    answers = sections(link.run("; ".join(asks) + "; true").stdout)
    thermal = answers.get("thermal", "")
    status = THROTTLING.search(thermal)
    temperatures = [celsius(value) for name, value in answers.items() if name.startswith("temp ")]
    if not facts.zones:
        temperatures = [float(value) for value in CPU_TEMPERATURES.findall(thermal)]
    return PhoneState(
        temperature_c=max((t for t in temperatures if t is not None), default=None),
        thermal_status=int(status[1]) if status else None,
        frequency_mhz={
            int(name.split()[1]): int(value) / 1e3
            for name, value in answers.items()
            if re.fullmatch(r"clock \d+", name) and value.isdigit()
        },
    )


def celsius(text: str) -> float | None:
    """Temperature in degrees Celsius from the text of a sensor; None if it is not plausible.

    Most sensors report thousandths of a degree, some whole degrees.
    """
    text = text.strip()
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        return None
    value = float(text)
    value = value / 1e3 if abs(value) >= 1000 else value
    return value if -40 < value < 150 else None  # sensors that are off report implausible values
