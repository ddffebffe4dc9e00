"""A connected phone during a profile: its runner, its folder, its power mode, its facts."""

from __future__ import annotations

from collections.abc import Callable

from devices.adb.link import AdbLink
from devices.clusters import cores_mask, cores_text
from devices.phone.facts import PhoneFacts
from devices.phone.findings import Findings
from devices.phone.folder import UNDO, PhoneFolder
from devices.phone.hygiene import Gate, Hygiene
from devices.phone.power import PowerMode
from devices.phone.runner import Runner, RunnerFile
from devices.phone.state import read_state
from devices.protocol import DeviceInfo, TimingConfig
from devices.quality import Quality
from elasticvit.errors import DeviceError

EXIT_PATIENCE_S = 5.0


class PhoneSession:
    """An open phone: connected, recognised, cleaned up, its runner installed.

    Args:
        name: Name that the user gives the phone.
        link: Open link to the phone.
        facts: Facts of the phone.
        file: Program that times models.
        rules: Rules of the profile.
        quality: Quality counts, which the session updates.
        notice: Callback for notices to the user, one line each.

    Attributes:
        folder: Files on the phone.
        power: Power mode of the phone.
        runner, launch: The runner, and the beginning of its command on the phone.
        gate: Delays a group until the phone is cool.
        findings: State of the runner and of the reference model.
        info: Identity and facts of the device.

    Raises:
        RunnerMissing: The runner does not start on the phone.
        DeviceUnreachable: The phone went away.
    """

    def __init__(
        self,
        name: str,
        link: AdbLink,
        facts: PhoneFacts,
        file: RunnerFile,
        rules: Hygiene,
        quality: Quality,
        notice: Callable[[str], None],
    ) -> None:
        self.rules, self.quality, self.notice = rules, quality, notice
        self.link, self.facts = link, facts
        self.folder = PhoneFolder(link, has_tar="tar" in facts.tools)
        self.power = PowerMode(link, facts, UNDO)
        self.folder.clear()
        self.power.restore()  # what a killed profile left
        self.runner, self.launch = self.folder.install(file)
        if self.rules.fix_power:
            self.power.fix()
        self.quality.power_mode = self.power.name
        self.gate = Gate(
            rules=self.rules,
            quality=self.quality,
            read=lambda: read_state(link, facts),
            notice=self.notice,
        )
        self.info = _info(name, facts, self.runner, self.power.name)
        self.findings = Findings(self.rules.max_drift)

    def leave(self) -> None:
        """Clean up and restore the power mode; if the phone is gone, the next session does so."""
        with self.link.connection.limited_patience(EXIT_PATIENCE_S):
            try:
                self.folder.clear()
                self.power.restore()
            except DeviceError as error:
                self.notice(f"not cleaned up, the next profile does it: {error}")

    def check_cores(self, cores: tuple[int, ...], config: TimingConfig) -> None:
        """Check that the phone can pin a program to cores.

        Args:
            cores: Numbers of the cores.
            config: The configuration that they were chosen from.

        Raises:
            DeviceError: The phone has no `taskset`, or it refuses these cores.
        """
        if "taskset" not in self.facts.tools:
            if config.cores != "auto":
                raise DeviceError(
                    f"{self.link.name} has no taskset, so that it chooses the cores itself; "
                    f"cores {config.cores!r} cannot be used, only 'auto'",
                    settings=("cores",),
                )
            return
        tried = self.link.shell(f"taskset {cores_mask(cores)} true")
        if tried.code != 0:
            raise DeviceError(
                f"{self.link.name} does not let programs run on core(s) {cores_text(cores)}: "
                f"{tried.complaint}; choose others",
                settings=("cores",),
            )


def _info(name: str, facts: PhoneFacts, runner: Runner, power_mode: str) -> DeviceInfo:
    return DeviceInfo(
        name=name,
        source=f"{'adb-emulated' if facts.emulated else 'adb'}:{facts.serial}",
        runtime=runner.name,
        runtime_hash=runner.sha256,
        facts={
            "product": facts.product,
            "machine": facts.machine,
            "props": facts.props,
            "board": facts.board,
            "clusters": [
                {"max_mhz": cluster.max_mhz, "cores": cores_text(cluster.cores)}
                for cluster in facts.clusters
            ],
            "power_mode": power_mode,
            "rooted": facts.rooted,
            "emulated": facts.emulated,
        },
    )
