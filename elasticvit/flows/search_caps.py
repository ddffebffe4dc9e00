"""Caps of a search from its targets and the predictors of its devices."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from elasticvit.arch import Arch
from elasticvit.cost import CostModel, MacsCost
from elasticvit.cost_memory import MemoryCost
from elasticvit.errors import (
    NextStep,
    PredictorError,
    SettingError,
    TargetError,
    WorkspaceError,
)
from elasticvit.events import EventHandler, Notice
from elasticvit.flows.search_events import CapsResolved, ResolvedCap
from elasticvit.flows.search_front import front_targets
from elasticvit.flows.search_precision import device_names, predictor_of, search_precision
from elasticvit.flows.search_settings import SearchSettings
from elasticvit.flows.search_targets import COSTS
from elasticvit.names import HOST
from elasticvit.precisions import FP32
from elasticvit.searching.caps import TARGETS, Cap, reach
from elasticvit.searching.goal import Goal, Goals
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from predictors.predictor import Predictor

PROFILE = NextStep("profile", {"device": HOST})
OTHER_MEMORY = (
    "the peak memory is that of the activations in float32; what the model in {precision} needs "
    "besides or less depends on the runtime"
)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """The caps of a search, which at least one architecture meets.

    Attributes:
        caps: The caps of the first goal with the range of their costs, latencies first.
        goals: All goals; each can be met.
        feasible: For each goal an architecture that keeps it.
        latency: Cost model of the latencies that results show; None if there is none.
        precision: Precision of all latencies.
    """

    caps: tuple[ResolvedCap, ...]
    goals: Goals
    feasible: tuple[Arch, ...]
    latency: CostModel | None = None
    precision: str = FP32


def pose_problem(
    settings: SearchSettings, workspace: Workspace, space: SearchSpace, events: EventHandler
) -> Problem:
    """What a search looks for, told to a handler; arguments and errors as of `resolve_caps`.

    Args:
        events: Receives `CapsResolved`, and a warning if the result can show no latency.
    """
    from predictors.extrapolation import ExtrapolationWarning

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ExtrapolationWarning)
        problem = resolve_caps(settings, workspace, space)
    for one in caught:
        if issubclass(one.category, ExtrapolationWarning):
            events(Notice(text=str(one.message), warning=True))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    events(CapsResolved(space=space.name, caps=problem.caps))
    try:
        latency = shown_latency(settings, workspace, space, problem.caps, problem.precision)
    except PredictorError as error:
        events(Notice(text=f"the result shows no latency: {error}", warning=True))
        return problem
    return replace(problem, latency=latency)


def resolve_caps(settings: SearchSettings, workspace: Workspace, space: SearchSpace) -> Problem:
    """The caps that the settings ask for, and an architecture that keeps them.

    Args:
        workspace: Has the predictors that the settings do not bring along.
        space: Space that is searched, with the classes of the training run.

    Raises:
        TargetError: no target is named, or no architecture keeps all; the message says what the
            space can do.
        SettingError: there are neither one target nor as many as devices.
        WorkspaceError: a latency is to be capped, and no device was profiled.
        PredictorError: a device has no predictor in the precision, or it cannot price the space.
    """
    if not settings.has_target and settings.front is None:
        raise no_target(settings, workspace, space)
    precision = search_precision(settings, workspace)
    limited: list[list[Cap]] = []  # for each cost a cap of every goal, or one for all
    predictors: list[Predictor | None] = []
    for name, targets in _device_targets(settings, workspace):
        predictor = predictor_of(settings, workspace, name, precision)
        cost = predictor.cost(space, extrapolate=settings.extrapolate)
        source = predictor.source
        if settings.front is not None and not limited:
            most = targets[0] if targets else None
            targets = front_targets(cost, space, settings.front, most)
        setting = "target" if settings.named_targets else "target_ms"
        limited.append(
            [
                Cap(
                    cost=cost,
                    target=float(t),
                    device=name,
                    source=source,
                    precision=precision,
                    cpu=predictor.cpu,
                    setting=setting,
                )
                for t in targets
            ]
        )
        predictors.append(predictor)
    for name, targets in _cost_targets(settings, bool(limited)).items():
        own = COSTS[name].model(space, precision)
        setting = "target" if name in (settings.target or {}) else "target_mmacs"
        if settings.front is not None and not limited:
            targets = front_targets(own, space, settings.front, targets[0] if targets else None)
        limited.append(
            [Cap(cost=own, target=float(t), precision=precision, setting=setting) for t in targets]
        )
        predictors.append(None)
    count = max(map(len, limited))
    goals = Goals(
        tuple(
            Goal(tuple(caps[goal if len(caps) > 1 else 0] for caps in limited))
            for goal in range(count)
        ),
        front=settings.front is not None,
    )
    feasible = _feasible(settings, goals, space)
    resolved = [
        _resolved(caps, predictor, space)
        for caps, predictor in zip(limited, predictors, strict=True)
    ]
    return Problem(caps=tuple(resolved), goals=goals, feasible=feasible, precision=precision)


def _feasible(settings: SearchSettings, goals: Goals, space: SearchSpace) -> tuple[Arch, ...]:
    """For each goal an architecture that keeps it; the error says which genes are fixed."""
    try:
        return goals.feasible(space, np.random.default_rng(0))
    except TargetError as error:
        if not settings.keep:
            raise
        kept = ", ".join(f"{name}={value}" for name, value in settings.keep.items())
        raise TargetError(
            f"{error} (with {kept} kept)", settings=(*error.settings, "keep")
        ) from error


def no_target(settings: SearchSettings, workspace: Workspace, space: SearchSpace) -> TargetError:
    """The error of a search without a target, which says what the space can do.

    Raises:
        PredictorError: a device has no predictor, or it cannot price the space.
    """
    costs: list[CostModel] = [
        predictor_of(settings, workspace, name, search_precision(settings, workspace)).cost(
            space, extrapolate=settings.extrapolate
        )
        for name in device_names(settings, workspace)
    ]
    ranges = []
    for cost in costs or [MacsCost(space)]:
        can = reach(space, cost.price, np.random.default_rng(0))
        ranges.append(
            f"{cost.name} fastest {can.low:.3g}, median {can.median:.3g}, slowest {can.high:.3g} "
            f"{cost.unit}"
        )
    missing = "" if costs else ", which needs a profiled device,"
    return TargetError(
        f"no target; name a latency in ms{missing} or another cost ({', '.join(COSTS)}), "
        "or ask for several architectures of the whole front. Space "
        f"{space.name} has {'; '.join(ranges)}",
        settings=(*TARGETS, "front"),
        next_step=None if costs else PROFILE,
    )


def shown_latency(
    settings: SearchSettings,
    workspace: Workspace,
    space: SearchSpace,
    caps: Sequence[ResolvedCap],
    precision: str,
) -> CostModel | None:
    """Latency that results show: the first capped one, or that of the default device if only
    multiply-accumulates are capped; None if it has no predictor in the precision.

    Raises:
        PredictorError: the predictor is corrupt or cannot price the space.
    """
    for resolved in caps:
        if resolved.cap.device is not None:
            return resolved.cap.cost
    from predictors.workspace_predictors import profiled_precisions

    names = device_names(settings, workspace)
    known = names and (
        names[0] in (settings.predictor or {})
        or precision in profiled_precisions(workspace, names[0])
    )
    if not known:
        return None
    predictor = predictor_of(settings, workspace, names[0], precision)
    return predictor.cost(space, extrapolate=settings.extrapolate)


def _device_targets(
    settings: SearchSettings, workspace: Workspace
) -> list[tuple[str, tuple[float, ...]]]:
    """Devices and their targets in ms, each that of every goal or one for all; what is named once
    is that of all devices. For a front of the latency of the first device none need be named."""
    if settings.named_targets:
        return list(settings.named_targets.items())
    targets = settings.targets_ms
    if not targets:
        front_of = () if settings.front is None else device_names(settings, workspace)
        alone = settings.devices or not settings.cost_targets
        return [(front_of[0], ())] if front_of and alone else []
    names = device_names(settings, workspace)
    if not names:
        raise WorkspaceError(
            f"workspace {workspace.root} has no profiled device whose latency could be capped; "
            "profile one first, or cap multiply-accumulates instead",
            settings=["target_mmacs"],
            next_step=PROFILE,
        )
    if len(targets) == 1:
        targets *= len(names)
    if len(targets) != len(names):
        raise SettingError(
            f"target_ms has {len(targets)} entries, one for each device, for "
            f"{'1 device' if len(names) == 1 else f'{len(names)} devices'} ({', '.join(names)}); "
            "give one for all, or one for each device in its order; several goals of a device are "
            "a list within that list, [[10, 15]], or one text, 10,15",
            settings=["target_ms", "device"],
        )
    return list(zip(names, targets, strict=True))


def _cost_targets(settings: SearchSettings, latency: bool) -> dict[str, tuple[float, ...]]:
    """Other costs and their targets; for a front of nothing else that of multiply-accumulates,
    without a target.

    Args:
        latency: Whether a latency is capped.
    """
    targets = settings.cost_targets
    return {"mmacs": ()} if settings.front is not None and not (targets or latency) else targets


def _resolved(caps: Sequence[Cap], predictor: Predictor | None, space: SearchSpace) -> ResolvedCap:
    cap, targets = caps[0], tuple(cap.target for cap in caps)
    can = reach(space, cap.bound, np.random.default_rng(0))
    if predictor is None:
        remarks: tuple[str, ...] = ()
        if isinstance(cap.cost, MemoryCost) and cap.precision != FP32:
            remarks = (OTHER_MEMORY.format(precision=cap.precision),)
        return ResolvedCap(cap=cap, targets=targets, reach=can, remarks=remarks)
    from predictors.provenance import origin
    from predictors.provenance import remarks as all_remarks

    return ResolvedCap(
        cap=cap,
        targets=targets,
        reach=can,
        coverage=predictor.interval.coverage,
        origin=origin(predictor),
        remarks=tuple(all_remarks(predictor, space)),
    )
