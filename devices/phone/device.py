"""A phone over ADB as a device.

Models are sent in groups, with one file transfer and one shell command per group, so that little
time goes into the link. Between groups a reference model is timed; the results of a group are
yielded only if the latency of the reference model stayed the same, and the group is timed again
otherwise. When the link is lost the profile waits, kills what still runs on the phone, and resumes
with the timings that are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from devices.adb.address import UNIX, parse_address
from devices.adb.connection import AdbConnection, LinkConfig
from devices.adb.link import AdbLink
from devices.catalog import CatalogEntry
from devices.clusters import choose_cores
from devices.local_lock import LocalLock
from devices.order import as_sequence
from devices.phone.facts import read_facts
from devices.phone.hygiene import Hygiene
from devices.phone.native_bundle import build_runner, check_compiler
from devices.phone.outputs import compute_on_phone
from devices.phone.rounds import RoundLoop
from devices.phone.runner import RunnerFile
from devices.phone.session import PhoneSession
from devices.protocol import DeviceInfo, Measurement, Rejected, TimedModel, TimingConfig
from devices.quality import Quality
from elasticvit.arrays import Float32Array
from elasticvit.errors import DeviceUnreachable


class PhoneDevice:
    """A phone.

    Args:
        name: Name that the user gives the phone.
        entry: Entry of the catalogue that the connected phone must match; None takes any phone.
        address: `HOST[:PORT]` or `unix:PATH`; None for USB.
        serial: Serial number of the phone on USB; None takes the only one.
        runner: Path of `benchmark_model` for the phone's CPU, on this computer; None builds
            evit's own, which is experimental, if a compiler for it is installed.
        hygiene: Rules of the profile.
        link: Time limits of the link.
        keys: Private keys; by default those of the `adb` program.
        notice: Callback for notices to the user while the phone works, one line each.

    Raises:
        RunnerMissing: On entering: the runner cannot be read or built, or does not start.
        DeviceUnreachable, DeviceUnauthorised: On entering: no answer, or a refusal.
        DeviceError: On entering: another phone than `entry`, or one that is in use.
    """

    def __init__(
        self,
        name: str,
        *,
        entry: CatalogEntry | None = None,
        address: str | None = None,
        serial: str | None = None,
        runner: Path | str | None = None,
        hygiene: Hygiene | None = None,
        link: LinkConfig | None = None,
        keys: list[Path] | None = None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name, self.entry, self.runner_path = name, entry, runner
        self.rules = hygiene or Hygiene()
        self._quality = Quality()
        self._notice = notice
        self._connection = AdbConnection(address, serial, config=link, keys=keys, notice=notice)
        self._place = _place(address, serial)
        self._locks = ExitStack()
        self._session: PhoneSession | None = None

    @property
    def info(self) -> DeviceInfo:
        """Identity and facts.

        Raises:
            DeviceUnreachable: Used outside of `with`.
        """
        return self._opened().info

    @property
    def quality(self) -> Quality:
        """Quality counts of the measurements so far."""
        return self._quality

    def _opened(self) -> PhoneSession:
        if self._session is None:
            raise DeviceUnreachable(f"device {self.name!r} is not open; use it with `with`")
        return self._session

    def __enter__(self) -> PhoneDevice:
        file = None
        if self.runner_path is None:
            check_compiler()
        else:
            file = RunnerFile.read(self.runner_path)
        self._hold(self._place)
        try:
            self._connection.open()
            link = AdbLink(self._connection)
            facts = read_facts(link)
            if self.entry is not None:
                self.entry.check(facts)
            if (serial := facts.props.get("ro.serialno")) and not facts.emulated:
                self._hold(f"phone {serial}")
            if facts.emulated:
                self._notice(
                    f"{self.name} is an emulator: its latencies are stored, but no predictor is "
                    "fitted to them"
                )
            file = file or build_runner(facts.machine, notice=self._notice)
            self._session = PhoneSession(
                self.name, link, facts, file, self.rules, self.quality, self._notice
            )
        except BaseException:
            self._let_go()
            raise
        return self

    def _hold(self, name: str) -> None:
        lock = LocalLock(name)
        lock.take()
        self._locks.callback(lock.release)

    def _let_go(self) -> None:
        with self._locks:  # given back last, even if Ctrl-C interrupts the closing
            self._connection.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        session, self._session = self._session, None
        try:
            if session is not None:
                session.leave()
        finally:
            self._let_go()

    def measure(
        self, models: Iterable[TimedModel], config: TimingConfig
    ) -> Iterator[Measurement | Rejected]:
        """Time models; see `devices.protocol.Device`.

        If the program is killed, the timings of one group of `Hygiene.group_size` models are lost.
        """
        session = self._opened()
        cores = choose_cores(session.facts.clusters, config.cores, config.threads)
        session.check_cores(cores, config)
        return RoundLoop(session, as_sequence(models), config, cores).run()

    def compute(self, model: bytes, inputs: Float32Array, name: str) -> Float32Array:
        """Outputs of a model; see `devices.outputs.Computes`."""
        session = self._opened()
        cores = choose_cores(session.facts.clusters, "auto", 1)
        session.check_cores(cores, TimingConfig())
        return compute_on_phone(session, model, inputs, name, cores)


def _place(address: str | None, serial: str | None) -> str:
    """Where a phone is looked for, the same text for all forms of an address."""
    if not address:
        return f"the phone {serial} on USB" if serial else "the phone on USB"
    if address.startswith(UNIX):
        return address
    host, port = parse_address(address)
    host = host.lower()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
