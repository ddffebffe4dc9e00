"""A phone for tests: Debian's genuine adbd in namespaces of its own, with scripted answers.

Genuine: adbd, its shell and file services, the protocol, processes, signals, the file system
and its limits. Scripted, and said so in their names or below: what `getprop`, `dumpsys`, `id`,
`cmd` and `taskset` say, what /sys shows, and the runner (`benchmark_model_stand_in.sh`, which
computes its latencies). Nothing that such a phone measures is a latency of anything.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from adbd.front import Front, Lock

HERE = Path(__file__).resolve().parent
STAND_IN = HERE / "benchmark_model_stand_in.sh"
PIXEL6 = {
    "ro.serialno": "STANDIN0001",
    "ro.product.manufacturer": "Google",
    "ro.product.model": "Pixel 6",
    "ro.product.device": "oriole",
    "ro.board.platform": "gs101",
    "ro.build.fingerprint": "google/oriole/scripted",
    "ro.build.version.release": "14",
    "ro.product.cpu.abi": "arm64-v8a",
}
CLUSTERS = {(0, 1, 2, 3): 1803000, (4, 5): 2253000, (6, 7): 2802000}
SCRIPTS = {
    "id": '[ "$1" = -u ] && cat /system/bin/uid || exec /usr/bin/id "$@"',
    "getprop": 'while IFS== read -r k v; do [ "$k" = "$1" ] && echo "$v"; done '
    "</system/bin/props; true",
    "dumpsys": "cat /system/bin/thermal",
    "cmd": 'cat /system/bin/power; echo "$*" >>/data/local/tmp/cmd.log; '
    'exit "$(cat /system/bin/power_code)"',
    "taskset": 'echo "$1" >>/data/local/tmp/taskset.log; shift; exec "$@"',
}


def why_not() -> str | None:
    """Why such a phone cannot be had here; None when it can."""
    if sys.platform != "linux":
        return "adbd's namespaces need Linux"
    if not Path("/usr/sbin/adbd").exists():
        return "Debian's adbd is not installed (tests/adbd/setup.sh installs it)"
    if shutil.which("unshare") is None:
        return "no unshare program"
    drop = "setpriv --reuid=2000 --regid=2000 --clear-groups true" if os.geteuid() == 0 else "true"
    tried = f"mount -t tmpfs tmpfs /tmp && mount -t proc proc /proc && {drop}"
    probe = subprocess.run([*unshare(), "sh", "-c", tried], capture_output=True, text=True)
    if probe.returncode != 0:
        return f"namespaces are not permitted here: {probe.stderr.strip()}"
    return None


def unshare(*, own_user: bool = False) -> list[str]:
    """The beginning of a command that runs in namespaces of its own.

    Args:
        own_user: A user namespace also for root; others need one in any case.
    """
    user = ["--user", "--map-root-user"] if own_user or os.geteuid() != 0 else []
    return ["unshare", *user, "--mount", "--net", "--pid", "--fork", "--kill-child=KILL"]


class Phone:
    """A running test phone; use with `with`.

    Args:
        folder: Short path (sockets live in it), the phone's own.
        props: Values of the Android properties, by `getprop` name.
        data_bytes: Size of its storage.
        lock: Whether and how it asks for keys; None asks for none.
        rooted: Whether commands run as root.
        extra: Folders of this computer that it sees.
        android_tools: Its shell is mksh and its tools are toybox's, as on Android, and not
            Debian's dash and GNU tools.
        arm64: A root of arm64 programs (see `adbd.arm64`): adbd, the shell, the tools and what the
            runner needs are then arm64's, started through qemu. Always Android's tools.
    """

    def __init__(
        self,
        folder: Path,
        *,
        props: dict[str, str] = PIXEL6,
        data_bytes: int = 64 << 20,
        lock: Lock | None = None,
        rooted: bool = False,
        extra: tuple[str, ...] = (),
        android_tools: bool = False,
        arm64: Path | None = None,
    ) -> None:
        self.folder, self.lock = folder, lock
        self.bin, self.sys = folder / "bin", folder / "sys"
        self.bin.mkdir(parents=True)
        os.chmod(folder, 0o755)
        for name, body in SCRIPTS.items():
            (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
            (self.bin / name).chmod(0o755)
        self.script("props", "".join(f"{k}={v}\n" for k, v in props.items()))
        self.script("uid", "0\n" if rooted else "2000\n")
        self.script("power", "")
        self.script("power_code", "0\n")
        self.thermal(0)
        for cores, khz in CLUSTERS.items():
            for core in cores:
                self.tell(f"devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq", khz)
                self.tell(f"devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", khz)
                self.tell(f"devices/system/cpu/cpu{core}/cpufreq/scaling_governor", "schedutil")
        for name in ("possible", "present"):
            self.tell(f"devices/system/cpu/{name}", "0-7")
        self.tell("class/thermal/thermal_zone0/type", "BIG")
        self.tell("class/thermal/thermal_zone1/type", "battery")
        self.heat(38.0)
        self.tell("class/thermal/thermal_zone1/temp", 99000)
        self._config = {
            "folder": str(folder),
            "bin": str(self.bin),
            "sys": str(self.sys),
            "data_bytes": data_bytes,
            "rooted": rooted,
            "extra": list(extra),
            "android_tools": android_tools or arm64 is not None,
            "arm64": str(arm64) if arm64 else None,
        }

    def script(self, name: str, text: str) -> None:
        """What a scripted program answers."""
        (self.bin / name).write_text(text)

    def tell(self, path: str, value: object) -> None:
        """Write a file under the phone's /sys."""
        file = self.sys / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        file.chmod(0o666)

    def heat(self, celsius: float) -> None:
        """Set the CPU's temperature."""
        self.tell("class/thermal/thermal_zone0/temp", int(celsius * 1000))

    def thermal(self, status: int) -> None:
        """Set what the thermal service says."""
        self.script("thermal", f"IsStatusOverride: false\nThermal Status: {status}\n")

    def speed(self, percent: int) -> None:
        """Multiply what the stand-in computes."""
        self.path("/data/local/tmp/speed").write_text(f"{percent}\n")

    def slow_runner(self, seconds: float) -> None:
        """How long a run of the stand-in takes."""
        self.path("/data/local/tmp/pause").write_text(f"{seconds}\n")

    @property
    def address(self) -> str:
        """What the device connects to: the cable."""
        return f"unix:{self.front.path}"

    def path(self, name: str) -> Path:
        """A file of the phone as this computer sees it."""
        return Path(f"/proc/{self._init}/root{self.folder}/root") / name.lstrip("/")

    def inside(self, *command: str, **more: object) -> subprocess.CompletedProcess[str]:
        """Run a program of this computer in the phone's network."""
        enter = ["nsenter", f"--target={self._init}", "--net", *self._user]
        return subprocess.run([*enter, *command], capture_output=True, text=True, **more)

    def processes(self) -> list[str]:
        """Command lines of what runs on the phone."""
        mine = os.stat(f"/proc/{self._init}/ns/pid").st_ino
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.stat(entry / "ns/pid").st_ino == mine:
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found

    def __enter__(self) -> Phone:
        environment = dict(os.environ)
        self._user: list[str] = []
        # the table of program formats belongs to a user namespace, root's own is this computer's
        own_user = self._config["arm64"] is not None
        if own_user or os.geteuid() != 0:
            environment["EVIT_USERNS"] = "1"
            self._user = ["--user", "--preserve-credentials"]
        self._process = subprocess.Popen(
            [
                *unshare(own_user=own_user),
                sys.executable,
                str(HERE / "inside.py"),
                json.dumps(self._config),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            assert self._process.stderr is not None
            error = self._process.stderr.read()
            self._process.kill()
            raise RuntimeError(f"the test phone did not start: {error}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        self._init = int(children.read_text().split()[0])
        self.front = Front(self.folder / "cable.sock", self.folder / "adbd.sock", self.lock)
        return self

    def __exit__(self, *_: object) -> None:
        self.front.close()
        self._process.kill()  # the kernel then kills everything in its namespaces
        self._process.communicate()
