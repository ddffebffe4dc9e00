"""Time model files on devices with the care that kernels are timed with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from elasticvit.events import EventHandler, Notice, Phase, ignore
from elasticvit.flows.model_events import TimingProgress
from elasticvit.flows.model_timing_settings import ModelTimingSettings, rounds_of
from elasticvit.flows.settings import WorkspaceLike, settings_of, workspace_of

if TYPE_CHECKING:
    from devices import Device
    from elasticvit.flows.model_timing_result import DeviceTiming, ModelTimings

__all__ = ["ModelTimingSettings", "TimingProgress", "time_models"]


def time_models(
    settings: ModelTimingSettings | None = None,
    *,
    workspace: WorkspaceLike = None,
    events: EventHandler = ignore,
    **changes: Any,
) -> ModelTimings:
    """Time TFLite files on devices: in interleaved rounds, with calibration models around every
    model where the device supports them, and with all raw runs kept.

    Each device has a folder of its own in the workspace's `timings`: the raw runs, which are
    written as they are made, and a summary. They are never added to the latency table.

    Args:
        settings: What to time; `model` must be given here or below.
        workspace: Workspace or its folder; `.evit` by default.
        events: Receives `TimingProgress`, `Phase` and `Notice` events, from one thread a device;
            what it raises ends the session.
        changes: Single settings by name, such as `model="net.tflite"`.

    Returns:
        The latencies by device. A device that fails is in `ModelTimings.failed`, with what was
        measured before in `ModelTimings.devices`.

    Raises:
        SettingError: A setting is out of range or contradicts another.
        ExportError: A file cannot be read, is no TFLite model, or is refused by the runtime.
        DeviceError: No device could be timed on.
        StoreError: The device is being profiled.
        FileError: The raw runs cannot be written.
    """
    chosen = settings_of(ModelTimingSettings, settings, changes)
    here = workspace_of(workspace)
    events(Phase(text="reading the models and looking how they are delegated"))
    from devices.fleet import run_fleet
    from elasticvit.flows.model_files import read_models
    from elasticvit.flows.model_session import ModelSession
    from elasticvit.flows.model_timing_result import ModelTimings
    from elasticvit.flows.profile_devices import DeviceOpener
    from elasticvit.flows.tables import latency_table

    models = read_models(chosen.models)
    opener = DeviceOpener(here, chosen)
    names = chosen.devices
    opened = {name: opener.open(name, lambda text: events(Notice(text=text))) for name in names}
    session = ModelSession(
        workspace=here,
        models=models,
        rounds=rounds_of(chosen.rounds, len(models)),
        threads=chosen.threads,
        cores=chosen.cores,
        seed=chosen.seed,
        command=_command_again(chosen),
        events=events,
    )
    with latency_table(here) as store:

        def work(name: str, device: Device, check: Callable[[], None]) -> DeviceTiming:
            with store.exclusive(name):
                found = session.run(device, name, check)
            opener.remember_runner(name)
            return found

        events(Phase(text=f"opening {', '.join(names)}"))
        outcomes = run_fleet(opened, work)
    done = {name: one.result for name, one in outcomes.items() if one.result is not None}
    failed: dict[str, Exception] = {
        name: one.error for name, one in outcomes.items() if one.error is not None
    }
    failed |= {name: one.ended for name, one in done.items() if one.ended is not None}
    if not done:
        raise next(iter(failed.values()))
    return ModelTimings(devices=done, failed=failed)


def _command_again(settings: ModelTimingSettings) -> list[str]:
    """The words of the command that times the same models in the same way."""
    words = ["evit-profile"]
    for path in settings.models:
        words += ["--model", str(path)]
    for name in settings.devices:
        words += ["--device", name]
    words += ["--rounds", str(rounds_of(settings.rounds, len(settings.models)))]
    words += ["--threads", str(settings.threads), "--cores", settings.cores]
    words += ["--seed", str(settings.seed)]
    for option in ("address", "serial", "runner"):
        value = getattr(settings, option)
        words += [] if value is None else [f"--{option}", str(value)]
    return words
