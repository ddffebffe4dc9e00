"""The loop closed: the best finalists of a search are timed on their devices before one is named.

Those that come first are timed together. Where one misses its cap, or is not what the predictor
promised, the network model is fitted anew to all that is known by then. Finalists that it puts
above a cap are passed over, and the next ones are timed, until the best one that is left was timed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.errors import EvitError
from elasticvit.events import EventHandler, Notice
from elasticvit.flows.search_at_hand import find_timers
from elasticvit.flows.search_caps import Problem
from elasticvit.flows.search_settings import SearchSettings
from elasticvit.searching.goal import Goal
from elasticvit.searching.verified import Verified
from elasticvit.searching.winner import Measured
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from devices import Device
    from elasticvit.flows.search_timer import Timer

    Work = Callable[[str, Device, Callable[[], None]], None]

USUAL = 3  # finalists that are timed first, where the device is at hand
GROUPS = 4  # of as many finalists, at most, until one keeps its cap


@dataclass(kw_only=True)
class Verifier:
    """Times the finalists of goals (`searching.verified.Verify`).

    Attributes:
        count: Number of finalists that are timed at once.
        timers: What times on each device that was at hand when the search began, by its name.
        workspace: Workspace that the devices were profiled in.
        untimed: Why nothing is timed on the other capped devices, by name; a device that goes away
            becomes one of them.
        events: Receives what the timers tell, and a warning if a device goes away.
    """

    count: int
    timers: dict[str, Timer]
    workspace: Workspace
    untimed: dict[str, str] = field(default_factory=dict)
    events: EventHandler

    def __call__(self, goal: Goal, ranked: ArchBatch) -> Verified:
        """The best finalist that keeps every cap as measured; if none does, the one that comes
        nearest."""
        return _Round(self, goal, ranked).run()

    def on_devices(self, names: Sequence[str], work: Work) -> dict[str, EvitError]:
        """Open devices and work on them; several at once, each in a thread of its own.

        Args:
            names: Names of the devices.
            work: Called with the name, the open device, and what to call now and then, which may
                raise.

        Returns:
            What ended the work on a device, by its name.
        """
        from devices import open_device
        from devices.fleet import run_fleet

        devices: dict[str, Device] = {}
        errors: dict[str, EvitError] = {}
        for name in names:
            try:
                device = open_device(name, self.workspace)
                if len(names) > 1:
                    devices[name] = device
                    continue
                with device as opened:  # alone it needs no thread
                    work(name, opened, lambda: None)
            except EvitError as error:
                errors[name] = error
        for name, outcome in run_fleet(devices, work).items():
            if isinstance(outcome.error, EvitError):
                errors[name] = outcome.error
            elif outcome.error is not None:
                raise outcome.error
        return errors

    def lose(self, device: str, error: EvitError) -> None:
        """A device went away: what was measured stays, nothing more is timed on it."""
        self.untimed[device] = str(error)
        text = (
            f"the search ends unverified on {device}: {error}; what was measured is kept in the "
            "latency table"
        )
        self.events(Notice(text=text, warning=True))

    def save(self) -> None:
        """Write the predictors that have learnt to the workspace, once the search is finished.

        Raises:
            FileError: One cannot be written; the old one stays.
        """
        for timer in self.timers.values():
            timer.save()


def make_verifier(
    settings: SearchSettings,
    workspace: Workspace,
    space: SearchSpace,
    problem: Problem,
    events: EventHandler,
) -> Verifier:
    """What times the finalists of a search, as its settings ask and its devices allow.

    Raises:
        SettingError: The settings ask for it, and a device is not at hand, or none is capped.
    """
    timers, untimed = find_timers(settings, workspace, space, problem, events)
    count = USUAL if settings.verify is None else settings.verify
    return Verifier(count=count, timers=timers, workspace=workspace, untimed=untimed, events=events)


class _Round:
    """The timing of one list of finalists for one goal."""

    def __init__(self, verifier: Verifier, goal: Goal, ranked: ArchBatch) -> None:
        self.verifier, self.goal, self.ranked = verifier, goal, ranked
        self.archs = list(ranked)
        self.targets = {str(c.device): c.target for c in goal.caps if c.device is not None}
        self.lost = False

    def run(self) -> Verified:
        verifier = self.verifier
        self._correct()
        for _ in range(GROUPS):
            passed = self.passed()
            first = [row for row in range(len(self.archs)) if row not in passed]
            todo = [row for row in first[: verifier.count] if not self._timed(row)]
            if not todo or self._timed(first[0]):
                break
            self._time(todo)
            self._learn(todo)
        return self._verdict()

    def _active(self) -> dict[str, Timer]:
        """The timers of the devices that this goal caps and that are at hand."""
        gone = self.verifier.untimed
        return {n: t for n, t in self._timers().items() if n not in gone}

    def _timers(self) -> dict[str, Timer]:
        """The timers of the devices that this goal caps, those that went away included."""
        return {n: t for n, t in self.verifier.timers.items() if n in self.targets}

    def _measured(self, row: int) -> list[Measured]:
        """What was timed of a finalist."""
        arch = self.archs[row]
        found = [t.measured.get((arch, self.targets[n])) for n, t in self._timers().items()]
        return [one for one in found if one is not None]

    def _timed(self, row: int) -> bool:
        """Whether a finalist was timed on every device that is at hand."""
        return {one.device for one in self._measured(row)} >= set(self._active())

    def passed(self) -> frozenset[int]:
        """Rows that miss a cap: as measured, or, of those that were not timed, as predicted."""
        over = self.goal.loads(self.ranked) > 1
        refused, rows = self._refused(), set()
        for row, arch in enumerate(self.archs):
            measured = self._measured(row)
            if arch in refused or any(not one.kept for one in measured):
                rows.add(row)
            elif over[row] and not (measured and self._timed(row)):
                rows.add(row)  # what was timed is no longer a matter of prediction
        return frozenset(rows)

    def _refused(self) -> set[Arch]:
        """Architectures that a device could not run."""
        return {arch for timer in self._timers().values() for arch in timer.refused}

    def _time(self, rows: list[int]) -> None:
        """Time finalists on all devices at once."""
        archs = [self.archs[row] for row in rows if all(m.kept for m in self._measured(row))]
        todo = {
            name: [a for a in archs if (a, self.targets[name]) not in timer.measured]
            for name, timer in self._active().items()
        }

        def work(name: str, device: Device, check: Callable[[], None]) -> None:
            self.verifier.timers[name].time(device, todo[name], self.targets[name], check)

        errors = self.verifier.on_devices([name for name in todo if todo[name]], work)
        for name, error in errors.items():
            self.lost = True
            self.verifier.lose(name, error)

    def _learn(self, rows: list[int]) -> None:
        for name, timer in self._active().items():
            measured = [one for row in rows for one in self._measured(row) if one.device == name]
            if measured and timer.surprised(measured) and timer.learn():
                self._correct()

    def _correct(self) -> None:
        """Put the costs that the timers know now in place of the goal's."""
        learnt = {name: t.cost() for name, t in self._timers().items() if t.learnt}
        caps = tuple(
            replace(cap, cost=learnt[cap.device]) if cap.device in learnt else cap
            for cap in self.goal.caps
        )
        self.goal = Goal(caps)

    def _verdict(self) -> Verified:
        count, passed = len(self.archs), self.passed()
        measured = {row: self._measured(row) for row in range(count)}
        left = [row for row in range(count) if row not in passed]
        timed = [row for row in left if self._timed(row)]
        kept: bool | None = None
        if left and not self._active():
            row = left[0]
        elif timed:  # the best of these; a better one may be left where the groups are used up
            row, kept = timed[0], True
        else:
            refused = self._refused()
            excess = np.array(
                [
                    np.inf if arch in refused else _excess(measured[row])
                    for row, arch in enumerate(self.archs)
                ]
            )
            row, kept = int(np.lexsort((self.goal.loads(self.ranked), excess))[0]), False
        if self.lost and kept:
            kept = None
        return Verified(
            row=row,
            measured=[one for found in measured.values() for one in found],
            kept=kept,
            excess=_excess(measured[row]),
            passed=passed,
            goal=self.goal,
            untimed={n: why for n, why in self.verifier.untimed.items() if n in self.targets},
        )


def _excess(measured: list[Measured]) -> float:
    """Largest share of a target that is used up; infinite if nothing was timed."""
    return max((one.measured_ms / one.target_ms for one in measured), default=np.inf)
