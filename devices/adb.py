"""A phone over ADB as a device.

Models go over in groups: one push and one shell command a group, so that the phone is busy
and not the cable. Between groups a reference model is timed; a group is handed out only when
the reference after it is where it was before, and is timed again otherwise. When the link is
lost the profile waits, ends what still runs on the phone, and goes on with what is missing.
"""

from __future__ import annotations

import contextlib
import secrets
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from devices.adb_link import STDOUT, AdbLink, LinkConfig, LinkLost, StorageFull
from devices.catalog import CatalogEntry
from devices.clusters import choose_cores, cores_mask, cores_text
from devices.hygiene import Gate, Hygiene, Quality
from devices.local_lock import LocalLock
from devices.order import as_sequence, round_order
from devices.phone import PhoneFacts, PowerMode, read_facts, read_state
from devices.phone_folder import FOLDER, UNDO, PhoneFolder
from devices.phone_job import JobResult, JobSpec, read_results, script
from devices.protocol import DeviceInfo, Measurement, Rejected, TimedModel, TimingConfig
from devices.runner import Runner, RunnerFile, RunnerOutputError, RunnerResult, parse_output
from elasticvit.errors import DeviceError, DeviceTooHot, DeviceUnreachable, RunnerMissing

REFERENCE_AT_MOST_US = 20_000.0
REFERENCE_RUNS = 3
DRIFT_PATIENCE = 5  # how often a moved reference is waited for, with growing pauses
BROKEN_RUNNER = 5  # so many models failing and none working: the runner is at fault
FRUITLESS = 3  # attempts without any result, before the model whose turn it was is blamed
LONGEST_COMMAND = 3500  # bytes; old phones take packets of 4096
EXIT_PATIENCE_S = 5.0


@dataclass
class _Turn:
    """One model waiting for its timing in a round."""

    index: int
    model: TimedModel
    attempts: int = 0
    reason: str = ""


class AdbDevice:
    """A phone.

    Args:
        name: how the user calls it.
        entry: of the catalogue; the phone that answers must match it. None takes any phone.
        address: `HOST[:PORT]` or `unix:PATH`; None for USB.
        serial: of the phone on USB; None takes the only one.
        runner: `benchmark_model` for the phone's CPU, on this computer.
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
        self._session: _Session | None = None

    @property
    def info(self) -> DeviceInfo:
        """Identity and facts.

        Raises:
            DeviceUnreachable: used outside of `with`.
        """
        return self._opened().info

    def _opened(self) -> _Session:
        if self._session is None:
            raise DeviceUnreachable(f"device {self.name!r} is not open; use `with`")
        return self._session

    def __enter__(self) -> AdbDevice:
        file = RunnerFile.read(self.runner_path)
        self._lock.take()
        try:
            self._link.connect()
            facts = read_facts(self._link)
            if self.entry is not None:
                self.entry.check(facts)
            self._session = _Session(self, self._link, facts, file)
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
        return session.measure(as_sequence(models), config, cores)


class _Session:
    """An open phone: connected, checked, cleaned up, its runner installed."""

    def __init__(
        self, device: AdbDevice, link: AdbLink, facts: PhoneFacts, file: RunnerFile
    ) -> None:
        self.rules, self.quality, self.notice = device.rules, device.quality, device._notice
        self.link, self.facts = link, facts
        self.folder = PhoneFolder(link, has_tar="tar" in facts.tools)
        self.power = PowerMode(link, facts, UNDO)
        self.folder.clear()
        self.power.restore()  # what a killed profile left
        self.runner, self.runner_path = self.folder.install(file)
        if self.rules.fix_power:
            self.power.fix()
        self.quality.power_mode = self.power.name
        self.gate = Gate(
            rules=self.rules,
            quality=self.quality,
            read=lambda: read_state(link, facts),
            notice=self.notice,
        )
        self.info = _info(device.name, facts, self.runner, self.power.name)
        self.works = False  # whether the runner has timed any model yet
        self.reference: TimedModel | None = None
        self.baseline_us = 0.0
        self.steady = False  # whether the reference was at its place a moment ago

    def leave(self) -> None:
        """Give the phone back as it was; a phone that is gone is left to the next start."""
        self.link.config = replace(self.link.config, patience_s=EXIT_PATIENCE_S)
        with contextlib.suppress(DeviceError):
            self.folder.clear()
            self.power.restore()

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

    def measure(
        self, models: Sequence[TimedModel], config: TimingConfig, cores: tuple[int, ...]
    ) -> Iterator[Measurement | Rejected]:
        """All rounds."""
        group = _Group(self, config, cores)
        rejected: dict[int, Rejected] = {}
        told: set[int] = set()
        self.steady = False
        for round_ in range(config.rounds):
            order = deque(
                i for i in round_order(len(models), round_, config.seed) if i not in rejected
            )
            again: deque[_Turn] = deque()
            while order or again:
                turns = [again.popleft() for _ in range(min(len(again), self.rules.group_size))]
                while order and len(turns) < self.rules.group_size:
                    index = order.popleft()
                    turns.append(_Turn(index, models[index]))
                timed = group.time(turns, round_)
                self.quality.reconnects = self.link.reconnects
                for turn, measurement in timed:
                    if measurement is not None:
                        self.quality.accepted += 1
                        yield measurement
                    elif turn.attempts < self.rules.attempts:
                        again.append(turn)
                    else:
                        rejected[turn.index] = Rejected(turn.model.key, turn.reason)
                yield from self._tell(rejected, told, last=False)
        yield from self._tell(rejected, told, last=True)

    def _tell(
        self, rejected: dict[int, Rejected], told: set[int], *, last: bool
    ) -> Iterator[Rejected]:
        """Hand out rejections once it is known that the models are at fault, not the runner."""
        if not self.works and len(rejected) >= BROKEN_RUNNER:
            reasons = "; ".join(sorted({r.reason for r in rejected.values()})[:2])
            raise RunnerMissing(
                f"the runner fails on every model ({reasons}); try another benchmark_model with "
                "--runner"
            )
        if self.works or last:
            for index in [i for i in rejected if i not in told]:
                told.add(index)
                yield rejected[index]


class _Group:
    """Times groups of models with one configuration."""

    def __init__(self, session: _Session, config: TimingConfig, cores: tuple[int, ...]) -> None:
        self.s, self.config, self.cores = session, config, cores
        tools = session.facts.tools
        self.spec = JobSpec(
            runner=session.runner_path,
            arguments=session.runner.arguments(config),
            mask=cores_mask(cores) if "taskset" in tools else None,
            cores=cores,
            zones=session.facts.zones,
            timeout_s=session.rules.runner_timeout_s if "timeout" in tools else None,
            token="",
        )

    def time(self, turns: Sequence[_Turn], round_: int) -> list[tuple[_Turn, Measurement | None]]:
        """Time a group between two timings of the reference that agree.

        Returns:
            Every turn once, with its measurement, or None when it failed (see `_Turn.reason`).

        Raises:
            DeviceTooHot: the reference does not come back to where it was.
        """
        s = self.s
        for attempt in range(DRIFT_PATIENCE):
            s.gate.pass_when_cool(at_once=attempt > 0)
            if s.reference is not None and not s.steady:
                self._wait_until_steady()
            results = self._run(turns, round_)
            s.works = s.works or any(m is not None for _, m in results)
            if s.reference is None:
                self._choose_reference(results)
            s.steady = s.reference is None or self._reference_holds()
            if s.steady:
                return results
            s.quality.repeated += sum(m is not None for _, m in results)
            s.notice("the phone's speed changed; timing the last models again")
        raise DeviceTooHot(
            f"the phone's speed keeps changing by more than {100 * s.rules.max_drift:.0f} %; let "
            "it rest, close other apps, and run the command again"
        )

    def _choose_reference(self, results: list[tuple[_Turn, Measurement | None]]) -> None:
        """Take the slowest of a group that is still quick, and time it well."""
        timed = [(m.latency_ms * 1e3, turn.model) for turn, m in results if m is not None]
        if not timed:
            return
        quick = [pair for pair in timed if pair[0] <= REFERENCE_AT_MOST_US]
        chosen = max(quick or [min(timed, key=_first)], key=_first)[1]
        values = self._reference_us(chosen, REFERENCE_RUNS)
        if values:
            self.s.reference, self.s.baseline_us = chosen, statistics.median(values)

    def _reference_us(self, model: TimedModel, times: int) -> list[float]:
        turns = [_Turn(-1, model) for _ in range(times)]
        return [m.latency_ms * 1e3 for _, m in self._run(turns, 0) if m is not None]

    def _reference_holds(self) -> bool:
        """Whether the reference is where it was; a second look excuses a single disturbance."""
        s = self.s
        assert s.reference is not None
        for times in (1, REFERENCE_RUNS):
            values = self._reference_us(s.reference, times)
            if not values:
                return False
            drift = abs(statistics.median(values) / s.baseline_us - 1)
            if drift <= s.rules.max_drift:
                s.quality.drift = max(s.quality.drift, drift)
                return True
        return False

    def _wait_until_steady(self) -> None:
        s = self.s
        for attempt in range(DRIFT_PATIENCE):
            if self._reference_holds():
                return
            time.sleep(s.rules.poll_s * attempt)
            s.gate.pass_when_cool(at_once=True)
        raise DeviceTooHot(
            f"the phone is no longer as fast as when the profile began (more than "
            f"{100 * s.rules.max_drift:.0f} % apart); let it rest and run the command again"
        )

    def _run(self, turns: Sequence[_Turn], round_: int) -> list[tuple[_Turn, Measurement | None]]:
        """Run every turn once, over as many connections as it takes."""
        s = self.s
        results: dict[int, Measurement | None] = {}
        fruitless, at_once = 0, len(turns)
        while len(results) < len(turns):
            missing = [place for place in range(len(turns)) if place not in results][:at_once]
            reason = "the phone ended the profile's script"
            try:
                s.folder.send([turns[place].model.data for place in missing])
            except StorageFull:
                if len(missing) == 1:
                    raise
                at_once = len(missing) // 2
                continue
            try:
                for result in self._stream([turns[place] for place in missing]):
                    place = missing[result.index]
                    if result.output is None:
                        s.folder.forget()
                    else:
                        results[place] = self._judge(turns[place], result, round_)
            except LinkLost as error:
                reason = str(error)
                s.link.reconnect()
                s.folder.kill()
            fruitless = 0 if any(place in results for place in missing) else fruitless + 1
            if fruitless == FRUITLESS:
                turn = turns[missing[0]]
                turn.attempts = s.rules.attempts
                turn.reason = f"the link or the phone broke whenever it ran: {reason}"
                results[missing[0]] = None
                fruitless = 0
        return [(turns[place], results[place]) for place in range(len(turns))]

    def _stream(self, turns: Sequence[_Turn]) -> Iterator[JobResult]:
        s = self.s
        token = f"@evit-{secrets.token_hex(6)} "
        spec = replace(self.spec, token=token)
        command = script(spec, [s.folder.path(turn.model.data) for turn in turns])
        if len(command) > LONGEST_COMMAND:
            s.link.push(command.encode(), f"{FOLDER}/job.sh")
            command = f"exec sh {FOLDER}/job.sh"
        silence_s = s.rules.runner_timeout_s + s.link.config.command_s
        packets = s.link.stream(command, silence_s)
        yield from read_results((data for kind, data in packets if kind == STDOUT), token)
        for _ in packets:  # its end
            pass

    def _judge(self, turn: _Turn, result: JobResult, round_: int) -> Measurement | None:
        """A measurement, or None with the turn's reason filled in."""
        turn.attempts += 1
        reason = result.failure
        if reason is None:
            try:
                return self._measurement(turn, result, parse_output(result.output or ""), round_)
            except RunnerOutputError as error:
                reason = str(error)
        self.s.quality.failed_runs += 1
        turn.reason = reason
        return None

    def _measurement(
        self, turn: _Turn, result: JobResult, timed: RunnerResult, round_: int
    ) -> Measurement:
        info = self.s.info
        return Measurement(
            key=turn.model.key,
            samples_us=(timed.latency_us,),
            statistic=timed.statistic,
            runs=(timed.count,),
            round=round_,
            threads=self.config.threads,
            cores=cores_text(self.cores) if self.spec.mask else "any",
            source=info.source,
            runtime=info.runtime,
            runtime_hash=info.runtime_hash,
            before=result.before,
            after=result.after,
            time_s=time.time(),
            peak_bytes=timed.peak_bytes,
        )


def _first(pair: tuple[float, Any]) -> float:
    return pair[0]


def _info(name: str, facts: PhoneFacts, runner: Runner, power_mode: str) -> DeviceInfo:
    emulated = facts.props.get("ro.boot.qemu") == "1" or facts.props.get("ro.hardware") in (
        "ranchu",
        "goldfish",
    )
    return DeviceInfo(
        name=name,
        source=f"{'adb-emulated' if emulated else 'adb'}:{facts.serial}",
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
            "emulated": emulated,
        },
    )
