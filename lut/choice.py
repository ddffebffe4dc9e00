"""Choosing kernels while profiling: the next ones to measure follow from the measured ones.

The first level of a plan fills the space. Every further level is chosen by a `Chooser` from the
kernels that are measured to fit with (never from held-out ones), and is noted in the table before
it is timed, so that a profile that was killed goes on with the same kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from elasticvit.cost import reachable_kernels
from elasticvit.kernels import Kernel
from lut.dataset import Dataset
from lut.plan import ProfilePlan
from lut.store import Store

NOTE = "chosen"


class Chooser(Protocol):
    """Estimates the error on unmeasured kernels, and chooses the kernels to measure next."""

    @property
    def error_goal_pct(self) -> float:
        """Error on unmeasured kernels at which no further kernels are chosen, in percent."""
        ...

    def error_pct(
        self, measured_ms: Mapping[Kernel, float], reachable: Sequence[Kernel]
    ) -> float | None:
        """Error in percent that is expected on kernels not measured yet; None if it cannot be
        estimated yet.

        Args:
            measured_ms: Milliseconds of the kernels that are measured to fit with.
            reachable: Every kernel of the space.
        """
        ...

    def choose(
        self,
        measured_ms: Mapping[Kernel, float],
        candidates: Sequence[Kernel],
        count: int,
        rng: np.random.Generator,
    ) -> list[Kernel]:
        """At most `count` of the candidates, in the order to measure them.

        Args:
            measured_ms: Milliseconds of the kernels that are measured to fit with.
            candidates: Kernels that may be measured, in the order of a plan.
            rng: Random generator of ties and of subsets that are compared.
        """
        ...


def with_choices(plan: ProfilePlan, store: Store, device: str, precision: str) -> ProfilePlan:
    """The plan with the kernels in the order that earlier profiles of the device in a precision
    chose."""
    keys = [key for note in store.noted(device, NOTE, precision) for key in note]
    known = {kernel.key: kernel for kernel in plan.fit_kernels}
    return _reordered(plan, [known[key] for key in dict.fromkeys(keys) if key in known])


def choose_level(
    chooser: Chooser, plan: ProfilePlan, level: int, store: Store, device: str, precision: str
) -> ProfilePlan:
    """The plan with the kernels of a level chosen, or without further kernels if the error that is
    expected on the rest is good enough.

    Args:
        level: Level to choose the kernels of, from 2; all levels before it were timed.
        precision: Precision that they are timed in.
    """
    first = plan.config.kernels * (level - 1)
    noted = {key for note in store.noted(device, NOTE, precision) for key in note}
    candidates = plan.fit_kernels[first:]
    if not candidates:
        return plan
    measured = Dataset.of(store, device, plan.space, precision=precision).fit_kernels
    error = chooser.error_pct(measured, reachable_kernels(plan.space))
    if error is not None and error < chooser.error_goal_pct:
        return replace(plan, fit_kernels=plan.fit_kernels[:first])
    if noted.issuperset(k.key for k in candidates[: plan.config.kernels]):
        return plan  # an earlier profile chose them
    rng = np.random.default_rng((plan.config.seed, level))
    free = [k for k in candidates if k not in measured]
    chosen = chooser.choose(measured, free, plan.config.kernels, rng)
    store.note(device, NOTE, [k.key for k in chosen], precision)
    return _reordered(plan, [*plan.fit_kernels[plan.config.kernels : first], *chosen])


def _reordered(plan: ProfilePlan, chosen: Sequence[Kernel]) -> ProfilePlan:
    """The kernels of the first level, the chosen ones, then all others."""
    first = plan.fit_kernels[: plan.config.kernels]
    ahead = dict.fromkeys([*first, *chosen])
    rest = [k for k in plan.fit_kernels if k not in ahead]
    return replace(plan, fit_kernels=[*ahead, *rest])
