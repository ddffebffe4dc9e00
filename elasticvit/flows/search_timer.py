"""Architectures timed on one device as whole subnets of its latency table, which its network model
then learns from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import CostModel
from elasticvit.errors import ArchError, DeviceError, PredictorError
from elasticvit.events import EventHandler, Notice, Phase
from elasticvit.flows.search_events import FinalistMeasured
from elasticvit.kernels import Layout, lower
from elasticvit.precisions import in_words
from elasticvit.searching.winner import Measured
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace
from lut.interval import interval

if TYPE_CHECKING:
    from devices import Device
    from lut.recorder import Recorder
    from lut.series import Series
    from lut.store import Store
    from predictors.predictor import Predictor

ROUNDS = 8
MORE_ROUNDS = 24  # in all, of an architecture whose interval holds the target
BUILT = 8  # models that are kept in memory while they are timed


@dataclass(kw_only=True)
class Timer:
    """Times architectures on one device.

    What was timed is appended to the latency table at once, and is not timed again. The predictor
    that learns from it is kept here until `save`: what tells whether two searches are the same
    depends on the predictors in the workspace, so a search that is killed in between goes on.

    Attributes:
        workspace: Workspace with the latency table.
        space: Space of the architectures.
        series: Series of the table that is continued.
        predictor: Predictor of the device; replaced when it learns.
        keep: Whether `save` writes the predictor to the workspace.
        extrapolate: As in `Predictor.cost`.
        events: Receives `FinalistMeasured`, `Phase` and `Notice` events.
        measured: What was timed, by architecture and target.
        refused: Architectures that the device cannot run.
    """

    workspace: Workspace
    space: SearchSpace
    series: Series
    predictor: Predictor
    keep: bool
    extrapolate: bool
    events: EventHandler
    measured: dict[tuple[Arch, float], Measured] = field(default_factory=dict)
    refused: set[Arch] = field(default_factory=set)
    learnt: bool = False
    _found: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        self._found = self._saved()

    def cost(self) -> CostModel:
        """Predicted latency by all that is known now."""
        return self.predictor.cost(self.space, extrapolate=self.extrapolate)

    def time(
        self,
        device: Device,
        archs: Sequence[Arch],
        target_ms: float,
        check: Callable[[], None],
    ) -> None:
        """Time architectures; `measured` and `refused` have them then.

        Args:
            device: The device, open.
            archs: Architectures.
            target_ms: Latency cap.
            check: Called after each timing; may raise to end them.

        Raises:
            DeviceError: The device went away, or has another runtime now; what was measured is in
                the table.
            StoreError: Another process profiles the device, or the table is damaged.
            FileError: The table cannot be written.
        """
        from elasticvit.flows.tables import latency_table
        from lut.keys import subnet_key

        name, layout = self.series.device, self.space.layout
        by_key = {subnet_key(arch, layout): arch for arch in archs}
        prices = self.cost().price(ArchBatch.of(list(by_key.values())))
        predicted_ms = dict(zip(by_key.values(), map(float, prices), strict=True))
        told = name + in_words(self.series.precision)
        self.events(Phase(text=f"timing {len(by_key)} finalists on {told}"))
        with latency_table(self.workspace) as store, store.exclusive(name):
            recorder = self._recorder(device, store)
            self._record(recorder, store, by_key, ROUNDS, check)
            rounds = self._rounds(store, by_key)
            unsure = {k: a for k, a in by_key.items() if _holds(rounds.get(k), target_ms)}
            if unsure:
                self._record(recorder, store, unsure, MORE_ROUNDS, check)
                rounds = self._rounds(store, by_key)
            reasons = recorder.rejected
        for key, arch in by_key.items():
            if key in rounds:
                one = self._measured(arch, rounds[key], target_ms, predicted_ms[arch])
                self.measured[arch, target_ms] = one
                self.events(FinalistMeasured(measured=one))
            else:
                self.refused.add(arch)
                text = f"{name} cannot run {arch}: {reasons.get(key, 'it gave no measurement')}"
                self.events(Notice(text=text, warning=True))

    def _recorder(self, device: Device, store: Store) -> Recorder:
        """What times models as the series was timed, with its calibration models."""
        from devices import TimingConfig
        from export.precise_kernels import kernel_models_in
        from lut.calibration import table_calibration_models
        from lut.recorder import Recorder

        name = self.series.device
        table = store.measurements(name, series=self.series)
        try:
            calibration = table_calibration_models(table, *self.layouts())
        except ArchError as error:
            raise PredictorError(
                f"the latencies of {name} are of another space than {self.space.name}, so that "
                f"finalists cannot be brought to their speed ({error}); profile {name} again"
            ) from error
        timing = TimingConfig(rounds=1, threads=self.series.threads, cores=self.series.cores)
        precision = self.series.precision
        # each is timed in round after round
        built = lru_cache(maxsize=BUILT)(kernel_models_in(precision))
        recorder = Recorder(
            device, self.space, store, timing, built, calibration, precision=precision
        )
        now = recorder.series()
        if now is None or now.id != self.series.id:
            raise DeviceError(
                f"{name} has another runtime than its latencies were measured with; profile it "
                "again"
            )
        return recorder

    def layouts(self) -> tuple[Layout, ...]:
        """Layouts that subnets of the table may be of: that of the search, and of the profile."""
        return (self.space.layout, self.workspace.space().layout)

    def _record(
        self,
        recorder: Recorder,
        store: Store,
        by_key: Mapping[str, Arch],
        rounds: int,
        check: Callable[[], None],
    ) -> None:
        """Time the rounds that the table does not have, all models once and then again."""
        from lut.dataset import note_fitted
        from lut.plan import Job
        from lut.turns import missing

        series = self.series
        note_fitted(store, series.device, series.precision, list(by_key), recorder.have)
        layout = self.space.layout
        jobs = [Job(key, lower(arch, layout), False, rounds) for key, arch in by_key.items()]
        turns = missing(jobs, recorder.have, recorder.rejected)
        for number in sorted({turn.round for turn in turns}):
            now = [t for t in turns if t.round == number and t.job.key not in recorder.rejected]
            with closing(recorder.record(now, seed=number)) as recorded:
                for _ in recorded:
                    check()

    def _rounds(self, store: Store, keys: Mapping[str, Arch]) -> dict[str, FloatArray]:
        """Milliseconds of each round at the table's speed, by key."""
        from lut.frames import DRIFT_ROUND

        frame = store.measurements(self.series.device, series=self.series)
        frame = frame[frame["key"].isin(list(keys)) & (frame["round"] < DRIFT_ROUND)]
        return {
            str(key): group["steady_ms"].to_numpy(dtype=np.float64)
            for key, group in frame.groupby("key")
        }

    def _measured(
        self, arch: Arch, rounds: FloatArray, target_ms: float, predicted_ms: float
    ) -> Measured:
        low, middle, high = interval(rounds)
        return Measured(
            arch=arch,
            device=self.series.device,
            source=self.series.source,
            precision=self.series.precision,
            threads=self.series.threads,
            cores=self.series.cores,
            target_ms=target_ms,
            predicted_ms=predicted_ms,
            measured_ms=middle,
            low_ms=low,
            high_ms=high,
            rounds=len(rounds),
            kept=middle <= target_ms,
        )

    def surprised(self, measured: Sequence[Measured]) -> bool:
        """Whether any latency is not what the predictor's interval promises, or misses its
        target."""
        known = self.predictor.interval
        return known.coverage is None or any(
            not one.kept or not known.lower <= one.measured_ms / one.predicted_ms <= known.upper
            for one in measured
        )

    def learn(self) -> bool:
        """Fit the network model to the whole subnets of the table; False if it stays as it is."""
        from elasticvit.flows.tables import latency_table
        from lut.subnet_layouts import whole_subnets
        from predictors.refit import refit_network

        name = self.series.device
        self.events(Phase(text=f"fitting the network model of {name} to what was measured"))
        with latency_table(self.workspace) as store:
            subnets = whole_subnets(store, name, self.series, self.layouts())
        try:
            if subnets.unknown > len(subnets.kernels):
                raise PredictorError(f"most subnets of {name} were measured for another space")
            learnt = refit_network(self.predictor, subnets.kernels, subnets.latency_ms)
        except PredictorError as error:
            self.events(Notice(text=f"the predictor of {name} stays as it is: {error}"))
            return False
        self.predictor, self.learnt = learnt, True
        return True

    def save(self) -> None:
        """Write the predictor to the workspace if it has learnt, unless another process has put a
        new one there since this was made.

        Raises:
            FileError: It cannot be written; the old one stays.
        """
        if not (self.learnt and self.keep):
            return
        if self._saved() == self._found:
            self.predictor.save(self._place())
        else:
            text = (
                f"the predictor of {self.series.device} was made anew while this search ran, and "
                "stays; what was timed is in the latency table, and the next profile learns from it"
            )
            self.events(Notice(text=text))
        self.learnt = False

    def _place(self) -> Path:
        series = self.series
        return self.workspace.predictor_path(series.device, series.precision, series.cpu)

    def _saved(self) -> bytes | None:
        """The predictor's file in the workspace, which has the checksum of its arrays; None without
        one."""
        from predictors.saved import MANIFEST

        try:
            return (self._place() / MANIFEST).read_bytes()
        except OSError:
            return None


def _holds(rounds: FloatArray | None, target_ms: float) -> bool:
    """Whether the interval of a latency holds the target."""
    if rounds is None:
        return False
    low, _, high = interval(rounds)
    return low <= target_ms <= high
