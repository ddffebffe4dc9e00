"""Facts that a phone reports about itself and that stay the same during a profile.

All are queried by one shell command, whose output is split at markers; facts that a phone does not
report are left empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from devices.adb.link import AdbLink
from devices.clusters import Cluster, find_clusters
from elasticvit.errors import DeviceError

MARK = "@evit@"
PROPS = (
    *("ro.serialno", "ro.product.manufacturer", "ro.product.model", "ro.product.device"),
    *("ro.product.name", "ro.soc.model", "ro.board.platform", "ro.hardware"),
    *("ro.build.fingerprint", "ro.build.version.release", "ro.product.cpu.abi"),
    *("ro.boot.qemu", "ro.kernel.qemu"),
)
CPU = "/sys/devices/system/cpu"
THERMAL = "/sys/class/thermal"
TOOLS = ("tar", "timeout", "taskset")
CPU_ZONES = re.compile(r"cpu|soc|big|mid|little|cluster|tsens", re.IGNORECASE)
NOT_A_CPU = re.compile(r"gpu|npu|tpu|modem|bat|usb|skin|virt", re.IGNORECASE)
MOST_ZONES = 3  # read around every model; more would keep the phone busy with reading


@dataclass(frozen=True, kw_only=True)
class PhoneFacts:
    """Facts about a phone that stay the same during a profile.

    Attributes:
        props: Values of the Android properties that are set, by `getprop` name.
        board: Name in the device tree; boards without `getprop` are recognised by it.
        machine: CPU architecture as `uname -m` prints it, such as `aarch64`.
        clusters: CPU clusters, slowest first.
        zones: Paths of the temperature sensors of the CPU.
        tools: Names of the programs among `TOOLS` that the phone has.
        rooted: Whether commands run as root.
    """

    props: dict[str, str]
    board: str
    machine: str
    clusters: tuple[Cluster, ...]
    zones: tuple[str, ...]
    tools: frozenset[str]
    rooted: bool

    @property
    def serial(self) -> str:
        """Serial number of the phone, or its name if it has none."""
        return self.props.get("ro.serialno") or self.board or self.product

    @property
    def emulated(self) -> bool:
        """Whether it is an emulator, whose latencies are not those of a real phone."""
        marks = (self.props.get("ro.boot.qemu"), self.props.get("ro.kernel.qemu"))
        return "1" in marks or self.props.get("ro.hardware") in ("goldfish", "ranchu")

    @property
    def product(self) -> str:
        """Maker and model of the phone, for display."""
        maker = self.props.get("ro.product.manufacturer", "")
        model = self.props.get("ro.product.model", "") or self.board
        return f"{maker} {model}".strip() or "unknown device"


def read_facts(link: AdbLink) -> PhoneFacts:
    """Query all facts of a phone by one command.

    Raises:
        DeviceUnreachable: The phone went away.
        DeviceError: The phone shows no CPU cores.
    """
    asks = [f"echo {MARK} prop {name}; getprop {name} 2>/dev/null" for name in PROPS]
    asks += [
        f"echo {MARK} board; cat /proc/device-tree/model 2>/dev/null",
        f"echo; echo {MARK} machine; uname -m",
        f"echo {MARK} uid; id -u",
        f"for f in {CPU}/cpu[0-9]*; do echo {MARK} cpu ${{f##*cpu}}; "
        "cat $f/cpufreq/cpuinfo_max_freq 2>/dev/null; done",
        f"for f in {THERMAL}/thermal_zone*; do echo {MARK} zone $f; cat $f/type 2>/dev/null; done",
        *(f"echo {MARK} tool {tool}; command -v {tool}" for tool in TOOLS),
    ]
    answers = sections(link.run("; ".join(asks) + "; true").stdout)
    cores = {
        int(name.split()[1]): int(value) if value.isdigit() else 0
        for name, value in answers.items()
        if re.fullmatch(r"cpu \d+", name)
    }
    if not cores:
        raise DeviceError(f"{link.name} shows no CPU cores under {CPU}; is it an Android device?")
    zones = [
        name.removeprefix("zone ")
        for name, kind in sorted(answers.items())
        if name.startswith("zone ") and CPU_ZONES.search(kind) and not NOT_A_CPU.search(kind)
    ]
    return PhoneFacts(
        props={
            name: answers.get(f"prop {name}", "") for name in PROPS if answers.get(f"prop {name}")
        },
        board=answers.get("board", "").strip("\0 "),
        machine=answers.get("machine", ""),
        clusters=find_clusters(cores),
        zones=tuple(zones[:MOST_ZONES]),
        tools=frozenset(tool for tool in TOOLS if answers.get(f"tool {tool}")),
        rooted=answers.get("uid") == "0",
    )


def sections(output: str) -> dict[str, str]:
    """Text of each section of a command's output, by the name on its marker line."""
    parts: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in output.splitlines():
        if line.startswith(MARK):
            lines = parts.setdefault(line.removeprefix(MARK).strip(), [])
        else:
            lines.append(line)
    return {name: "\n".join(text).strip() for name, text in parts.items()}
