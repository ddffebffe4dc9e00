"""The profiling loop: plan, build models, time them, store; resumable at any instant.

The plan is a deterministic list of jobs (kernels and whole subnets, to fit with and held out)
that grows with its level; the level is the largest that the time budget is expected to allow.
Jobs are gone through in rounds, each in another order, and a job's round that is in the table
already is not timed again. So a profile that was killed goes on where it was, and one that is
run again with more budget deepens the same table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np

from devices.protocol import Device, TimingConfig
from elasticvit.errors import SettingError, StoreError
from elasticvit.events import Progress, ignore
from elasticvit.precisions import FP32, check_precision
from elasticvit.space import SearchSpace
from lut.choice import Chooser, choose_level, with_choices
from lut.dataset import split_seed
from lut.frames import DRIFT_ROUND
from lut.pace import Pace
from lut.plan import Job, PlanConfig, ProfilePlan
from lut.profile_summary import ProfileSummary, summarise
from lut.recorder import ModelBuilder, Recorder
from lut.store import Store
from lut.turns import CHUNK_SUBNETS, Turn, chunks, missing

MARGIN = 1.1  # the pace is known from a few timings only


@dataclass(frozen=True, kw_only=True)
class ProfileConfig:
    """How much to measure, and how.

    Attributes:
        budget_s: Time budget of the profile in seconds; the models that a first fit needs are timed
            once in any case.
        timing: How one round is timed; its `rounds` are those of the models to fit with.
        plan: What to measure.
        precision: Precision that the models are timed in.

    Raises:
        SettingError: The budget is negative, or there is no such precision.
    """

    budget_s: float = 240.0
    timing: TimingConfig = field(default_factory=TimingConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    precision: str = FP32

    def __post_init__(self) -> None:
        check_precision(self.precision)
        if not self.budget_s >= 0:  # NaN as well
            raise SettingError(
                f"the budget of a profile is {self.budget_s} seconds; it must be at least 0",
                settings=("budget_minutes",),
            )


@dataclass(frozen=True, kw_only=True)
class ProfileProgress(Progress):
    """How far the profile of a device is; `done` and `total` count its timings.

    Attributes:
        device: Name of the device.
        key: Key of the model that was timed last.
        left_s: Expected seconds to the end.
    """

    device: str
    key: str
    left_s: float


def profile(
    device: Device,
    space: SearchSpace,
    store: Store,
    config: ProfileConfig,
    *,
    rng: np.random.Generator,
    progress: Callable[[ProfileProgress], None] = ignore,
    build: ModelBuilder | None = None,
    chooser: Chooser | None = None,
) -> ProfileSummary:
    """Time kernels and subnets of a space on an open device into a store.

    Keys that an earlier version gave to subnets of the space's layout are brought to the present
    form first, so that a table of that version is resumed.

    Args:
        device: The device, entered already.
        rng: Random generator of the order of timings; what is measured depends on the plan's seed
            alone.
        progress: Called after every timing, which is then stored; may raise to end the profile.
        build: Maker of the TFLite flatbuffer of a chain of kernels in the precision; by default
            `export.precise_kernels`.
        chooser: Chooser of the kernels after the first level; by default they fill the space.

    Raises:
        StoreError: The table cannot be written, or nothing could be measured.
        DeviceError: The device went away; what was timed is in the store.
    """
    with store.exclusive(device.info.name):
        store.modernise_keys(space.layout)
        builder = build or _builder(config.precision)
        return _Run(device, space, store, config, rng, progress, builder, chooser).run()


def _builder(precision: str) -> ModelBuilder:
    from export.precise_kernels import kernel_models_in

    return kernel_models_in(precision)


class _Run:
    """One run of the loop: how deep the plan goes, within the budget."""

    def __init__(
        self,
        device: Device,
        space: SearchSpace,
        store: Store,
        config: ProfileConfig,
        rng: np.random.Generator,
        progress: Callable[[ProfileProgress], None],
        build: ModelBuilder,
        chooser: Chooser | None,
    ) -> None:
        self.info, self.store, self.config = device.info, store, config
        self.rng, self.progress, self.chooser = rng, progress, chooser
        self.name, self.rounds = device.info.name, config.timing.rounds
        plan = ProfilePlan.of(space, with_device_split(store, self.name, config.plan))
        self.precision = config.precision
        if chooser is not None:
            plan = with_choices(plan, store, self.name, self.precision)
        self.plan = plan
        self.recorder = Recorder(
            device, space, store, config.timing, build, precision=self.precision
        )
        self.pace, self.started = Pace(), time.monotonic()
        self.timed, self.total, self.left_s = 0, 0, 0.0
        store.remember(device.info)

    def run(self) -> ProfileSummary:
        self._begin()
        level, complete = 0, True
        while complete and (deeper := self._grow(level)) > level:  # the pace is known better now
            level = deeper
            complete = self._measure(self._missing(self.plan.jobs(level, self.rounds)))
        return self._summary(self.plan.jobs(level, self.rounds), complete)

    def _missing(self, jobs: Sequence[Job]) -> list[Turn]:
        return missing(jobs, self.recorder.have, self.recorder.rejected)

    def _begin(self) -> None:
        """Time one round of the models that the first level fits with, whatever the budget: no
        predictor can be fitted without them. Their durations give the first estimate of the
        pace."""
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
        first, and return the level that is reached.

        With a chooser, the kernels of each level are chosen once the level before it was timed in
        one round.
        """
        level = max(1, level)
        while level < self.plan.levels and self._affords(level + 1):
            level += 1
            if self.chooser is not None:
                self.plan = choose_level(
                    self.chooser, self.plan, level, self.store, self.name, self.precision
                )
                level = min(level, self.plan.levels)
                deepest = level
                while deepest < self.plan.levels and self._affords(deepest + 1):
                    deepest += 1
                first = _first_round(self._missing(self.plan.jobs(level, self.rounds)))
                now = {t.job.key for t in first}
                every = self._missing(self.plan.jobs(deepest, self.rounds))
                self._measure(first, [t for t in every if t.round or t.job.key not in now])
        return level

    def _measure(self, turns: Sequence[Turn], later: Sequence[Turn] = ()) -> bool:
        """Time every turn; False if the budget ended before.

        Args:
            later: Turns that are to follow, for the expected time that is left.
        """
        groups = chunks(turns, self.rng)
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

    def _again(self, job: Job) -> Turn:
        return Turn(job, max(DRIFT_ROUND - 1, *self.recorder.have.get(job.key, (0,))) + 1, 0)

    def _chunk(self, turns: Sequence[Turn], bounded: bool = False) -> bool:
        """Time some turns; False if they are bounded and the budget ended before."""
        with closing(self.recorder.record(turns, int(self.rng.integers(2**31)))) as recorded:
            for turn, seconds in recorded:
                self.pace.observe(turn.job, seconds)
                self.left_s = max(0.0, self.left_s - seconds)
                self.timed += 1
                self.progress(
                    ProfileProgress(
                        done=self.timed,
                        total=self.total,
                        device=self.name,
                        key=turn.job.key,
                        left_s=self.left_s,
                    )
                )
                if bounded and self._spent() > self.config.budget_s:
                    return False
        return True

    def _summary(self, jobs: Sequence[Job], complete: bool) -> ProfileSummary:
        series, rejected = self.recorder.series(), self.recorder.rejected
        if series is None:
            reasons = "; ".join(sorted(set(rejected.values()))[:3])
            raise StoreError(
                f"nothing was measured on {self.name}: "
                + (reasons or "the budget is too small; name a larger one"),
                settings=() if reasons else ("budget_minutes",),
            )
        planned = {job.key for job in jobs}
        return summarise(
            self.store,
            self.plan,
            self.info,
            series,
            timed=self.timed,
            rejected={key: reason for key, reason in rejected.items() if key in planned},
            seconds=time.monotonic() - self.started,
            complete=complete,
        )


def _first_round(turns: Sequence[Turn]) -> list[Turn]:
    """The turns that a first fit needs."""
    return [t for t in turns if t.round == 0 and not t.job.held_out]


def with_device_split(store: Store, device: str, config: PlanConfig) -> PlanConfig:
    """The plan's settings with the split of the device's first profile.

    A model that an earlier profile held out must never be fitted with later.
    """
    if not store.noted(device, "split_seed"):
        store.note(device, "split_seed", config.seed)
    return replace(config, seed=split_seed(store, device))
