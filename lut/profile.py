"""The profiling loop: plan, build models, time them, store; resumable at any instant.

The plan is a deterministic list of jobs (kernels and whole subnets, to fit with and held out)
that grows with its level; the level is the largest that the time budget is expected to allow.
Jobs are gone through in rounds, each in another order, and a job's round that is in the table
already is not timed again. So a profile that was killed goes on where it was, and one that is
run again with more budget deepens the same table.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from devices.protocol import Device, DeviceInfo, Measurement, TimedModel, TimingConfig
from elasticvit.errors import StoreError
from elasticvit.kernels import Kernel
from elasticvit.space import SearchSpace
from lut.dataset import split_of
from lut.keys import kind_of
from lut.plan import Job, Plan, PlanConfig
from lut.quality import Agreement, Drift, drift, noise_floor
from lut.store import Series, Store

CHUNK_JOBS = 40  # jobs handed to the device at once; the reference is timed once in each
CALIBRATION_JOBS = 12
ModelBuilder = Callable[[Sequence[Kernel]], bytes]


@dataclass(frozen=True, kw_only=True)
class ProfileConfig:
    """How much to measure, and how.

    Attributes:
        budget_s: seconds that measuring may take, in this run.
        timing: of one round; `rounds` is that of jobs to fit with.
        plan: what to measure.
    """

    budget_s: float = 240.0
    timing: TimingConfig = field(default_factory=TimingConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a profile stands.

    Attributes:
        done, total: timings of this run; the total may change until the budget is planned.
        left_s: expected seconds to the end.
        key: what was timed last.
    """

    done: int
    total: int
    left_s: float
    key: str


@dataclass(frozen=True, kw_only=True)
class ProfileSummary:
    """What a profile did and how far its numbers can be trusted.

    Attributes:
        info: the device.
        series: the measurements it added to.
        fitted, held_out: models in the table by kind, to fit with and held out.
        timed: timings of this run.
        rejected: models that the device refused, with the reasons.
        seconds: that this run took.
        complete: whether everything planned was timed before the budget was spent.
        noise: agreement of the held-out subnets with themselves, timed twice.
        drift: of the reference model.
    """

    info: DeviceInfo
    series: Series
    fitted: dict[str, int]
    held_out: dict[str, int]
    timed: int
    rejected: dict[str, str]
    seconds: float
    complete: bool
    noise: Agreement | None
    drift: Drift | None


class _LazyModels(Sequence[TimedModel]):
    """Models that are built when they are asked for, so that one is in memory at a time."""

    def __init__(self, jobs: Sequence[Job], build: ModelBuilder) -> None:
        self._jobs, self._build = jobs, build

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, index: Any) -> Any:
        job = self._jobs[index]
        return TimedModel(job.key, self._build(job.kernels))


class _Clock:
    """Expected seconds of a timing, learned from those of this run: a constant and a share
    that grows with the multiply-accumulates."""

    def __init__(self) -> None:
        self._gmacs: list[float] = []
        self._seconds: list[float] = []

    def saw(self, job: Job, seconds: float) -> None:
        self._gmacs.append(job.gmacs)
        self._seconds.append(seconds)

    def expect(self, jobs: Sequence[Job]) -> float:
        """Seconds that the jobs will take together."""
        if not self._seconds:
            return 0.0
        gmacs, seconds = np.array(self._gmacs), np.array(self._seconds)
        slope = max(0.0, float(np.polyfit(gmacs, seconds, 1)[0])) if np.ptp(gmacs) > 0 else 0.0
        constant = max(0.0, float(np.mean(seconds) - slope * np.mean(gmacs)))
        return constant * len(jobs) + slope * sum(job.gmacs for job in jobs)


def profile(
    device: Device,
    space: SearchSpace,
    store: Store,
    config: ProfileConfig,
    *,
    rng: np.random.Generator,
    progress: Callable[[Progress], None] = lambda _: None,
    build: ModelBuilder | None = None,
) -> ProfileSummary:
    """Time kernels and subnets of a space on an open device into a store.

    Args:
        device: entered already.
        rng: of the order of jobs; what is measured depends on the plan's seed alone.
        progress: called after every timing.
        build: TFLite flatbuffer of a chain of kernels; by default `export.kernel_models`.

    Raises:
        StoreError: the table cannot be written, or nothing could be measured.
        DeviceError: the device went away; what was timed is in the store.
    """
    run = _Run(device, space, store, config, rng, progress, build or _builder())
    return run.go()


def _builder() -> ModelBuilder:
    from export.kernel_models import kernel_model

    return kernel_model


class _Run:
    """One run of the loop."""

    def __init__(
        self,
        device: Device,
        space: SearchSpace,
        store: Store,
        config: ProfileConfig,
        rng: np.random.Generator,
        progress: Callable[[Progress], None],
        build: ModelBuilder,
    ) -> None:
        self.device, self.store, self.config = device, store, config
        self.rng, self.progress, self.build = rng, progress, build
        self.name = device.info.name
        self.plan = Plan.of(space, settled(store, self.name, config.plan))
        self.clock, self.started = _Clock(), time.monotonic()
        self.timed, self.total, self.left_s = 0, 0, 0.0
        store.remember(device.info)

    def go(self) -> ProfileSummary:
        series = self._series()
        self.have = self.store.rounds(self.name, series) if series else {}
        self.rejected = self.store.rejected(self.name)
        level = self._level()
        jobs = self.plan.jobs(level, self.config.timing.rounds)
        complete = self._measure(jobs)
        return self._summary(jobs, complete)

    def _series(self) -> Series | None:
        """The series that this run adds to, when there is one already."""
        info, timing = self.device.info, self.config.timing
        wanted = (info.source, info.runtime, info.runtime_hash, timing.threads, timing.cores)
        for s in self.store.series(self.name):
            if (s.source, s.runtime, s.runtime_hash, s.threads, s.cores) == wanted:
                return s
        return None

    def _missing(self, jobs: Sequence[Job], number: int) -> list[Job]:
        return [
            job
            for job in jobs
            if number < job.rounds
            and number not in self.have.get(job.key, ())
            and job.key not in self.rejected
        ]

    def _all_missing(self, jobs: Sequence[Job]) -> list[Job]:
        return [job for r in range(max(j.rounds for j in jobs)) for job in self._missing(jobs, r)]

    def _level(self) -> int:
        """The deepest plan that fits the budget, after a few jobs have shown the device's pace."""
        rounds = self.config.timing.rounds
        first = self._missing(self.plan.jobs(1, rounds), 0)
        step = max(1, len(first) // CALIBRATION_JOBS)
        # sorted by size, so that the pace is known from the smallest to the largest
        some = sorted(first, key=lambda job: job.gmacs)[::step]
        self.total = len(some)
        self._chunk(some, 0)
        if not some:
            some = [self.plan.reference]
            self._chunk(some, self._next_round(self.plan.reference))
        left = self.config.budget_s - (time.monotonic() - self.started)
        level = 1
        while level < self.plan.levels and (
            self.clock.expect(self._all_missing(self.plan.jobs(level + 1, rounds))) <= left
        ):
            level += 1
        return level

    def _measure(self, jobs: Sequence[Job]) -> bool:
        """Time every round that is missing; False when the budget ended before."""
        rounds = [self._missing(jobs, r) for r in range(max(j.rounds for j in jobs))]
        for number, missing in enumerate(rounds):
            order = [missing[i] for i in self.rng.permutation(len(missing))]
            for start in range(0, len(order), CHUNK_JOBS):
                todo = order[start:] + [job for later in rounds[number + 1 :] for job in later]
                self.total = self.timed + len(todo)
                self.left_s = self.clock.expect(todo)
                if not self._chunk(order[start : start + CHUNK_JOBS], number):
                    return False
                self._chunk([self.plan.reference], self._next_round(self.plan.reference))
        return True

    def _next_round(self, job: Job) -> int:
        return max(self.have.get(job.key, ()), default=-1) + 1

    def _chunk(self, jobs: Sequence[Job], number: int) -> bool:
        """Time one round of some jobs; False when the budget ended before."""
        by_key = {job.key: job for job in jobs}
        timing = replace(self.config.timing, rounds=1, seed=int(self.rng.integers(2**31)))
        results = self.device.measure(_LazyModels(jobs, self.build), timing)
        last = time.monotonic()
        try:
            for result in results:
                if isinstance(result, Measurement):
                    result = replace(result, round=number)
                    self.have.setdefault(result.key, set()).add(number)
                else:
                    self.rejected[result.key] = result.reason
                self.store.add(self.name, result, cores=timing.cores)
                now = time.monotonic()
                self.clock.saw(by_key[result.key], now - last)
                self.left_s -= now - last
                last = now
                self.timed += 1
                self.progress(
                    Progress(
                        done=self.timed,
                        total=self.total,
                        left_s=max(0.0, self.left_s),
                        key=result.key,
                    )
                )
                if now - self.started > self.config.budget_s:
                    return False
        finally:
            close = getattr(results, "close", None)
            if close is not None:
                close()
        return True

    def _summary(self, jobs: Sequence[Job], complete: bool) -> ProfileSummary:
        series = self._series()
        if series is None:
            reasons = "; ".join(sorted(set(self.rejected.values()))[:3])
            raise StoreError(f"{self.name} timed nothing: {reasons or 'the budget is too small'}")
        counts = {
            held: Counter(kind_of(j.key) for j in jobs if j.held_out == held and j.key in self.have)
            for held in (False, True)
        }
        subnets = self.store.measurements(self.name, kind="subnet", series=series)
        return ProfileSummary(
            info=self.device.info,
            series=series,
            fitted=dict(counts[False]),
            held_out=dict(counts[True]),
            timed=self.timed,
            rejected={k: v for k, v in self.rejected.items() if k in {j.key for j in jobs}},
            seconds=time.monotonic() - self.started,
            complete=complete,
            noise=noise_floor(subnets, [j.key for j in jobs if j.held_out]),
            drift=drift(subnets, self.plan.reference.key),
        )


def settled(store: Store, device: str, config: PlanConfig) -> PlanConfig:
    """The plan's settings with the split of the device's first profile.

    A model that an earlier profile held out must never be fitted with later.
    """
    if not store.noted(device, "split_seed"):
        store.note(device, "split_seed", config.seed)
    return replace(config, seed=split_of(store, device).seed)
