"""Which devices of a search are at hand, so that its finalists can be timed on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elasticvit.errors import EvitError, SettingError
from elasticvit.events import EventHandler, Notice, Phase
from elasticvit.flows.search_caps import Problem
from elasticvit.flows.search_settings import SearchSettings
from elasticvit.precisions import in_words
from elasticvit.searching.caps import TARGETS, Cap
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from devices import DeviceInfo
    from elasticvit.flows.search_timer import Timer
    from lut.series import Series
    from predictors.predictor import Predictor

MEND = "plug it in and profile it here, or search without verification (0)"


def find_timers(
    settings: SearchSettings,
    workspace: Workspace,
    space: SearchSpace,
    problem: Problem,
    events: EventHandler,
) -> tuple[dict[str, Timer], dict[str, str]]:
    """What times on each capped device that is at hand, by its name, and why there is none of each
    other one.

    At hand is a device that was profiled in this workspace, is no emulator, answers now, and has
    the runtime that it was profiled with. Without `SearchSettings.verify` a search that writes to a
    folder of its own, or is given a device's predictor, times nothing, since both would change the
    workspace's.

    Raises:
        SettingError: The settings ask for it, and a device is not at hand, or none is capped.
    """
    caps = {r.cap.device: r.cap for r in problem.caps if r.cap.device is not None}
    if settings.verify == 0:
        return {}, {}
    if settings.verify is not None and not caps:
        raise SettingError(
            f"verify is {settings.verify}, but no latency is capped that finalists could be timed "
            "against; name a latency in ms, or search without verification (0)",
            settings=["verify", *TARGETS],
        )
    own = settings.out is None and not settings.predictor
    if settings.verify is None and not own:
        return {}, {}
    timers: dict[str, Timer] = {}
    untimed: dict[str, str] = {}
    for name, cap in caps.items():
        try:
            timers[name] = _timer(settings, workspace, space, cap, events)
        except EvitError as error:
            if settings.verify is not None:
                raise SettingError(
                    f"finalists cannot be timed on {name}: {error}; {MEND}", settings=["verify"]
                ) from error
            untimed[name] = str(error)
            events(Notice(text=f"finalists are not timed on {name}: {error}"))
    return timers, untimed


def _timer(
    settings: SearchSettings,
    workspace: Workspace,
    space: SearchSpace,
    cap: Cap,
    events: EventHandler,
) -> Timer:
    """What times on the device of a cap.

    Raises:
        EvitError: It is not at hand; the message says why.
    """
    from elasticvit.flows.search_timer import Timer
    from predictors.predictor import LatencyCost

    name = str(cap.device)
    assert isinstance(cap.cost, LatencyCost)
    series = _own_series(workspace, name, cap.cost.predictor)
    events(Phase(text=f"looking whether {name} is at hand"))
    return Timer(
        workspace=workspace,
        space=space,
        series=_same_conditions(series, _info(workspace, name)),
        predictor=cap.cost.predictor,
        keep=name not in (settings.predictor or {}),
        extrapolate=settings.extrapolate,
        events=events,
    )


def _own_series(workspace: Workspace, name: str, predictor: Predictor) -> list[Series]:
    """The series that a predictor may come from, which the device itself measured, the latest
    first."""
    from lut.graphs import check_graphs
    from lut.store import Store
    from predictors.fit import refuse_emulated

    if not workspace.lut_path.exists():
        raise SettingError(f"workspace {workspace.root} has no latency table")
    with Store(workspace.lut_path, read_only=True) as store:
        check_graphs(store, name, predictor.precision)
        series = [one for one in store.series(name, predictor.precision) if not one.imported]
    if not series:
        told = name + in_words(predictor.precision)
        raise SettingError(f"{told} was not profiled here, its latencies come from elsewhere")
    refuse_emulated(series[0].source)
    same = [one for one in series if one.source == predictor.source]
    series = [one for one in same if predictor.cpu in (None, one.cpu)]
    if not same:
        raise SettingError(
            f"its predictor comes from {predictor.source}, which is not what was profiled here"
        )
    if not series:
        raise SettingError(f"it was not profiled here with {predictor.cpu}, as its predictor was")
    return series


def _info(workspace: Workspace, name: str) -> DeviceInfo:
    """Facts of a device that answers now."""
    from devices import open_device

    with open_device(name, workspace) as device:
        return device.info


def _same_conditions(series: list[Series], info: DeviceInfo) -> Series:
    """The latest of the series that the device can go on with."""
    now = (info.source, info.runtime, info.runtime_hash)
    for one in series:
        if (one.source, one.runtime, one.runtime_hash) == now:
            return one
    raise SettingError(
        f"it has {info.runtime} on {info.source} now, and was profiled with {series[0].runtime} on "
        f"{series[0].source}"
    )
