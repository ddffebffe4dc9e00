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
from lut.choice import Chooser, choose_level, with_choices
from lut.dataset import Dataset, split_of
from lut.gauges import gauges
from lut.keys import SUBNET, subnet_key
from lut.pace import Pace
from lut.plan import Job, Plan, PlanConfig
from lut.quality import Drift, FloatArray, drift, timed_twice
from lut.store import DRIFT_ROUND, Series, Store
from lut.turns import CHUNK_SUBNETS, Timing, chunks, missing

# building and loading a subnet costs as much as some further runs, and noise comes in bursts
SUBNET_RUNS, SUBNET_MS = 8, 160.0
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
    chooser: Chooser | None = None,
) -> ProfileSummary:
    """Time kernels and subnets of a space on an open device into a store.

    Args:
        device: entered already.
        rng: of the order of jobs; what is measured depends on the plan's seed alone.
        progress: called after every timing, which is then stored; may raise to end the profile.
        build: TFLite flatbuffer of a chain of kernels; by default `export.kernel_models`.
        chooser: of the kernels after the first level; by default they fill the space.

    Raises:
        StoreError: the table cannot be written, or nothing could be measured.
        DeviceError: the device went away; what was timed is in the store.
    """
    with store.exclusive(device.info.name):
        builder = build or _builder()
        return _Run(device, space, store, config, rng, progress, builder, chooser).go()


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
        chooser: Chooser | None,
    ) -> None:
        self.device, self.store, self.config = device, store, config
        self.rng, self.progress, self.build, self.chooser = rng, progress, build, chooser
        self.name, self.rounds = device.info.name, config.timing.rounds
        plan = Plan.of(space, settled(store, self.name, config.plan))
        self.plan = plan if chooser is None else with_choices(plan, store, self.name)
        self.gauges = tuple(TimedModel(k, build(parts)) for k, parts in gauges(space).items())
        self.pace, self.started = Pace(), time.monotonic()
        self.timed, self.total, self.left_s = 0, 0, 0.0
        store.remember(device.info)

    def go(self) -> ProfileSummary:
        series = self._series()
        self.have = self.store.rounds(self.name, series) if series else {}
        self.rejected = self.store.rejected(self.device.info)
        self._begin()
        level, complete = 0, True
        while complete and (deeper := self._grow(level)) > level:  # the pace is known better now
            level = deeper
            complete = self._measure(self._missing(self.plan.jobs(level, self.rounds)))
        return self._summary(self.plan.jobs(level, self.rounds), complete)

    def _series(self) -> Series | None:
        """The series that this run adds to, when there is one already."""
        info, timing = self.device.info, self.config.timing
        wanted = (info.source, info.runtime, info.runtime_hash, timing.threads, timing.cores)
        for s in self.store.series(self.name):
            if (s.source, s.runtime, s.runtime_hash, s.threads, s.cores) == wanted:
                return s
        return None

    def _missing(self, jobs: Sequence[Job]) -> list[Timing]:
        return missing(jobs, self.have, self.rejected)

    def _begin(self) -> None:
        """Time what no predictor can do without, whatever the budget: one round of what the
        first level fits with. It shows the pace of the device besides."""
        groups = chunks(_first_round(self._missing(self.plan.jobs(1, self.rounds))), self.rng)
        if not groups:
            groups = [[self._again(job) for job in self.plan.samples()]]
        self.total, self.left_s = sum(map(len, groups)), self.config.budget_s
        for chunk in groups:
            self._chunk(chunk)

    def _spent(self) -> float:
        return time.monotonic() - self.started

    def _affords(self, level: int) -> bool:
        """Whether the rest of the budget is expected to allow all rounds of a level."""
        todo = self._missing(self.plan.jobs(level, self.rounds))
        expected = self.pace.expect([t.job for t in todo]) * MARGIN
        return expected <= self.config.budget_s - self._spent()

    def _grow(self, level: int) -> int:
        """Deepen the plan from a level as far as the budget is expected to allow, at least to the
        first, and tell its level then.

        Where kernels are chosen by what is known of them, each level is chosen when the one
        before it was timed once.
        """
        level = max(1, level)
        while level < self.plan.levels and self._affords(level + 1):
            level += 1
            if self.chooser is not None:
                self.plan = choose_level(self.chooser, self.plan, level, self.store, self.name)
                level = min(level, self.plan.levels)
                deepest = level
                while deepest < self.plan.levels and self._affords(deepest + 1):
                    deepest += 1
                first = _first_round(self._missing(self.plan.jobs(level, self.rounds)))
                now = {t.job.key for t in first}
                every = self._missing(self.plan.jobs(deepest, self.rounds))
                self._measure(first, [t for t in every if t.number or t.job.key not in now])
        return level

    def _measure(self, timings: Sequence[Timing], later: Sequence[Timing] = ()) -> bool:
        """Make every timing; False when the budget ended before.

        Args:
            later: what is to follow, for the time that is left.
        """
        groups = chunks(timings, self.rng)
        for i, chunk in enumerate(groups):
            if self._spent() > self.config.budget_s:
                return False
            left = [t.job for group in groups[i:] for t in group] + [t.job for t in later]
            references = len(groups) - i + len(later) // CHUNK_SUBNETS
            self.total = self.timed + len(left) + references
            self.left_s = self.pace.expect([*left, *[self.plan.reference] * references])
            reference = [self._again(self.plan.reference)]
            if not (self._chunk(chunk, bounded=True) and self._chunk(reference)):
                return False
        return True

    def _again(self, job: Job) -> Timing:
        return Timing(job, max(DRIFT_ROUND - 1, *self.have.get(job.key, (0,))) + 1, 0)

    def _chunk(self, timings: Sequence[Timing], bounded: bool = False) -> bool:
        """Make some timings; False when they are bounded and the budget ended before."""
        by_key = {t.job.key: t for t in timings}
        seed = int(self.rng.integers(2**31))
        timing = replace(self.config.timing, rounds=1, seed=seed, gauges=self.gauges)
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


def _first_round(timings: Sequence[Timing]) -> list[Timing]:
    """Those that a first fit needs."""
    return [t for t in timings if t.number == 0 and not t.job.held_out]


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
