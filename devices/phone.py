"""What a phone says about itself, and the power mode that a profile puts it in.

All questions go over in one command, whose output is cut at markers; questions that a phone
does not understand are left open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from devices.adb_link import AdbLink
from devices.clusters import Cluster, find_clusters
from devices.protocol import Conditions
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
REFUSED = re.compile(r"error|unknown|exception|not found", re.IGNORECASE)
HOT_STATUS = 1  # dumpsys thermalservice: 1 is light throttling


@dataclass(frozen=True, kw_only=True)
class PhoneFacts:
    """What stays the same during a profile.

    Attributes:
        props: values of `getprop`, those that are set.
        board: name in the device tree; boards without `getprop` are told apart by it.
        machine: of `uname -m`.
        clusters: slowest first.
        zones: paths of the temperature sensors of the CPU.
        tools: which of `TOOLS` the phone has.
        rooted: whether commands run as root.
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
        """The phone's serial number, or its name where it has none."""
        return self.props.get("ro.serialno") or self.board or self.product

    @property
    def emulated(self) -> bool:
        """Whether it is an emulator, whose timings are those of nothing that is sold."""
        marks = (self.props.get("ro.boot.qemu"), self.props.get("ro.kernel.qemu"))
        return "1" in marks or self.props.get("ro.hardware") in ("goldfish", "ranchu")

    @property
    def product(self) -> str:
        """What a person calls the phone."""
        maker = self.props.get("ro.product.manufacturer", "")
        model = self.props.get("ro.product.model", "") or self.board
        return f"{maker} {model}".strip() or "unknown device"


@dataclass(frozen=True, kw_only=True)
class PhoneState:
    """What changes during a profile.

    Attributes:
        temperature_c: the hottest CPU sensor.
        thermal_status: of Android's thermal service; 0 is no throttling; None where not told.
        frequency_mhz: current clock of every core that tells it.
    """

    temperature_c: float | None
    thermal_status: int | None
    frequency_mhz: dict[int, float] = field(default_factory=dict)

    def conditions(self, cores: tuple[int, ...]) -> Conditions:
        """As a measurement stores them."""
        clocks = [self.frequency_mhz[core] for core in cores if core in self.frequency_mhz]
        return Conditions(
            temperature_c=self.temperature_c,
            frequency_mhz=sum(clocks) / len(clocks) if clocks else None,
        )


def read_facts(link: AdbLink) -> PhoneFacts:
    """Ask the phone everything at once.

    Raises:
        DeviceUnreachable: it went away.
        DeviceError: it tells no CPU cores.
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
    told = sections(link.run("; ".join(asks) + "; true").stdout)
    cores = {
        int(name.split()[1]): int(value) if value.isdigit() else 0
        for name, value in told.items()
        if re.fullmatch(r"cpu \d+", name)
    }
    if not cores:
        raise DeviceError(f"{link.name} shows no CPU cores under {CPU}; is it an Android device?")
    zones = [
        name.removeprefix("zone ")
        for name, kind in sorted(told.items())
        if name.startswith("zone ") and CPU_ZONES.search(kind) and not NOT_A_CPU.search(kind)
    ]
    return PhoneFacts(
        props={name: told.get(f"prop {name}", "") for name in PROPS if told.get(f"prop {name}")},
        board=told.get("board", "").strip("\0 "),
        machine=told.get("machine", ""),
        clusters=find_clusters(cores),
        zones=tuple(zones[:MOST_ZONES]),
        tools=frozenset(tool for tool in TOOLS if told.get(f"tool {tool}")),
        rooted=told.get("uid") == "0",
    )


def read_state(link: AdbLink, facts: PhoneFacts) -> PhoneState:
    """Temperature, throttling and clocks now."""
    asks = [f"echo {MARK} temp {zone}; cat {zone}/temp 2>/dev/null" for zone in facts.zones]
    asks += [
        f"for f in {CPU}/cpu[0-9]*; do echo {MARK} clock ${{f##*cpu}}; "
        "cat $f/cpufreq/scaling_cur_freq 2>/dev/null; done",
        f"echo {MARK} thermal; dumpsys thermalservice 2>/dev/null",
    ]
    told = sections(link.run("; ".join(asks) + "; true").stdout)
    thermal = told.get("thermal", "")
    status = re.search(r"Thermal Status:\s*(\d+)", thermal)
    temperatures = [celsius(value) for name, value in told.items() if name.startswith("temp ")]
    if not facts.zones:
        found = re.findall(r"mValue=([\d.]+), mType=0\b", thermal)  # type 0: CPU
        temperatures = [float(value) for value in found]
    return PhoneState(
        temperature_c=max((t for t in temperatures if t is not None), default=None),
        thermal_status=int(status[1]) if status else None,
        frequency_mhz={
            int(name.split()[1]): int(value) / 1e3
            for name, value in told.items()
            if re.fullmatch(r"clock \d+", name) and value.isdigit()
        },
    )


def celsius(text: str) -> float | None:
    """A sensor's value in degrees; most tell thousandths, some whole degrees."""
    text = text.strip()
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        return None
    value = float(text)
    value = value / 1e3 if abs(value) >= 1000 else value
    return value if -40 < value < 150 else None  # sensors that are off tell nonsense


def sections(output: str) -> dict[str, str]:
    """Output cut at its markers: `{name: text}`."""
    parts: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in output.splitlines():
        if line.startswith(MARK):
            lines = parts.setdefault(line.removeprefix(MARK).strip(), [])
        else:
            lines.append(line)
    return {name: "\n".join(text).strip() for name, text in parts.items()}


class PowerMode:
    """Keeps the clocks of the cores steady while a profile runs, as far as the phone permits.

    With root the governor becomes `performance`; without, Android's fixed performance mode is
    asked for. How to undo it lies on the phone as a script before anything is changed, so that
    the next profile undoes it should this one be killed.

    Args:
        undo: path of that script on the phone.

    Attributes:
        name: what is in force: `governor performance`, `fixed performance mode` or `default`.
    """

    def __init__(self, link: AdbLink, facts: PhoneFacts, undo: str) -> None:
        self._link, self._facts, self._undo = link, facts, undo
        self.name = "default"

    def fix(self) -> None:
        """Ask for steady clocks; a phone that refuses stays as it is."""
        files = f"{CPU}/cpu[0-9]*/cpufreq/scaling_governor"
        if self._facts.rooted:
            fixed = self._link.shell(
                f'for f in {files}; do [ -w $f ] && echo "echo $(cat $f) > $f"; done '
                f"> {self._undo} 2>/dev/null; [ -s {self._undo} ] && for f in {files}; do "
                f"echo performance > $f || exit 1; done && cat {files} | sort -u"
            )
            if fixed.code == 0 and fixed.stdout.split() == ["performance"]:
                self.name = "governor performance"
                return
        mode = "cmd power set-fixed-performance-mode-enabled"
        asked = self._link.shell(f"echo '{mode} false' > {self._undo}; {mode} true")
        if asked.code == 0 and not REFUSED.search(asked.stdout + asked.stderr):
            self.name = "fixed performance mode"
        else:
            self._link.shell(f"rm -f {self._undo}")

    def restore(self) -> None:
        """Give the phone back as it was, also after a profile that was killed."""
        self._link.shell(f"[ -s {self._undo} ] && sh {self._undo}; rm -f {self._undo}")
        self.name = "default"
