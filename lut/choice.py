"""Choosing kernels while profiling: what is to be measured next follows from what was.

The first level of a plan fills the space. Every further level is chosen by a `Chooser` from
what is measured to fit with (never from what is held out), and is noted in the table before it
is timed, so that a profile that was killed goes on with the same kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from elasticvit.kernels import Kernel
from lut.dataset import Dataset
from lut.plan import Plan
from lut.sample import reachable_kernels
from lut.store import Store

NOTE = "chosen"


class Chooser(Protocol):
    """Says how well kernels are known, and which are known least."""

    @property
    def error_goal_pct(self) -> float:
        """Error on unseen kernels that is good enough."""
        ...

    def error_pct(
        self, measured_ms: Mapping[Kernel, float], reachable: Sequence[Kernel]
    ) -> float | None:
        """Error in percent that is expected on kernels not measured yet; None when that cannot
        be said yet."""
        ...

    def choose(
        self,
        measured_ms: Mapping[Kernel, float],
        candidates: Sequence[Kernel],
        count: int,
        rng: np.random.Generator,
    ) -> list[Kernel]:
        """At most `count` of the candidates, those to measure first."""
        ...


def with_choices(plan: Plan, store: Store, device: str) -> Plan:
    """The plan with the kernels in the order that earlier profiles of the device chose."""
    keys = [key for note in store.noted(device, NOTE) for key in note]
    known = {kernel.key: kernel for kernel in plan.fit_kernels}
    return _reordered(plan, [known[key] for key in dict.fromkeys(keys) if key in known])


def choose_level(chooser: Chooser, plan: Plan, level: int, store: Store, device: str) -> Plan:
    """The plan with the kernels of a level chosen, or without further kernels when those that
    are measured tell enough about the rest.

    Args:
        level: from 2; everything of the levels before it was timed.
    """
    first = plan.config.kernels * (level - 1)
    noted = {key for note in store.noted(device, NOTE) for key in note}
    candidates = plan.fit_kernels[first:]
    if not candidates:
        return plan
    measured = Dataset.of(store, device, plan.space).fit_kernels
    error = chooser.error_pct(measured, reachable_kernels(plan.space))
    if error is not None and error < chooser.error_goal_pct:
        return replace(plan, fit_kernels=plan.fit_kernels[:first])
    if noted.issuperset(k.key for k in candidates[: plan.config.kernels]):
        return plan  # an earlier profile chose them
    rng = np.random.default_rng((plan.config.seed, level))
    free = [k for k in candidates if k not in measured]
    chosen = chooser.choose(measured, free, plan.config.kernels, rng)
    store.note(device, NOTE, [k.key for k in chosen])
    return _reordered(plan, [*plan.fit_kernels[plan.config.kernels : first], *chosen])


def _reordered(plan: Plan, chosen: Sequence[Kernel]) -> Plan:
    """The kernels of the first level, the chosen ones, then all others."""
    first = plan.fit_kernels[: plan.config.kernels]
    ahead = dict.fromkeys([*first, *chosen])
    rest = [k for k in plan.fit_kernels if k not in ahead]
    return replace(plan, fit_kernels=[*ahead, *rest])
