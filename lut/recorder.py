"""Recording: turns are timed on a device and stored one by one, as they are made."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

from devices.protocol import Device, Measurement, TimedModel, TimingConfig
from elasticvit.kernels import Kernel
from elasticvit.precisions import FP32
from elasticvit.space import SearchSpace
from export.graph_versions import GRAPHS
from lut.calibration import CalibrationModels, calibration_models
from lut.graphs import check_graphs, note_graphs
from lut.plan import Job
from lut.series import Series
from lut.store import Store
from lut.turns import Turn

# building and loading a subnet costs as much as some further runs, and noise comes in bursts
SUBNET_RUNS, SUBNET_MS = 8, 160.0
ModelBuilder = Callable[[Sequence[Kernel]], bytes]


class _LazyModels(Sequence[TimedModel]):
    """Models that are built when they are asked for, so that one is in memory at a time."""

    def __init__(self, jobs: Sequence[Job], build: ModelBuilder) -> None:
        self._jobs, self._build = jobs, build

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, index: Any) -> Any:
        job = self._jobs[index]
        return TimedModel(job.key, self._build(job.kernels))


class Recorder:
    """Times turns on an open device and appends them to a table.

    Args:
        device: The device, entered already.
        space: Space of the models, which the calibration models are taken from.
        timing: How one round is timed.
        build: TFLite flatbuffer of a chain of kernels.
        calibration: Calibration models; by default those of the space.
        precision: Precision of the models that `build` makes.

    Raises:
        StoreError: The table's latencies are of graphs that are written otherwise now.

    Attributes:
        have: Rounds in the table, by key; grows as turns are timed.
        rejected: Reasons of the models that the device refused, by key; grows likewise.
    """

    def __init__(
        self,
        device: Device,
        space: SearchSpace,
        store: Store,
        timing: TimingConfig,
        build: ModelBuilder,
        calibration: CalibrationModels | None = None,
        precision: str = FP32,
    ) -> None:
        self._device, self._store, self._build = device, store, build
        self._precision = precision
        self._name = device.info.name
        check_graphs(store, self._name, precision)
        known = calibration_models(space) if calibration is None else calibration
        models = tuple(TimedModel(key, build(kernels)) for key, kernels in known.items())
        self._timing = replace(timing, rounds=1, calibration_models=models)
        series = self.series()
        self.have: dict[str, set[int]] = store.rounds(self._name, series) if series else {}
        self.rejected: dict[str, str] = store.rejected(device.info, precision)

    def series(self) -> Series | None:
        """The series that measurements are added to; None until there is one."""
        info, timing = self._device.info, self._timing
        wanted = (info.source, info.runtime, info.runtime_hash, timing.threads, timing.cores)
        for s in self._store.series(self._name, self._precision):
            if (s.source, s.runtime, s.runtime_hash, s.threads, s.cores) == wanted:
                return s
        return None

    def record(self, turns: Sequence[Turn], seed: int) -> Generator[tuple[Turn, float], None, None]:
        """Time the turns together; each is yielded when it is stored, with the seconds it took.

        Closing the iterator ends the work on the device.

        Args:
            turns: Turns of different jobs.
            seed: Random seed of the order in which the device times them.
        """
        by_key = {t.job.key: t for t in turns}
        timing = replace(self._timing, seed=seed)
        if any(t.job.whole for t in turns):
            timing = replace(
                timing,
                min_runs=max(timing.min_runs, SUBNET_RUNS),
                min_ms=max(timing.min_ms, SUBNET_MS),
            )
        results = self._device.measure(_LazyModels([t.job for t in turns], self._build), timing)
        last = time.monotonic()
        try:
            for result in results:
                turn = by_key[result.key]
                if isinstance(result, Measurement):
                    made = replace(result, round=turn.round, precision=self._precision)
                    if not self.have:
                        note_graphs(self._store, self._name, made.precision, GRAPHS[made.precision])
                    self._store.add(self._name, made, cores=timing.cores)
                    self.have.setdefault(result.key, set()).add(turn.round)
                else:
                    self._store.reject(self._device.info, result, self._precision)
                    self.rejected[result.key] = result.reason
                now = time.monotonic()
                seconds, last = now - last, now
                yield turn, seconds
        finally:
            close = getattr(results, "close", None)
            if close is not None:  # a generator that holds the device must let it go now
                close()
