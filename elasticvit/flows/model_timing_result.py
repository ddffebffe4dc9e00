"""What the timing of model files ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from elasticvit.errors import DeviceError
from elasticvit.flows.model_files import ModelFile

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ModelTiming:
    """Latency of one model on one device.

    Attributes:
        ms: Latency by the estimator of latency tables, in milliseconds; see
            `DeviceTiming.estimator`.
        low_ms, high_ms: Ends of its 95 % interval, by the rounds.
        median_ms: Median of all runs as they were measured.
        fastest_ms, slowest_ms: Median run of the fastest and of the slowest round, as measured.
        rounds_ms: The figure of each round, by its number, from which `ms` and its interval are
            made.
        runs: Number of runs in all rounds.
        interrupted_runs: How many of them the operating system interrupted; None if not reported.
        statistic: What the device reports: every `run`, or the `median` or `mean` of a process.
        threads: Number of threads that was asked for.
        threads_started: Number of threads that the runtime computed with; None if not reported.
        cores: Cores that were used.
        load_ms: Median time from the model's bytes to a model that is ready; None if not reported.
        first_ms: Median latency of the first run of a round; None if not reported.
        process_peak_bytes: Peak memory of the process that ran it, which may hold other things
            too; None if not reported.
    """

    ms: float
    low_ms: float
    high_ms: float
    median_ms: float
    fastest_ms: float
    slowest_ms: float
    rounds_ms: Mapping[int, float]
    runs: int
    interrupted_runs: int | None
    statistic: str
    threads: int
    threads_started: int | None
    cores: str
    load_ms: float | None
    first_ms: float | None
    process_peak_bytes: int | None

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return len(self.rounds_ms)


@dataclass(frozen=True, kw_only=True)
class DeviceTiming:
    """Several models timed in turns on one device.

    Attributes:
        device, source, runtime, runtime_hash: The device, as in `devices.protocol.DeviceInfo`.
        facts: Facts of the device.
        estimator: What `ModelTiming.ms` is, in words.
        corrected: Whether background load was corrected for, by the calibration models.
        earlier_sessions: Number of recent sessions whose speed this one was brought to; see
            `elasticvit.flows.model_speed`.
        models: The models, in the order in which they were named.
        timings: Their latencies, by name; a model that was refused, or not reached before the
            device went away, is missing.
        refused: Why the device's runtime refused a model, by name.
        temperature_c: Lowest and highest temperature of the CPU; None if not reported.
        frequency_mhz: Lowest and highest mean clock of the cores; None if not reported.
        calibration_spread: How far the readings of the calibration models lie apart, which shows
            how even the load was: the width of the middle 80 % over the median; None without any.
        quality: Remarks of the device on the measurements; None if it makes none.
        rounds: Number of rounds that were asked for.
        warnings: Sentences on what the figures must be read with.
        folder: Folder with the raw runs.
        command: The command that repeats this.
        ended: The error that ended the session early; None if it is complete.
    """

    device: str
    source: str
    runtime: str
    runtime_hash: str
    facts: Mapping[str, Any]
    estimator: str
    corrected: bool
    earlier_sessions: int
    models: tuple[ModelFile, ...]
    timings: Mapping[str, ModelTiming]
    refused: Mapping[str, str]
    temperature_c: Range | None
    frequency_mhz: Range | None
    calibration_spread: float | None
    quality: str | None
    rounds: int
    warnings: tuple[str, ...]
    folder: Path
    command: str
    ended: DeviceError | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "device": self.device,
            "source": self.source,
            "runtime": self.runtime,
            "runtime_hash": self.runtime_hash,
            "facts": dict(self.facts),
            "estimator": self.estimator,
            "corrected": self.corrected,
            "earlier_sessions": self.earlier_sessions,
            "temperature_c": self.temperature_c,
            "frequency_mhz": self.frequency_mhz,
            "calibration_spread": self.calibration_spread,
            "quality": self.quality,
            "rounds": self.rounds,
            "warnings": list(self.warnings),
            "folder": str(self.folder),
            "command_again": self.command,
            "complete": self.ended is None,
            "ended": None if self.ended is None else str(self.ended),
            "models": {model.name: self._model(model) for model in self.models},
        }

    def _model(self, model: ModelFile) -> dict[str, Any]:
        timing, facts, taken = self.timings.get(model.name), model.facts, model.delegation
        return {
            "path": str(model.path),
            "bytes": facts.bytes,
            "sha256": facts.sha256,
            "inputs": [one.text for one in facts.inputs],
            "counted_macs_m": facts.macs_m,
            "operators": facts.operators,
            "weights": facts.weights,
            "partitions": None if taken is None else taken.partitions,
            "left_operators": None if taken is None else taken.left,
            "notes": list(model.notes),
            "refused": self.refused.get(model.name),
            "timing": None if timing is None else {**asdict(timing), "rounds": timing.rounds},
        }


@dataclass(frozen=True, kw_only=True)
class ModelTimings:
    """Models timed on several devices.

    Attributes:
        devices: What was measured on each device, by its name.
        failed: The errors of devices that could not be opened, or went away, by name; what was
            measured before is in `devices` all the same.
    """

    devices: Mapping[str, DeviceTiming]
    failed: Mapping[str, Exception]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "command": "evit-profile",
            "devices": {name: timing.to_dict() for name, timing in self.devices.items()},
            "failed": {name: str(error) for name, error in self.failed.items()},
        }
