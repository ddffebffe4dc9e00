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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from devices.protocol import Device, DeviceInfo, Measurement, TimedModel, TimingConfig
from elasticvit.errors import StoreError
from elasticvit.kernels import KINDS, Kernel
from elasticvit.space import SearchSpace
from lut.dataset import Dataset, split_of
from lut.keys import SUBNET, subnet_key
from lut.pace import Pace
from lut.plan import Job, Plan, PlanConfig
from lut.quality import Drift, FloatArray, drift, timed_twice
from lut.store import DRIFT_ROUND, Series, Store

# models handed to the device at once; the reference is timed after each chunk
CHUNK_KERNELS = 40
CHUNK_SUBNETS = 8
# building and loading a subnet costs more than a few further runs, and noise comes in bursts
SUBNET_RUNS, SUBNET_MS = 10, 80.0
MARGIN = 1.1  # the pace is known from a few timings only
ModelBuilder = Callable[[Sequence[Kernel]], bytes]


@dataclass(frozen=True, kw_only=True)
class ProfileConfig:
    """How much to measure, and how.

    Attributes:
        budget_s: seconds that measuring may take in this run; what no predictor can do without
            is timed once in any case.
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
        twice: milliseconds of the held-out subnets, timed twice (see `lut.quality`).
        reference: key of the model that is timed again and again.
        drift: of the reference.
    """

    info: DeviceInfo
    series: Series
    fitted: dict[str, int]
    held_out: dict[str, int]
    timed: int
    rejected: dict[str, str]
    seconds: float
    complete: bool
    twice: tuple[FloatArray, FloatArray]
    reference: str
    drift: Drift | None


@dataclass(frozen=True)
class _Timing:
    """One round of a job, made in the pass `turn`."""

    job: Job
    number: int
    turn: int


class _LazyModels(Sequence[TimedModel]):
    """Models that are built when they are asked for, so that one is in memory at a time."""

    def __init__(self, jobs: Sequence[Job], build: ModelBuilder) -> None:
        self._jobs, self._build = jobs, build

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, index: Any) -> Any:
        job = self._jobs[index]
        return TimedModel(job.key, self._build(job.kernels))


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
        progress: called after every timing, which is then stored; may raise to end the profile.
        build: TFLite flatbuffer of a chain of kernels; by default `export.kernel_models`.

    Raises:
        StoreError: the table cannot be written, or nothing could be measured.
        DeviceError: the device went away; what was timed is in the store.
    """
    with store.exclusive(device.info.name):
        return _Run(device, space, store, config, rng, progress, build or _builder()).go()


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
        self.name, self.rounds = device.info.name, config.timing.rounds
        self.plan = Plan.of(space, settled(store, self.name, config.plan))
        self.pace, self.started = Pace(), time.monotonic()
        self.timed, self.total, self.left_s = 0, 0, 0.0
        store.remember(device.info)

    def go(self) -> ProfileSummary:
        series = self._series()
        self.have = self.store.rounds(self.name, series) if series else {}
        self.rejected = self.store.rejected(self.device.info)
        self._begin()
        jobs = self.plan.jobs(self._level(), self.rounds)
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

    def _missing(self, jobs: Sequence[Job]) -> list[_Timing]:
        """The timings of the jobs that are not in the table, in their passes.

        A job of fewer rounds than there are passes is spread over them, so that every model is
        timed early and late.
        """
        passes = max(job.rounds for job in jobs)
        return [
            _Timing(job, number, int((number + 0.5) * passes / job.rounds))
            for job in jobs
            if job.key not in self.rejected
            for number in range(job.rounds)
            if number not in self.have.get(job.key, ())
        ]

    def _begin(self) -> None:
        """Time what no predictor can do without, whatever the budget: one round of what the
        first level fits with. It shows the pace of the device besides."""
        first = [job for job in self.plan.jobs(1, self.rounds) if not job.held_out]
        chunks = self._chunks([t for t in self._missing(first) if t.number == 0])
        if not chunks:
            chunks = [[self._again(job) for job in self.plan.samples()]]
        self.total, self.left_s = sum(map(len, chunks)), self.config.budget_s
        for chunk in chunks:
            self._chunk(chunk)

    def _spent(self) -> float:
        return time.monotonic() - self.started

    def _level(self) -> int:
        """The deepest plan that is expected to fit in the rest of the budget."""
        left = self.config.budget_s - self._spent()
        level = 1
        while level < self.plan.levels:
            todo = self._missing(self.plan.jobs(level + 1, self.rounds))
            if self.pace.expect([t.job for t in todo]) * MARGIN > left:
                break
            level += 1
        return level

    def _measure(self, jobs: Sequence[Job]) -> bool:
        """Make every missing timing; False when the budget ended before."""
        chunks = self._chunks(self._missing(jobs))
        for i, chunk in enumerate(chunks):
            if self._spent() > self.config.budget_s:
                return False
            left = [t.job for later in chunks[i:] for t in later]
            self.total = self.timed + len(left) + len(chunks) - i
            self.left_s = self.pace.expect([*left, *[self.plan.reference] * (len(chunks) - i)])
            reference = [self._again(self.plan.reference)]
            if not (self._chunk(chunk, bounded=True) and self._chunk(reference)):
                return False
        return True

    def _chunks(self, timings: Sequence[_Timing]) -> list[list[_Timing]]:
        """The timings pass by pass, in random order; what is fitted comes first in the first
        pass, so that a budget which ends early still leaves something to fit."""
        ordered: list[list[_Timing]] = []
        for turn in sorted({t.turn for t in timings}):
            groups: dict[tuple[bool, bool], list[_Timing]] = {}
            for t in timings:
                if t.turn == turn:
                    key = (t.job.held_out and turn == 0, t.job.whole)
                    groups.setdefault(key, []).append(t)
            in_pass: list[tuple[bool, list[_Timing]]] = []
            for (last, whole), group in sorted(groups.items()):
                mixed = [group[i] for i in self.rng.permutation(len(group))]
                size = CHUNK_SUBNETS if whole else CHUNK_KERNELS
                in_pass += [(last, mixed[i : i + size]) for i in range(0, len(mixed), size)]
            mixed_chunks = [in_pass[i] for i in self.rng.permutation(len(in_pass))]
            ordered += [chunk for _, chunk in sorted(mixed_chunks, key=lambda pair: pair[0])]
        return ordered

    def _again(self, job: Job) -> _Timing:
        return _Timing(job, max(DRIFT_ROUND - 1, *self.have.get(job.key, (0,))) + 1, 0)

    def _chunk(self, timings: Sequence[_Timing], bounded: bool = False) -> bool:
        """Make some timings; False when they are bounded and the budget ended before."""
        by_key = {t.job.key: t for t in timings}
        timing = replace(self.config.timing, rounds=1, seed=int(self.rng.integers(2**31)))
        if any(t.job.whole for t in timings):
            timing = replace(
                timing,
                min_runs=max(timing.min_runs, SUBNET_RUNS),
                min_ms=max(timing.min_ms, SUBNET_MS),
            )
        results = self.device.measure(_LazyModels([t.job for t in timings], self.build), timing)
        last = time.monotonic()
        try:
            for result in results:
                made = by_key[result.key]
                if isinstance(result, Measurement):
                    result = replace(result, round=made.number)
                    self.store.add(self.name, result, cores=timing.cores)
                    self.have.setdefault(result.key, set()).add(made.number)
                else:
                    self.store.reject(self.device.info, result)
                    self.rejected[result.key] = result.reason
                now = time.monotonic()
                self.pace.saw(made.job, now - last)
                self.left_s -= now - last
                last = now
                self.timed += 1
                left_s = max(0.0, self.left_s)
                self.progress(
                    Progress(done=self.timed, total=self.total, left_s=left_s, key=result.key)
                )
                if bounded and self._spent() > self.config.budget_s:
                    return False
        finally:
            close = getattr(results, "close", None)
            if close is not None:  # a generator that holds the device must let it go now
                close()
        return True

    def _summary(self, jobs: Sequence[Job], complete: bool) -> ProfileSummary:
        series = self._series()
        if series is None:
            reasons = "; ".join(sorted(set(self.rejected.values()))[:3])
            raise StoreError(f"{self.name} timed nothing: {reasons or 'the budget is too small'}")
        data = Dataset.of(self.store, self.name, self.plan.space, series)
        layout = self.plan.space.layout
        held_subnets = [subnet_key(arch, layout) for arch in data.held_subnets]
        subnets = self.store.measurements(self.name, kind=SUBNET, series=series)
        return ProfileSummary(
            info=self.device.info,
            series=series,
            fitted=_counts(data.fit_kernels, len(data.fit_subnets)),
            held_out=_counts(data.held_kernels, len(data.held_subnets)),
            timed=self.timed,
            rejected={k: v for k, v in self.rejected.items() if k in {j.key for j in jobs}},
            seconds=time.monotonic() - self.started,
            complete=complete,
            twice=timed_twice(subnets, held_subnets),
            reference=self.plan.reference.key,
            drift=drift(subnets, self.plan.reference.key),
        )


def _counts(kernels: Iterable[Kernel], subnets: int) -> dict[str, int]:
    counts = Counter(kernel.kind for kernel in kernels)
    return {SUBNET: subnets} | {kind: counts[kind] for kind in KINDS}


def settled(store: Store, device: str, config: PlanConfig) -> PlanConfig:
    """The plan's settings with the split of the device's first profile.

    A model that an earlier profile held out must never be fitted with later.
    """
    if not store.noted(device, "split_seed"):
        store.note(device, "split_seed", config.seed)
    return replace(config, seed=split_of(store, device).seed)
