"""The loop closed: the best finalists of a search are timed on the device before one is named.

They are timed as whole subnets of the device's latency table, with its calibration models, and stay
in it. Where one misses its cap, the network model is fitted anew to all that is known by then; if
all do, finalists that it now puts above the cap are passed over, and the next ones are timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.errors import EvitError, PredictorError, SettingError
from elasticvit.events import EventHandler, Notice, Phase
from elasticvit.flows.search_caps import Problem
from elasticvit.flows.search_events import FinalistMeasured
from elasticvit.flows.search_settings import SearchSettings
from elasticvit.searching.caps import Cap
from elasticvit.searching.goal import Goal
from elasticvit.searching.verified import Verified, Verify, unverified
from elasticvit.searching.winner import Measured
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from lut.series import Series

USUAL = 3  # finalists that are timed first, where the device is at hand
GROUPS = 4  # of as many finalists, at most, until one keeps its cap
ROUNDS = 8
MORE_ROUNDS = 16  # in all, of a finalist whose interval holds the target
Z = 1.96  # of the interval, 95 %
MEDIAN_LOSS = 1.2533  # standard error of a median over that of a mean, of normal data


@dataclass(kw_only=True)
class Verifier:
    """Times finalists on the devices of a goal (`searching.verified.Verify`).

    Attributes:
        workspace: Workspace with the latency table and the predictors.
        space: Space of the finalists.
        count: Number of finalists that are timed at once.
        devices: Devices that are at hand.
        events: Receives `FinalistMeasured`, `Phase` and `Notice` events.
    """

    workspace: Workspace
    space: SearchSpace
    count: int
    devices: Sequence[str]
    events: EventHandler
    gone: list[str] = field(default_factory=list)

    def __call__(self, goal: Goal, ranked: ArchBatch) -> Verified:
        """The best finalist that keeps every cap as measured; if none does, the one that comes
        nearest, which the records then show. A device that goes away ends the timing; what was
        measured stays in the table."""
        caps = [cap for cap in goal.caps if cap.device in self.devices]
        caps = [cap for cap in caps if cap.device not in self.gone]
        if not caps:
            return Verified(row=0)
        found: dict[int, list[Measured]] = {}
        open_rows = list(range(len(ranked)))
        for group in range(GROUPS):
            rows, open_rows = open_rows[: self.count], open_rows[self.count :]
            if not rows:
                break
            batch = ranked.take(np.array(rows))
            try:
                for cap in caps:
                    for row, one in zip(rows, self._measure(cap, batch, group), strict=True):
                        found.setdefault(row, []).append(one)
            except EvitError as error:
                self.gone += [str(cap.device) for cap in caps]
                text = f"the search ends unverified: {error}"
                self.events(Notice(text=text, warning=True))
                break
            kept = [all(one.kept for one in found[row]) for row in rows]
            if all(kept):
                break
            open_rows = self._still_under(caps, ranked, [] if any(kept) else open_rows)
        return Verified(
            row=_best(found), measured=[one for row in sorted(found) for one in found[row]]
        )

    def _measure(self, cap: Cap, batch: ArchBatch, group: int) -> list[Measured]:
        """Latency of each architecture on the device of a cap."""
        from devices import TimingConfig, open_device
        from elasticvit.flows.tables import latency_table
        from export.kernel_models import kernel_model
        from lut.keys import subnet_key
        from lut.recorder import Recorder

        name = str(cap.device)
        self.events(Phase(text=f"timing {len(batch)} finalists on {name}"))
        keys = [subnet_key(arch, self.space.layout) for arch in batch]
        with latency_table(self.workspace) as store, open_device(name, self.workspace) as device:
            series = own_series(store.series(name))
            timing = TimingConfig(rounds=1)
            if series is not None:
                timing = TimingConfig(rounds=1, threads=series.threads, cores=series.cores)
            with store.exclusive(name):
                recorder = Recorder(device, self.space, store, timing, kernel_model)
                self._record(recorder, batch, ROUNDS, seed=group)
                rounds = self._rounds(store, name, recorder.series(), keys)
                unsure = [
                    row for row, key in enumerate(keys) if _holds(rounds.get(key), cap.target)
                ]
                if unsure:
                    again = batch.take(np.array(unsure))
                    self._record(recorder, again, MORE_ROUNDS, seed=group)
                    rounds = self._rounds(store, name, recorder.series(), keys)
                for key, reason in recorder.rejected.items():
                    if key in keys:
                        raise PredictorError(f"{name} refuses {key}: {reason}")
        predicted = cap.cost.price(batch)
        source = "" if series is None else series.source
        measured = [
            self._measured(arch, cap, source, float(predicted[i]), rounds[keys[i]])
            for i, arch in enumerate(batch)
        ]
        for one in measured:
            self.events(FinalistMeasured(measured=one))
        return measured

    def _record(self, recorder: object, batch: ArchBatch, rounds: int, seed: int) -> None:
        """Time the rounds that the table does not have, all models once and then again."""
        from elasticvit.kernels import lower
        from lut.keys import subnet_key
        from lut.plan import Job
        from lut.recorder import Recorder
        from lut.turns import missing

        assert isinstance(recorder, Recorder)
        layout = self.space.layout
        jobs = [Job(subnet_key(arch, layout), lower(arch, layout), False, rounds) for arch in batch]
        turns = missing(jobs, recorder.have, recorder.rejected)
        for number in sorted({turn.round for turn in turns}):
            now = [turn for turn in turns if turn.round == number]
            with closing(recorder.record(now, seed=seed * MORE_ROUNDS + number)) as recorded:
                for _ in recorded:
                    pass

    def _rounds(
        self, store: object, name: str, series: Series | None, keys: Sequence[str]
    ) -> dict[str, FloatArray]:
        """Milliseconds of each round at the table's speed, by key."""
        from lut.store import Store

        assert isinstance(store, Store)
        frame = store.measurements(name, series=series)
        frame = frame[frame["key"].isin(list(keys))]
        return {
            str(key): group["steady_ms"].to_numpy(dtype=np.float64)
            for key, group in frame.groupby("key")
        }

    def _measured(
        self, arch: Arch, cap: Cap, source: str, predicted_ms: float, rounds: FloatArray
    ) -> Measured:
        low, middle, high = interval(rounds)
        return Measured(
            arch=arch,
            device=str(cap.device),
            source=source,
            target_ms=cap.target,
            predicted_ms=predicted_ms,
            measured_ms=middle,
            low_ms=low,
            high_ms=high,
            rounds=len(rounds),
            kept=middle <= cap.target,
        )

    def _still_under(self, caps: Sequence[Cap], ranked: ArchBatch, rows: list[int]) -> list[int]:
        """The finalists that the network models, fitted anew, put under the caps."""
        for cap in caps:
            try:
                cost = self._refit(str(cap.device)).cost(self.space)
            except EvitError as error:
                self.events(Notice(text=f"the predictor stays as it is: {error}"))
                continue
            if rows:
                price = cost.price(ranked.take(np.array(rows)))
                rows = [row for row, ms in zip(rows, price, strict=True) if ms <= cap.target]
        return rows

    def _refit(self, name: str):  # type: ignore[no-untyped-def]
        """The predictor of a device with all that was measured, saved."""
        from elasticvit.flows.tables import latency_table
        from lut.dataset import Dataset
        from predictors.evaluate import fit_dataset

        self.events(Phase(text=f"fitting the predictor of {name} to what was measured"))
        with latency_table(self.workspace) as store:
            series = own_series(store.series(name))
            predictor = fit_dataset(
                Dataset.of(store, name, self.space, series), self.space, device=name
            )
        predictor.save(self.workspace.predictor_path(name))
        return predictor


def make_verifier(
    settings: SearchSettings,
    workspace: Workspace,
    space: SearchSpace,
    problem: Problem,
    events: EventHandler,
) -> Verify:
    """What times the finalists of a search, as its settings ask and its devices allow.

    Raises:
        SettingError: The settings ask for it, and a device is not at hand.
    """
    names = [str(r.cap.device) for r in problem.caps if r.cap.device is not None]
    if settings.verify == 0 or not names:
        return unverified
    own = settings.out is None and not settings.predictor
    if settings.verify is None and not own:
        return unverified
    found = at_hand(workspace, names, asked=settings.verify is not None)
    missing = [name for name in names if name not in found]
    if missing:
        text = f"winners are not timed on {', '.join(missing)}, which is not at hand"
        events(Notice(text=text))
    if not found:
        return unverified
    count = USUAL if settings.verify is None else settings.verify
    return Verifier(workspace=workspace, space=space, count=count, devices=found, events=events)


def own_series(series: Sequence[Series]) -> Series | None:
    """The latest series that a device measured itself; None if all were imported."""
    return next((one for one in series if not one.imported), None)


def interval(rounds: FloatArray) -> tuple[float, float, float]:
    """Lower bound, median and upper bound of a latency from its rounds, in their unit: a normal
    approximation of the median's 95 % interval."""
    middle = float(np.median(rounds))
    if len(rounds) < 2:
        return middle, middle, middle
    half = Z * MEDIAN_LOSS * float(rounds.std(ddof=1)) / np.sqrt(len(rounds))
    return max(middle - half, 1e-9), middle, middle + half


def _holds(rounds: FloatArray | None, target: float) -> bool:
    """Whether the interval of a latency holds the target."""
    if rounds is None:
        return False
    low, _, high = interval(rounds)
    return low <= target <= high


def _best(found: dict[int, list[Measured]]) -> int:
    """The first finalist that keeps its caps, or else the one that comes nearest."""
    for row in sorted(found):
        if all(one.kept for one in found[row]):
            return row
    if not found:
        return 0
    return min(found, key=lambda row: max(m.measured_ms / m.target_ms for m in found[row]))


def at_hand(workspace: Workspace, devices: Sequence[str], *, asked: bool) -> list[str]:
    """The devices on which finalists can be timed: those that were profiled, not imported, and
    answer now.

    Args:
        workspace: Workspace with the latency table.
        devices: Names of the capped devices.
        asked: Whether the user asked for it; then a device that is not at hand is an error.

    Raises:
        SettingError: A device is not at hand, and the user asked for it.
    """
    from devices import open_device
    from elasticvit.flows.export_timing import is_imported

    found = []
    for name in devices:
        problem = None
        if not workspace.lut_path.exists() or is_imported(workspace, name):
            problem = f"{name} was not profiled here: its latencies come from elsewhere"
        else:
            try:
                with open_device(name, workspace):
                    found.append(name)
            except EvitError as error:
                problem = str(error)
        if problem is not None and asked:
            raise SettingError(
                f"finalists cannot be timed on {name}: {problem}; plug it in, or search without "
                "verification (0)",
                settings=["verify"],
            )
    return found
