"""Protocol of devices, and the records that they exchange with the rest of the project.

A `Device` times models (TFLite flatbuffers) and reports the conditions of each timing.
Implementations are the host, phones over ADB, a fake device whose source begins with `fake:` in
every row, and devices of other packages (see `devices.outside`). All of them pass the contract
suite `elasticvit.testing.device`.

Terms, in devices and in the latency table:

- run: one inference of a model;
- sample: one reported latency, of one run or of several (`Measurement.statistic`);
- round: pass over all models in which each is timed once, in a random order;
- timing: one model timed in one round, whose result is a `Measurement`;
- profile: all timings of a device for a search space.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from devices.quality import Quality
from elasticvit.errors import DeviceError
from elasticvit.precisions import FP32

SETTINGS = ("threads", "cores", "rounds", "seed")  # fields of `TimingConfig` that a user can set


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """Identity and facts of a device.

    Attributes:
        name: Name that the user gives it: `host`, `pixel6`.
        source: Origin of its numbers: `host:CPU model`, `adb:SERIAL`, `fake:NAME`.
        runtime: Name and version of what runs the models.
        runtime_hash: SHA-256 of the runner or runtime library; empty if there is none.
        facts: Further JSON-ready facts that affect latency (SoC, clusters, build, governor).
    """

    name: str
    source: str
    runtime: str
    runtime_hash: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TimingConfig:
    """How models are timed.

    Attributes:
        threads: Number of inference threads.
        cores: `big`, `mid`, `little`, a hexadecimal mask such as `f0`, or `auto` (one core of
            the fastest cluster per thread).
        warmup_runs: Untimed runs before the timed ones, in every round.
        min_runs, max_runs, min_ms: A round runs the model until it did `min_runs` and used
            `min_ms` milliseconds, but at most `max_runs` times.
        rounds: Number of rounds; in each, every model is timed once, in another random order.
        seed: Random seed of the round orders.
        calibration_models: Models that are timed around every model, in the same process, to show
            how fast the device was at that moment; a device that does not support them ignores
            them.

    Raises:
        DeviceError: A value is too small, or `max_runs` is less than `min_runs`.
    """

    threads: int = 1
    cores: str = "auto"
    warmup_runs: int = 3
    min_runs: int = 5
    max_runs: int = 200
    min_ms: float = 10.0
    rounds: int = 3
    seed: int = 0
    calibration_models: tuple[TimedModel, ...] = ()

    def __post_init__(self) -> None:
        least = {"threads": 1, "warmup_runs": 0, "min_runs": 1, "min_ms": 0, "rounds": 1}
        least |= {"max_runs": self.min_runs, "seed": 0}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise DeviceError(
                    f"{name} = {getattr(self, name)}; it must be at least {limit}",
                    settings=(name,) if name in SETTINGS else (),
                )


@dataclass(frozen=True)
class TimedModel:
    """A model to time.

    Attributes:
        key: Name of the model in the table, unique among the models of one call.
        data: The model as a TFLite flatbuffer.
    """

    key: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """State of the device before or after a timing; each is None if not reported.

    Attributes:
        temperature_c: Temperature of the CPU, in degrees Celsius.
        frequency_mhz: Mean clock of the cores in use, in MHz.
    """

    temperature_c: float | None = None
    frequency_mhz: float | None = None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One model timed in one round.

    Attributes:
        key: Key of the model.
        samples_us: Latency of every timed run, in microseconds, in order (but see `statistic`).
        round: Number of the round, from 0.
        threads: Number of inference threads that were used.
        cores: Cores that were used, such as `1` or `4-7`.
        source, runtime, runtime_hash: As in `DeviceInfo`.
        before, after: Conditions around the runs.
        time_s: Start of the runs, in seconds since the epoch.
        peak_bytes: Peak memory of the process that ran the model, in bytes; None if not reported.
        interrupted_runs: Number of runs that the operating system interrupted for another program;
            their samples are kept. None if not reported.
        statistic: What each sample is: the latency of one `run`, or the `median` or `mean` over the
            runs of one process if the runner reports no single runs.
        runs: Number of runs behind each sample; None if each sample is one run.
        calibration_us: Latencies of the runs of each calibration model (see `TimingConfig`) around
            and between the runs of this measurement, in microseconds, by the key of the
            calibration model; empty if none was timed.
        precision: Precision of the models. A device runs them as they are; who has them timed sets
            it.
        load_us: Time from the bytes of the model to a model that is ready to run, its weights
            packed, in microseconds; None if not reported.
        first_us: Latency of the first run, which is untimed otherwise, in microseconds; None if not
            reported.
        threads_started: Number of threads that the runtime computes with, counted by the operating
            system; None if not reported.
    """

    key: str
    samples_us: tuple[float, ...]
    round: int
    threads: int
    cores: str
    source: str
    runtime: str
    runtime_hash: str
    before: Conditions = Conditions()
    after: Conditions = Conditions()
    time_s: float
    peak_bytes: int | None = None
    interrupted_runs: int | None = None
    statistic: str = "run"
    runs: tuple[int, ...] | None = None
    calibration_us: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    precision: str = FP32
    load_us: float | None = None
    first_us: float | None = None
    threads_started: int | None = None

    @property
    def median_ms(self) -> float:
        """Median of the samples, in milliseconds."""
        return statistics.median(self.samples_us) / 1e3

    @property
    def run_count(self) -> int:
        """Number of runs of the model behind the samples."""
        return len(self.samples_us) if self.runs is None else sum(self.runs)


@dataclass(frozen=True)
class Rejected:
    """A model that the device's runtime refused or crashed on; the others go on.

    Attributes:
        key: Key of the model.
        reason: Why it was rejected, as a phrase for messages.
    """

    key: str
    reason: str


class Device(Protocol):
    """Something that times models. Use as a context manager; one thread at a time."""

    @property
    def info(self) -> DeviceInfo:
        """Identity and facts.

        Raises:
            DeviceUnreachable: Used outside of the context.
        """
        ...

    @property
    def quality(self) -> Quality | None:
        """Quality counts of the measurements so far; None if the device keeps none."""
        ...

    def measure(
        self, models: Iterable[TimedModel], config: TimingConfig
    ) -> Iterator[Measurement | Rejected]:
        """Time models, interleaved over `config.rounds` rounds.

        Args:
            models: Models to time, with different keys.
            config: Settings of the timings.

        Every model gives `config.rounds` measurements, or a `Rejected` as its last result.
        Results come as they are made, so a caller that stores each loses at most the one in
        flight. A sequence is indexed anew in every round, so one that makes its models when
        indexed keeps memory bounded; any other iterable is listed first. Closing the iterator
        ends the work on the device.

        Raises:
            DeviceUnreachable: The device does not answer, or is not open.
            DeviceUnauthorised: The device does not accept this computer.
            RunnerMissing: The runner is missing, or fails on every model.
            DeviceTooHot: The device does not cool down.
                In each case the results that were yielded before stay valid.
        """
        ...

    def __enter__(self) -> Device: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
