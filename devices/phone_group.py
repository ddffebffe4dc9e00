"""Timing a group of models on a phone, between two timings of a reference that agree."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from devices.adb_link import StorageFull
from devices.clusters import cores_mask, cores_text
from devices.native_runner import batch_script, read_samples
from devices.phone_folder import FOLDER
from devices.phone_job import LOST_CODE, JobResult, JobSpec, read_results, script
from devices.phone_session import PhoneSession
from devices.protocol import Measurement, TimedModel, TimingConfig
from devices.runner import RunnerOutputError, RunnerResult, parse_output
from devices.shell_output import STDOUT, LinkLost
from elasticvit.errors import DeviceTooHot

REFERENCE_AT_MOST_US = 20_000.0
REFERENCE_RUNS = 3
DRIFT_PATIENCE = 5  # how often a moved reference is waited for, with growing pauses
FRUITLESS = 3  # attempts without any result, before the model whose turn it was is blamed
LONGEST_COMMAND = 3500  # bytes; old phones take packets of 4096


@dataclass
class Turn:
    """One model waiting for its timing in a round."""

    index: int
    model: TimedModel
    attempts: int = 0
    reason: str = ""


class Group:
    """Times groups of models with one configuration."""

    def __init__(self, session: PhoneSession, config: TimingConfig, cores: tuple[int, ...]) -> None:
        self.s, self.config, self.cores = session, config, cores
        tools = session.facts.tools
        program, *before = session.launch
        self.spec = JobSpec(
            runner=program,
            arguments=[*before, *session.runner.arguments(config)],
            mask=cores_mask(cores) if "taskset" in tools else None,
            cores=cores,
            zones=session.facts.zones,
            timeout_s=session.rules.runner_timeout_s if "timeout" in tools else None,
            token="",
        )

    def time(self, turns: Sequence[Turn], round_: int) -> list[tuple[Turn, Measurement | None]]:
        """Time a group between two timings of the reference that agree.

        Returns:
            Every turn once, with its measurement, or None when it failed (see `Turn.reason`).

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

    def _choose_reference(self, results: list[tuple[Turn, Measurement | None]]) -> None:
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
        turns = [Turn(-1, model) for _ in range(times)]
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

    def _run(self, turns: Sequence[Turn], round_: int) -> list[tuple[Turn, Measurement | None]]:
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

    def _stream(self, turns: Sequence[Turn]) -> Iterator[JobResult]:
        s = self.s
        token = f"@evit-{secrets.token_hex(6)} "
        spec = replace(self.spec, token=token)
        models = [s.folder.path(turn.model.data) for turn in turns]
        if s.runner.tool == "evit":
            command = batch_script(spec, models, s.rules.runner_timeout_s)
        else:
            command = script(spec, models)
        if len(command) > LONGEST_COMMAND:
            s.link.push(command.encode(), f"{FOLDER}/job.sh")
            command = f"exec sh {FOLDER}/job.sh"
        silence_s = s.rules.runner_timeout_s + s.link.config.command_s
        packets = s.link.stream(command, silence_s)
        yield from read_results((data for kind, data in packets if kind == STDOUT), token)
        for _ in packets:  # its end
            pass

    def _judge(self, turn: Turn, result: JobResult, round_: int) -> Measurement | None:
        """A measurement, or None with the turn's reason filled in."""
        turn.attempts += 1
        reason = result.failure
        read = read_samples if self.s.runner.tool == "evit" else parse_output
        if reason is None or result.code == LOST_CODE:
            try:
                return self._measurement(turn, result, read(result.output or ""), round_)
            except RunnerOutputError as error:
                reason = reason or str(error)
        self.s.quality.failed_runs += 1
        turn.reason = reason
        return None

    def _measurement(
        self, turn: Turn, result: JobResult, timed: RunnerResult, round_: int
    ) -> Measurement:
        info = self.s.info
        return Measurement(
            key=turn.model.key,
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
        )


def _first(pair: tuple[float, Any]) -> float:
    return pair[0]
