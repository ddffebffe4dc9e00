"""A phone over ADB as a device.

Models go over in groups: one push and one shell command a group, so that the phone is busy
and not the cable. Between groups a reference model is timed; a group is handed out only when
the reference after it is where it was before, and is timed again otherwise. When the link is
lost the profile waits, ends what still runs on the phone, and goes on with what is missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from devices.adb_connection import LinkConfig
from devices.adb_link import AdbLink
from devices.catalog import CatalogEntry
from devices.clusters import choose_cores
from devices.hygiene import Hygiene, Quality
from devices.local_lock import LocalLock
from devices.native_bundle import build_runner, check_compiler
from devices.order import as_sequence, round_order
from devices.phone import read_facts
from devices.phone_group import Group, Turn
from devices.phone_session import PhoneSession
from devices.protocol import DeviceInfo, Measurement, Rejected, TimedModel, TimingConfig
from devices.runner import RunnerFile
from elasticvit.errors import DeviceUnreachable, RunnerMissing

BROKEN_RUNNER = 5  # so many models failing and none working: the runner is at fault
GROUP_BYTES = 64 * 2**20


class AdbDevice:
    """A phone.

    Args:
        name: how the user calls it.
        entry: of the catalogue; the phone that answers must match it. None takes any phone.
        address: `HOST[:PORT]` or `unix:PATH`; None for USB.
        serial: of the phone on USB; None takes the only one.
        runner: `benchmark_model` for the phone's CPU, on this computer; None builds evit's own,
            which is experimental, where a compiler for it is installed.
        hygiene: rules of the profile.
        link: patience of the link.
        keys: private keys; by default those of the `adb` program.
        notice: told what a person should know while it runs.

    Attributes:
        quality: how trustworthy the profile so far is.
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
        self.quality = Quality()
        self._notice = notice
        self._link = AdbLink(address, serial, config=link, keys=keys, notice=notice)
        self._lock = LocalLock(address or f"usb {serial}")
        self._session: PhoneSession | None = None

    @property
    def info(self) -> DeviceInfo:
        """Identity and facts.

        Raises:
            DeviceUnreachable: used outside of `with`.
        """
        return self._opened().info

    def _opened(self) -> PhoneSession:
        if self._session is None:
            raise DeviceUnreachable(f"device {self.name!r} is not open; use `with`")
        return self._session

    def __enter__(self) -> AdbDevice:
        file = None
        if self.runner_path is None:
            check_compiler()
        else:
            file = RunnerFile.read(self.runner_path)
        self._lock.take()
        try:
            self._link.connect()
            facts = read_facts(self._link)
            if self.entry is not None:
                self.entry.check(facts)
            if facts.emulated:
                self._notice(
                    f"{self.name} is an emulator: models run on it, but no latency is learnt"
                )
            file = file or build_runner(facts.machine, notice=self._notice)
            self._session = PhoneSession(
                self.name, self._link, facts, file, self.rules, self.quality, self._notice
            )
        except BaseException:
            self._link.close()
            self._lock.release()
            raise
        return self

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
            self._link.close()
            self._lock.release()

    def measure(
        self, models: Iterable[TimedModel], config: TimingConfig
    ) -> Iterator[Measurement | Rejected]:
        """Time models; see `devices.protocol.Device`.

        What is in flight, and lost by a kill, is one group of `Hygiene.group_size` models.
        """
        session = self._opened()
        cores = choose_cores(session.facts.clusters, config.cores, config.threads)
        session.check_cores(cores, config)
        return _Rounds(session, as_sequence(models), config, cores).run()


class _Rounds:
    """All rounds of one set of models."""

    def __init__(
        self,
        session: PhoneSession,
        models: Sequence[TimedModel],
        config: TimingConfig,
        cores: tuple[int, ...],
    ) -> None:
        self.session, self.models, self.config = session, models, config
        self.group = Group(session, config, cores)
        self.rejected: dict[int, Rejected] = {}
        self.told: set[int] = set()

    def run(self) -> Iterator[Measurement | Rejected]:
        session = self.session
        session.steady = False
        for round_ in range(self.config.rounds):
            order = deque(
                i
                for i in round_order(len(self.models), round_, self.config.seed)
                if i not in self.rejected
            )
            again: deque[Turn] = deque()
            while order or again:
                timed = self.group.time(self._next(order, again), round_)
                session.quality.reconnects = session.link.reconnects
                for turn, measurement in timed:
                    if measurement is not None:
                        session.quality.accepted += 1
                        yield measurement
                    elif turn.attempts < session.rules.attempts:
                        again.append(turn)
                    else:
                        self.rejected[turn.index] = Rejected(turn.model.key, turn.reason)
                yield from self._tell(last=False)
        yield from self._tell(last=True)

    def _next(self, order: deque[int], again: deque[Turn]) -> list[Turn]:
        """The next group, small enough for the memory of both sides."""
        size = self.session.rules.group_size
        turns = [again.popleft() for _ in range(min(len(again), size))]
        group_bytes = sum(len(turn.model.data) for turn in turns)
        while order and len(turns) < size and group_bytes < GROUP_BYTES:
            index = order.popleft()
            turns.append(Turn(index, self.models[index]))
            group_bytes += len(turns[-1].model.data)
        return turns

    def _tell(self, *, last: bool) -> Iterator[Rejected]:
        """Hand out rejections once it is known that the models are at fault, not the runner."""
        if not self.session.works and len(self.rejected) >= BROKEN_RUNNER:
            reasons = "; ".join(sorted({r.reason for r in self.rejected.values()})[:2])
            raise RunnerMissing(
                f"the runner fails on every model ({reasons}); try another benchmark_model with "
                "--runner"
            )
        if self.session.works or last:
            for index in [i for i in self.rejected if i not in self.told]:
                self.told.add(index)
                yield self.rejected[index]
