"""Timing of a group of models on a phone, between two consistent timings of the reference model."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from devices.adb.errors import LinkLost, StorageFull
from devices.adb.shell_output import STDOUT
from devices.clusters import cores_mask, cores_text
from devices.pauses import pause
from devices.phone.folder import FOLDER
from devices.phone.native_runner import batch_script, read_samples
from devices.phone.runner import RunnerOutputError, RunnerResult, parse_output
from devices.phone.script import LOST_CODE, ScriptResult, ScriptSpec, group_script, read_results
from devices.phone.session import PhoneSession
from devices.protocol import Measurement, TimedModel, TimingConfig
from elasticvit.errors import DeviceTooHot

REFERENCE_AT_MOST_US = 20_000.0
REFERENCE_RUNS = 3
DRIFT_PATIENCE = 5  # attempts to have the reference model back at its latency, with growing pauses
FRUITLESS = 3  # attempts without any result, before the first missing model is rejected
LONGEST_COMMAND = 3500  # bytes; old phones take packets of 4096


@dataclass
class QueuedModel:
    """A model that waits for its timing in a round.

    Attributes:
        index: Position of the model in the profile; -1 for the reference model.
        model: The model.
        attempts: Number of failed or successful attempts in this round.
        reason: Why the last attempt failed.
    """

    index: int
    model: TimedModel
    attempts: int = 0
    reason: str = ""


class Group:
    """Times groups of models with one configuration.

    Args:
        session: The open phone.
        config: How to time.
        cores: Numbers of the cores to run on.
    """

    def __init__(self, session: PhoneSession, config: TimingConfig, cores: tuple[int, ...]) -> None:
        self.session, self.config, self.cores = session, config, cores
        tools = session.facts.tools
        program, *before = session.launch
        self.spec = ScriptSpec(
            runner=program,
            arguments=[*before, *session.runner.arguments(config)],
            mask=cores_mask(cores) if "taskset" in tools else None,
            cores=cores,
            zones=session.facts.zones,
            timeout_s=session.rules.runner_timeout_s if "timeout" in tools else None,
            token="",
        )

    def time(
        self, queue: Sequence[QueuedModel], round_: int
    ) -> list[tuple[QueuedModel, Measurement | None]]:
        """Time a group between two timings of the reference model that agree.

        Args:
            queue: Models of the group.
            round_: Number of the round, from 0.

        Returns:
            Every queued model once, with its measurement, or None if it failed (see
            `QueuedModel.reason`).

        Raises:
            DeviceTooHot: The latency of the reference model does not come back to where it was.
            DeviceUnreachable: The phone went away.
            StorageFull: The phone has no room for a single model.
        """
        s, findings = self.session, self.session.findings
        for attempt in range(DRIFT_PATIENCE):
            s.gate.wait_until_cool(at_once=attempt > 0)
            if findings.is_doubtful:
                self._wait_until_steady()
            results = self._run(queue, round_)
            measured = sum(measurement is not None for _, measurement in results)
            findings.record_group(measured)
            if findings.reference is None:
                self._choose_reference(results)
            if findings.reference is None or self._reference_holds(findings.reference):
                return results
            s.quality.repeated += measured
            s.notice("the phone's speed changed; timing the last models again")
        raise DeviceTooHot(
            f"the phone's speed keeps changing by more than {100 * s.rules.max_drift:.0f} %; let "
            "it rest, close other apps, and start again"
        )

    def _choose_reference(self, results: list[tuple[QueuedModel, Measurement | None]]) -> None:
        """Take the slowest model of a group among those below `REFERENCE_AT_MOST_US`, and time it
        `REFERENCE_RUNS` times."""
        timed = [(m.median_ms * 1e3, queued.model) for queued, m in results if m is not None]
        if not timed:
            return
        quick = [pair for pair in timed if pair[0] <= REFERENCE_AT_MOST_US]
        latency = itemgetter(0)
        chosen = max(quick or [min(timed, key=latency)], key=latency)[1]
        latencies_us = self._reference_us(chosen, REFERENCE_RUNS)
        if latencies_us:
            self.session.findings.choose_reference(chosen, latencies_us)

    def _reference_us(self, model: TimedModel, times: int) -> list[float]:
        queue = [QueuedModel(-1, model) for _ in range(times)]
        return [m.median_ms * 1e3 for _, m in self._run(queue, 0) if m is not None]

    def _reference_holds(self, reference: TimedModel) -> bool:
        """Whether the reference model is as fast as it was; a second comparison follows a failed
        one, so that a single disturbance does not count."""
        findings, quality = self.session.findings, self.session.quality
        for times in (1, REFERENCE_RUNS):
            latencies_us = self._reference_us(reference, times)
            if findings.compare_reference(latencies_us):
                quality.drift = max(quality.drift, findings.drift)
                return True
            if not latencies_us:
                break
        return False

    def _wait_until_steady(self) -> None:
        s = self.session
        reference = s.findings.reference
        assert reference is not None
        for attempt in range(DRIFT_PATIENCE):
            if self._reference_holds(reference):
                return
            pause(s.rules.poll_s * attempt)
            s.gate.wait_until_cool(at_once=True)
        raise DeviceTooHot(
            f"the phone is no longer as fast as when the profile began (more than "
            f"{100 * s.rules.max_drift:.0f} % apart); let it rest and start again"
        )

    def _run(
        self, queue: Sequence[QueuedModel], round_: int
    ) -> list[tuple[QueuedModel, Measurement | None]]:
        """Run every queued model once, over as many connections as it takes."""
        s = self.session
        results: dict[int, Measurement | None] = {}
        fruitless, at_once = 0, len(queue)
        while len(results) < len(queue):
            missing = [place for place in range(len(queue)) if place not in results][:at_once]
            reason = "the phone ended the profile's script"
            try:
                s.folder.send([queue[place].model.data for place in missing])
            except StorageFull:
                if len(missing) == 1:
                    raise
                at_once = len(missing) // 2
                continue
            try:
                for result in self._stream([queue[place] for place in missing]):
                    place = missing[result.index]
                    if result.output is None:
                        s.folder.forget()
                    else:
                        results[place] = self._judge(queue[place], result, round_)
            except LinkLost as error:
                reason = str(error)
                s.link.connection.reconnect()
                s.folder.kill()
            fruitless = 0 if any(place in results for place in missing) else fruitless + 1
            if fruitless == FRUITLESS:
                queued = queue[missing[0]]
                queued.attempts = s.rules.attempts
                queued.reason = f"the link or the phone broke whenever it ran: {reason}"
                results[missing[0]] = None
                fruitless = 0
        return [(queue[place], results[place]) for place in range(len(queue))]

    def _stream(self, queue: Sequence[QueuedModel]) -> Iterator[ScriptResult]:
        s = self.session
        token = f"@evit-{secrets.token_hex(6)} "
        spec = replace(self.spec, token=token)
        models = [s.folder.path(queued.model.data) for queued in queue]
        if s.runner.tool == "evit":
            command = batch_script(spec, models, s.rules.runner_timeout_s)
        else:
            command = group_script(spec, models)
        if len(command) > LONGEST_COMMAND:
            s.link.push(command.encode(), f"{FOLDER}/job.sh")
            command = f"exec sh {FOLDER}/job.sh"
        silence_s = s.rules.runner_timeout_s + s.link.connection.config.command_s
        packets = s.link.stream(command, silence_s)
        yield from read_results((data for kind, data in packets if kind == STDOUT), token)
        for _ in packets:  # its end
            pass

    def _judge(self, queued: QueuedModel, result: ScriptResult, round_: int) -> Measurement | None:
        """A measurement, or None with `QueuedModel.reason` set."""
        queued.attempts += 1
        reason = result.failure
        read = read_samples if self.session.runner.tool == "evit" else parse_output
        if reason is None or result.code == LOST_CODE:
            try:
                return self._measurement(queued, result, read(result.output or ""), round_)
            except RunnerOutputError as error:
                reason = reason or str(error)
        self.session.quality.failed_runs += 1
        queued.reason = reason
        return None

    def _measurement(
        self, queued: QueuedModel, result: ScriptResult, timed: RunnerResult, round_: int
    ) -> Measurement:
        info = self.session.info
        return Measurement(
            key=queued.model.key,
            samples_us=timed.samples_us or (timed.latency_us,),
            statistic=timed.statistic,
            runs=(timed.count,) if timed.samples_us is None else None,
            interrupted_runs=timed.interrupted_runs,
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
            load_us=timed.load_us,
            first_us=timed.first_us,
        )
