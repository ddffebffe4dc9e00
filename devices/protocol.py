"""What a device is to the rest of the project.

A `Device` times models (TFLite flatbuffers) and says under which conditions. Implementations
are the host, phones over ADB, and a fake that is named fake in every row it writes. The
contract suite `tests/contracts/device_contract.py` holds for all of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from elasticvit.errors import DeviceError


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """Identity and facts of a device.

    Attributes:
        name: how the user calls it: `host`, `pixel6`.
        source: where its numbers come from: `host:CPU model`, `adb:SERIAL`, `fake:NAME`.
        runtime: name and version of what runs the models.
        runtime_hash: sha256 of the runner or runtime library.
        facts: anything else that explains a number (SoC, clusters, build, governor).
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
        threads: inference threads.
        cores: `big`, `mid`, `little`, a hexadecimal mask such as `f0`, or `auto` (one core of
            the fastest cluster a thread).
        warmup_runs: runs before the clock counts, in every round.
        min_runs, max_runs, min_ms: a round runs the model until it did `min_runs` and used
            `min_ms` milliseconds, but at most `max_runs` times.
        rounds: how often the whole set is gone through, each time in another order.
        seed: of the orders.
        gauges: models that are timed around every model, in the same process, and so tell how
            fast the device was just then; a device that cannot do so leaves them out.

    Raises:
        DeviceError: a count that is too small, or fewer `max_runs` than `min_runs`.
    """

    threads: int = 1
    cores: str = "auto"
    warmup_runs: int = 3
    min_runs: int = 5
    max_runs: int = 200
    min_ms: float = 10.0
    rounds: int = 3
    seed: int = 0
    gauges: tuple[TimedModel, ...] = ()

    def __post_init__(self) -> None:
        least = {"threads": 1, "warmup_runs": 0, "min_runs": 1, "min_ms": 0, "rounds": 1}
        least |= {"max_runs": self.min_runs, "seed": 0}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise DeviceError(f"{name} = {getattr(self, name)}; it must be at least {limit}")


@dataclass(frozen=True)
class TimedModel:
    """A model to time: a key that names it in the table, and the TFLite flatbuffer."""

    key: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """State of the device around a measurement; None where it does not say.

    Attributes:
        temperature_c: degrees Celsius.
        frequency_mhz: clock of the core or cluster in use.
    """

    temperature_c: float | None = None
    frequency_mhz: float | None = None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One model timed in one round.

    Attributes:
        key: the model's.
        samples_us: every timed run, in microseconds, in order (but see `statistic`).
        round: which round, from 0.
        threads, cores: as they were in force (the cores that were used, such as `1` or `4-7`).
        source, runtime, runtime_hash: as in `DeviceInfo`.
        before, after: conditions around the runs.
        time_s: when, in seconds since the epoch.
        peak_bytes: peak memory of the process that ran it, where known.
        interrupted_runs: how many of the runs the system interrupted for another program, where
            known; their samples are kept.
        statistic: what a sample is: a `run`, or the `median` or `mean` of the runs of one process
            where the runner tells no more than that.
        runs: how many runs are behind each sample; None when each is one.
        gauges_us: by the key of each gauge (see `TimingConfig`) its runs around and between those
            of this measurement, in microseconds; empty where none was timed.
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
    gauges_us: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def latency_ms(self) -> float:
        """Median of the samples, in milliseconds."""
        return statistics.median(self.samples_us) / 1e3

    @property
    def run_count(self) -> int:
        """How many runs of the model are behind it."""
        return len(self.samples_us) if self.runs is None else sum(self.runs)


@dataclass(frozen=True)
class Rejected:
    """A model that the device's runtime refused or crashed on; the others go on."""

    key: str
    reason: str


class Device(Protocol):
    """Something that times models. Use as a context manager; one thread at a time."""

    @property
    def info(self) -> DeviceInfo:
        """Identity and facts; valid inside the context."""
        ...

    def measure(
        self, models: Iterable[TimedModel], config: TimingConfig
    ) -> Iterator[Measurement | Rejected]:
        """Time models, interleaved over `config.rounds` rounds.

        Every model gives `config.rounds` measurements, or a `Rejected` as its last result.
        Results come as they are made, so a caller that stores each loses at most the one in
        flight. A sequence is indexed anew in every round, so one that makes its models when
        indexed keeps memory bounded; any other iterable is listed first. Closing the iterator
        ends the work on the device.

        Raises:
            DeviceUnreachable, DeviceUnauthorised, RunnerMissing, DeviceTooHot: as named; what
                was yielded before stays true.
        """
        ...

    def __enter__(self) -> Device: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
