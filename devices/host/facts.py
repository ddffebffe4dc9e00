"""Facts about this computer: CPU model, clusters, temperature, frequency, memory.

Everything is read from /sys and /proc and is None if the system does not report it; a virtual
machine usually reports neither temperature nor frequency.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from pathlib import Path

from devices.clusters import Cluster, find_clusters
from devices.protocol import Conditions

SYS = Path("/sys")
PROC = Path("/proc")
_ARM_FP16 = "asimdhp"
CPU_SENSORS = ("cpu", "soc", "x86_pkg", "coretemp", "k10temp", "zenpower", "tctl", "package")


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.lstrip("-").isdigit() else None


def cpu_model() -> str:
    """Name of the CPU (x86) or of the board (arm64)."""
    for line in (_text(PROC / "cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware") and value.strip():
            return value.strip()
    board = _text(PROC / "device-tree" / "model")
    return board or platform.processor() or platform.machine()


def computes_in_fp16() -> bool:
    """Whether XNNPACK computes with 16-bit floats on this CPU: where it has ARMv8.2's. (On x86 the
    runtime computes in fp32 even with AVX512-FP16; outputs are the same to the last bit.)"""
    for line in (_text(PROC / "cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "Features" and _ARM_FP16 in value.split():
            return True
    return False


def usable_cores() -> tuple[int, ...]:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def host_clusters() -> tuple[Cluster, ...]:
    """Clusters of the usable cores; one cluster if no frequencies are reported."""
    root = SYS / "devices/system/cpu"
    return find_clusters(
        {
            core: _number(root / f"cpu{core}/cpufreq/cpuinfo_max_freq") or 0
            for core in usable_cores()
        }
    )


def current_core() -> int | None:
    """Number of the core that this process ran on last; None if not reported."""
    stat = _text(PROC / "self/stat")
    if stat is None:
        return None
    after_name = stat.rpartition(")")[2].split()  # field 3 onwards; `processor` is field 39
    return int(after_name[36]) if len(after_name) > 36 else None


def governor(core: int) -> str | None:
    """Frequency governor of a core; None if not reported."""
    return _text(SYS / f"devices/system/cpu/cpu{core}/cpufreq/scaling_governor")


def temperature_c() -> float | None:
    """Temperature of the hottest CPU sensor, in degrees Celsius; None if not reported."""
    readings: list[float] = []
    for zone in (SYS / "class/thermal").glob("thermal_zone*"):
        kind, value = (_text(zone / "type") or "").lower(), _number(zone / "temp")
        if value is not None and any(name in kind for name in CPU_SENSORS):
            readings.append(value / 1e3)
    if not readings:
        for chip in (SYS / "class/hwmon").glob("hwmon*"):
            if any(name in (_text(chip / "name") or "").lower() for name in CPU_SENSORS):
                values = (_number(path) for path in chip.glob("temp*_input"))
                readings += [value / 1e3 for value in values if value is not None]
    return max(readings, default=None)


def conditions(cores: Collection[int]) -> Conditions:
    """Temperature of the CPU in degrees Celsius, and mean clock of `cores` in MHz."""
    root = SYS / "devices/system/cpu"
    clocks = [_number(root / f"cpu{core}/cpufreq/scaling_cur_freq") for core in cores]
    khz = [clock for clock in clocks if clock is not None]
    return Conditions(
        temperature_c=temperature_c(),
        frequency_mhz=sum(khz) / len(khz) / 1e3 if khz else None,
    )


def thread_count() -> int | None:
    """Number of threads of this process; None if not reported."""
    try:
        return sum(1 for _ in (PROC / "self/task").iterdir())
    except OSError:
        return None


def reset_peak_bytes() -> bool:
    """Reset the peak memory of this process; False if the system does not permit it."""
    try:
        (PROC / "self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_bytes() -> int | None:
    """Peak resident memory of this process since `reset_peak_bytes`, in bytes; None if not
    reported."""
    for line in (_text(PROC / "self/status") or "").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
