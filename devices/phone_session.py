"""A connected phone while it is profiled: its runner, its folder, its power mode, its facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from devices.adb_link import AdbLink
from devices.clusters import cores_mask, cores_text
from devices.hygiene import Gate, Hygiene, Quality
from devices.phone import PhoneFacts, PowerMode, read_state
from devices.phone_folder import UNDO, PhoneFolder
from devices.protocol import DeviceInfo, TimedModel, TimingConfig
from devices.runner import Runner, RunnerFile
from elasticvit.errors import DeviceError

EXIT_PATIENCE_S = 5.0


class PhoneSession:
    """An open phone: connected, recognised, cleaned up, its runner installed.

    Args:
        name: how the user calls it.
        link: connected.
        facts: of the phone.
        file: the runner.
        rules, quality, notice: of the device.

    Attributes:
        works: whether the runner has timed any model yet.
        reference: the model that shows drift, and its first latency `baseline_us`.
        steady: whether the reference was at its place a moment ago.
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
        self.works = False
        self.reference: TimedModel | None = None
        self.baseline_us = 0.0
        self.steady = False

    def leave(self) -> None:
        """Give the phone back as it was; a phone that is gone is left to the next start."""
        patient = self.link.config
        self.link.config = replace(patient, patience_s=EXIT_PATIENCE_S)
        try:
            self.folder.clear()
            self.power.restore()
        except DeviceError as error:
            self.notice(f"not cleaned up, the next profile does it: {error}")
        finally:
            self.link.config = patient

    def check_cores(self, cores: tuple[int, ...], config: TimingConfig) -> None:
        """Refuse cores that the phone will not pin to."""
        if "taskset" not in self.facts.tools:
            if config.cores != "auto":
                raise DeviceError(f"{self.link.name} has no taskset; only --cores auto works")
            return
        tried = self.link.shell(f"taskset {cores_mask(cores)} true")
        if tried.code != 0:
            raise DeviceError(
                f"{self.link.name} does not let programs run on core(s) {cores_text(cores)}: "
                f"{tried.complaint}; choose others with --cores"
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
