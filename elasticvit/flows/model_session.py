"""Model files timed in turns on one open device: one session, under the same conditions."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from devices import Measurement, Rejected, TimedModel, TimingConfig
from elasticvit.arrays import FloatArray
from elasticvit.errors import DeviceError, ExportError
from elasticvit.events import EventHandler
from elasticvit.files import write_atomic
from elasticvit.flows.model_events import TimingProgress
from elasticvit.flows.model_files import ModelFile
from elasticvit.flows.model_speed import at_one_speed
from elasticvit.flows.model_timing_result import DeviceTiming, ModelTiming, Range
from elasticvit.flows.timing_summary import SUMMARY_FILE
from elasticvit.space import MOBILE
from elasticvit.workspace import FOLDER, Workspace
from export.kernel_models import kernel_model
from lut.calibration import calibration_models
from lut.estimate import round_ms
from lut.interval import interval
from lut.raw_rounds import RAW_FILE, RawRound, append_round
from lut.recorder import SUBNET_MS, SUBNET_RUNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from devices import Device

MAX_RUNS = 2000  # of a model in a round
CLOCK_CHANGE = 0.05  # of the clock, from which it is warned of


@dataclass(frozen=True, kw_only=True)
class ModelSession:
    """How model files are timed on a device.

    Attributes:
        workspace: Workspace that the raw runs are written to.
        models: The models.
        rounds, threads, cores, seed: As in `devices.protocol.TimingConfig`.
        command: The words of the command that repeats this, without the workspace.
        events: Receives `TimingProgress` events.
    """

    workspace: Workspace
    models: Sequence[ModelFile]
    rounds: int
    threads: int
    cores: str
    seed: int
    command: Sequence[str]
    events: EventHandler

    def run(
        self, device: Device, name: str, check: Callable[[], None] = lambda: None
    ) -> DeviceTiming:
        """Time the models on an open device.

        Args:
            device: The device.
            name: Its name.
            check: Called after each measurement; what it raises ends the session.

        Returns:
            The latencies; with `DeviceTiming.ended` if the device went away after some were
            measured.

        Raises:
            DeviceError: The device failed before anything was measured.
            ExportError: Its runtime refuses every model.
            FileError: The raw runs cannot be written.
        """
        folder = self.workspace.new_folder("timing")
        measured: list[RawRound] = []
        hashes = {model.name: model.facts.sha256 for model in self.models}
        refused: dict[str, str] = {}
        ended: DeviceError | None = None
        with self.workspace.nothing_left_behind(folder, RAW_FILE):
            try:
                for answer in device.measure(self._timed(), self._config()):
                    if isinstance(answer, Rejected):
                        refused[answer.key] = answer.reason
                    else:
                        made = RawRound.of(answer, hashes[answer.key], self.cores)
                        append_round(folder / RAW_FILE, made)
                        measured.append(made)
                    self._progress(name, answer.key, len(measured), len(refused))
                    check()
            except DeviceError as error:
                if not measured:
                    raise
                ended = error
            except BaseException:
                if measured:
                    stopped = DeviceError("the session was interrupted")
                    self._written(device, name, folder, measured, refused, stopped)
                raise
            if not measured:
                reasons = "; ".join(f"{key}: {reason}" for key, reason in refused.items())
                raise ExportError(
                    f"{name} ({device.info.runtime}) refuses every model ({reasons}); convert them "
                    "for this runtime",
                    settings=["model"],
                )
            return self._written(device, name, folder, measured, refused, ended)

    def _command_again(self) -> str:
        """The command that repeats this in the same workspace."""
        root = self.workspace.root
        named = [] if root == Path(FOLDER) else ["--workspace", str(root)]
        return shlex.join([*self.command, *named])

    def _timed(self) -> list[TimedModel]:
        return [TimedModel(model.name, model.data) for model in self.models]

    def _config(self) -> TimingConfig:
        known = calibration_models(MOBILE)  # the same whatever is timed
        return TimingConfig(
            threads=self.threads,
            cores=self.cores,
            min_runs=SUBNET_RUNS,
            min_ms=SUBNET_MS,
            max_runs=MAX_RUNS,
            rounds=self.rounds,
            seed=self.seed,
            calibration_models=tuple(
                TimedModel(key, kernel_model(kernels)) for key, kernels in known.items()
            ),
        )

    def _progress(self, device: str, model: str, done: int, refused: int) -> None:
        total = self.rounds * (len(self.models) - refused)
        self.events(TimingProgress(done=min(done, total), total=total, device=device, model=model))

    def _written(
        self,
        device: Device,
        name: str,
        folder: Path,
        measured: Sequence[RawRound],
        refused: dict[str, str],
        ended: DeviceError | None,
    ) -> DeviceTiming:
        """The result, which is also written beside the raw runs."""
        speed = at_one_speed(measured, folder)
        steady = speed.ms
        timings = {}
        for model in self.models:
            rows = [i for i, m in enumerate(measured) if m.key == model.name]
            if rows:
                timings[model.name] = _timing([measured[i] for i in rows], steady[rows])
        info, first = device.info, measured[0]
        states = [state for m in measured for state in (m.before, m.after)]
        result = DeviceTiming(
            device=name,
            source=first.source,
            runtime=first.runtime,
            runtime_hash=first.runtime_hash,
            facts=info.facts,
            estimator=speed.estimator,
            corrected=speed.corrected,
            earlier_sessions=speed.sessions,
            models=tuple(self.models),
            timings=timings,
            refused=refused,
            temperature_c=_range(state.temperature_c for state in states),
            frequency_mhz=_range(state.frequency_mhz for state in states),
            calibration_spread=_calibration_spread(measured),
            quality=None if device.quality is None else device.quality.summary(),
            rounds=self.rounds,
            warnings=(),
            folder=folder,
            command=self._command_again(),
            ended=ended,
        )
        result = replace(result, warnings=(*_warnings(result), *speed.damaged))
        text = json.dumps(result.to_dict(), indent=2, allow_nan=False)
        write_atomic(folder / SUMMARY_FILE, f"{text}\n")
        return result


def _timing(rounds: Sequence[Measurement], steady: FloatArray) -> ModelTiming:
    """The figures of one model.

    Args:
        rounds: Its rounds.
        steady: Milliseconds of each, shape (n,).
    """
    low, middle, high = interval(steady)
    first, medians = rounds[0], [m.median_ms for m in rounds]
    interrupted = [m.interrupted_runs for m in rounds if m.interrupted_runs is not None]
    started = [m.threads_started for m in rounds if m.threads_started is not None]
    peaks = [m.peak_bytes for m in rounds if m.peak_bytes is not None]
    return ModelTiming(
        ms=middle,
        low_ms=low,
        high_ms=high,
        median_ms=statistics.median(us for m in rounds for us in m.samples_us) / 1e3,
        fastest_ms=min(medians),
        slowest_ms=max(medians),
        rounds_ms={m.round: float(ms) for m, ms in zip(rounds, steady, strict=True)},
        runs=sum(m.run_count for m in rounds),
        interrupted_runs=sum(interrupted) if interrupted else None,
        statistic=first.statistic,
        threads=first.threads,
        threads_started=min(started, default=None),
        cores=first.cores,
        load_ms=_median_ms(m.load_us for m in rounds),
        first_ms=_median_ms(m.first_us for m in rounds),
        process_peak_bytes=max(peaks, default=None),
    )


def _median_ms(values_us: Iterable[float | None]) -> float | None:
    known = [us for us in values_us if us is not None]
    return statistics.median(known) / 1e3 if known else None


def _range(values: Iterable[float | None]) -> Range | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None


def _calibration_spread(measured: Sequence[Measurement]) -> float | None:
    """How far the readings of the calibration models lie apart, the largest of the models: the
    width of the middle 80 % over the median; None without any."""
    readings: dict[str, list[float]] = {}
    for m in measured:
        for key, runs_us in m.calibration_us.items():
            readings.setdefault(key, []).append(round_ms(runs_us))
    spreads = []
    for values in readings.values():
        low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
        spreads.append(float((high - low) / middle))
    return max(spreads, default=None)


def _warnings(result: DeviceTiming) -> list[str]:
    """What the figures must be read with."""
    found = []
    for name, timing in result.timings.items():
        started = timing.threads_started
        if started is not None and started < timing.threads:
            found.append(
                f"{name} was to run on {timing.threads} threads, and {result.runtime} computes "
                f"with {started}"
            )
        if timing.rounds < result.rounds:
            found.append(f"{name} was timed in {timing.rounds} of {result.rounds} rounds")
    if result.frequency_mhz is not None:
        low, high = result.frequency_mhz
        if low < high * (1 - CLOCK_CHANGE):
            found.append(f"the clock went from {low:.0f} to {high:.0f} MHz between the rounds")
    if result.source.startswith("fake:"):
        found.append("these latencies are computed, not measured")
    return found
