"""One profile from the opening of its devices to their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from elasticvit.cpu_setting import in_words as settings_in_words
from elasticvit.errors import EvitError, FileError
from elasticvit.events import EventHandler, Notice, Phase
from elasticvit.flows.asked import asked_of, profile_path, space_text, write_asked
from elasticvit.flows.learn_settings import LearnSettings
from elasticvit.flows.profile_events import ProfilePlanned
from elasticvit.flows.profile_host import arithmetic_warning
from elasticvit.flows.profile_method import ProfilingMethod
from elasticvit.flows.profile_result import DeviceProfile, ProfileResult
from elasticvit.flows.profile_settings import DEFAULT_MINUTES, ProfileSettings
from elasticvit.precisions import in_words
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace
from lut.profile import ProfileProgress

if TYPE_CHECKING:
    from devices import Device
    from devices.quality import Quality
    from lut.profile import ProfileConfig
    from lut.profile_summary import ProfileSummary
    from lut.store import Store

DEFAULT_SUBNETS = 112  # subnets to fit to if no time budget is named


def profile_devices(
    settings: ProfileSettings,
    workspace: Workspace,
    space: SearchSpace,
    make_method: Callable[[], ProfilingMethod],
    events: EventHandler,
) -> ProfileResult:
    """Measure all devices at the same time into one latency table, then fit a predictor for each
    device in turn.

    Args:
        settings: What to measure, and on what.
        workspace: Workspace of the latency table and the predictors.
        space: Search space that is profiled.
        make_method: Makes the profiling method; called after all device names are resolved, so
            that an unknown device is reported before anything is loaded.
        events: Handler of `ProfilePlanned`, `Phase`, `ProfileProgress` and `Notice` events.

    Raises:
        EvitError: The only device failed, or all devices did; the first error is raised.
    """
    events(_planned(settings, space))
    events(Phase(text="loading the libraries and opening the latency table"))
    import numpy as np

    from devices.fleet import run_fleet
    from elasticvit.flows.profile_devices import DeviceOpener
    from elasticvit.flows.tables import latency_table
    from lut.profile import profile as measure
    from predictors.choice import UncertaintyChoice
    from predictors.workspace_predictors import settle_predictor

    names, config = settings.devices, _profile_config(settings)
    warning = arithmetic_warning(settings.precision, names)
    if warning is not None:
        events(Notice(text=warning, warning=True))
    opener = DeviceOpener(workspace, settings)
    opened = {name: opener.open(name, lambda text: events(Notice(text=text))) for name in names}
    method = make_method()
    with latency_table(workspace) as store:
        for name in names:
            settle_predictor(workspace, store, name, settings.precision)
        events(Phase(text=method.planning))
        plans = {name: method.plan(store, name, config.plan) for name in names}
        events(Phase(text=f"opening {', '.join(names)} and building the first models"))

        def work(name: str, device: Device, check: Callable[[], None]) -> ProfileSummary:
            def progress(event: ProfileProgress) -> None:
                if name not in begun:
                    begun.add(name)
                    write_asked(profile_path(workspace, name), asked)
                opener.remember_runner(name)
                events(event)
                check()

            return measure(
                device,
                space,
                store,
                replace(config, plan=plans[name]),
                rng=np.random.default_rng(settings.seed),
                progress=progress,
                chooser=UncertaintyChoice() if method.chooses else None,
            )

        begun: set[str] = set()
        asked = {**asked_of(settings), "device": list(names), "space": space_text(space)}
        outcomes = run_fleet(opened, work)
        profiles: dict[str, DeviceProfile] = {}
        failed: dict[str, Exception] = {
            name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None
        }
        for name in reversed(names):  # the first one named becomes the default
            summary = outcomes[name].result
            if summary is None:
                continue
            told = name + in_words(settings.precision)
            events(Phase(text=f"fitting the predictor of {told} and writing its report"))
            try:
                quality = opened[name].quality
                profiles[name] = fit_device(workspace, store, space, method, summary, quality)
                profile_path(workspace, name).unlink(missing_ok=True)
                workspace.prune(profile_path(workspace, name).parent)
            except FileError as error:
                failed[name] = FileError(
                    f"{error}; all that was measured of {name} is kept in {workspace.lut_path}"
                )
            except EvitError as error:
                failed[name] = error
    if not profiles:
        raise next(iter(failed.values()))
    workspace.remember(space=space)
    ordered = {name: profiles[name] for name in names if name in profiles}
    return ProfileResult(devices=ordered, failed=failed)


def _planned(settings: ProfileSettings, space: SearchSpace) -> ProfilePlanned:
    learnt = settings if isinstance(settings, LearnSettings) else None
    return ProfilePlanned(
        devices=settings.devices,
        space=space.name,
        budget_s=60 * (settings.budget_minutes or DEFAULT_MINUTES),
        like=() if learnt is None else learnt.sources,
        kernels=None if learnt is None else learnt.budget_kernels,
        precision=settings.precision,
    )


def _profile_config(settings: ProfileSettings) -> ProfileConfig:
    """Settings of the measuring loop that follow from those of the flow."""
    from devices import TimingConfig
    from lut.plan import PlanConfig
    from lut.profile import ProfileConfig

    plan = PlanConfig(seed=settings.seed)
    if settings.budget_minutes is None:
        plan = PlanConfig(seed=settings.seed, max_subnets=DEFAULT_SUBNETS)
    return ProfileConfig(
        budget_s=60 * (settings.budget_minutes or DEFAULT_MINUTES),
        timing=TimingConfig(threads=settings.threads, cores=settings.cores, rounds=settings.rounds),
        plan=plan,
        precision=settings.precision,
    )


def fit_device(
    workspace: Workspace,
    store: Store,
    space: SearchSpace,
    method: ProfilingMethod,
    summary: ProfileSummary,
    quality: Quality | None,
) -> DeviceProfile:
    """Fit and save the predictor of a profiled device, compute its held-out errors, and write the
    HTML report.

    Raises:
        PredictorError: Too little was measured, or the device is an emulator.
    """
    from elasticvit.flows.profile_page import write_page
    from lut.dataset import Dataset
    from predictors.evaluate import held_out_errors
    from predictors.workspace_predictors import predictor_folders

    name, precision, cpu = summary.info.name, summary.series.precision, summary.series.cpu
    data = method.dataset(Dataset.of(store, name, space, summary.series))
    predictor = method.fit(name, data)
    predictor.save(workspace.predictor_path(name, precision, cpu))
    workspace.remember(device=name, precision=precision, cpu=cpu)
    errors = held_out_errors(predictor, data, space)
    notes = [quality.summary()] if quality is not None else []
    notes += method.notes(predictor, data, errors)
    others = [one for one in predictor_folders(workspace, name, precision) if one != cpu]
    if others:
        notes.append(
            f"kept beside it: the predictor of {predictor.name} with {settings_in_words(others)}; "
            f"what follows takes that with {cpu}, which was profiled last, unless threads and "
            "cores are named"
        )
    result = DeviceProfile.of(
        workspace, space, summary, predictor, errors, quality, notes, method.facts(predictor, data)
    )
    return replace(result, report=write_page(workspace, store, data, space, result))
