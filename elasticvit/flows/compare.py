"""Compare exports, winners of searches and any other TFLite files on one device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elasticvit.errors import FileError
from elasticvit.events import EventHandler, Notice, Phase, ignore
from elasticvit.files import write_atomic
from elasticvit.flows.compare_settings import CompareSettings
from elasticvit.flows.model_timing_settings import rounds_of
from elasticvit.flows.settings import WorkspaceLike, settings_of, workspace_of
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elasticvit.flows.compare_candidates import Candidate
    from elasticvit.flows.compare_result import Compared, Comparison, Ratio
    from elasticvit.flows.model_timing_result import DeviceTiming, ModelTiming

__all__ = ["CompareSettings", "compare"]


def compare(
    settings: CompareSettings | None = None,
    *,
    workspace: WorkspaceLike = None,
    events: EventHandler = ignore,
    **changes: Any,
) -> Comparison:
    """Time several models in one interleaved session on one device, and write a table and a page.

    The raw runs, `compare.csv` and `compare.html` lie in a new folder of the workspace's `timings`.
    Ratios to the first model are made of pairs: both models in the same round.

    Args:
        settings: What to compare; `models` must be given here or below.
        workspace: Workspace or its folder; `.evit` by default.
        events: Receives `TimingProgress`, `Phase` and `Notice` events; what it raises ends the
            session.
        changes: Single settings by name, such as `models=["a.tflite", "b.tflite"]`.

    Returns:
        The comparison. If the device went away after some rounds, `Comparison.timing.ended` says
        so.

    Raises:
        SettingError: A setting is out of range, or a model is named twice.
        ExportError: A path holds no model, a damaged one, or every one is refused by the runtime.
        CheckpointError: The folder of a search is damaged.
        DeviceError: The device cannot be used, or failed before anything was measured.
        StoreError: The device is being profiled.
        FileError: The results cannot be written.
    """
    chosen = settings_of(CompareSettings, settings, changes)
    here = workspace_of(workspace)
    events(Phase(text="reading the models and looking how they are delegated"))
    from elasticvit.flows.compare_candidates import candidates
    from elasticvit.flows.compare_page import render
    from elasticvit.flows.compare_result import Comparison

    found = candidates(chosen.models, events)
    timing = _timed(chosen, here, found, events)
    result = Comparison(timing=timing, models=tuple(_compared(found, timing)))
    try:
        write_atomic(result.csv, result.to_csv())
        write_atomic(result.page, render(result))
    except FileError as error:
        raise FileError(f"{error} (the raw runs are kept in {timing.folder})") from error
    return result


def _timed(
    settings: CompareSettings,
    workspace: Workspace,
    found: Sequence[Candidate],
    events: EventHandler,
) -> DeviceTiming:
    from devices import open_device
    from elasticvit.flows.export_timing import measurable_device
    from elasticvit.flows.model_session import ModelSession
    from elasticvit.flows.tables import latency_table

    name = settings.device or measurable_device(workspace)
    rounds = rounds_of(settings.rounds, len(found))
    session = ModelSession(
        workspace=workspace,
        models=[one.model for one in found],
        rounds=rounds,
        threads=settings.threads,
        cores=settings.cores,
        seed=settings.seed,
        command=_command_again(settings, name, rounds),
        events=events,
    )
    device = open_device(name, workspace, notice=lambda text: events(Notice(text=text)))
    events(Phase(text=f"opening {name}"))
    with latency_table(workspace) as store, store.exclusive(name), device as opened:
        return session.run(opened, name)


def _compared(found: Sequence[Candidate], timing: DeviceTiming) -> list[Compared]:
    from elasticvit.flows.compare_result import Compared

    names = [one.model.name for one in found]
    first = timing.timings.get(names[0])
    return [
        Compared(
            candidate=one,
            timing=timing.timings.get(name),
            refused=timing.refused.get(name),
            ratio=None if name == names[0] else _ratio(timing.timings.get(name), first),
        )
        for one, name in zip(found, names, strict=True)
    ]


def _ratio(one: ModelTiming | None, first: ModelTiming | None) -> Ratio | None:
    """Latency of one model over that of the first, by the rounds in which both were timed."""
    import numpy as np

    from elasticvit.flows.compare_result import Ratio
    from lut.interval import ratio_interval

    if one is None or first is None:
        return None
    both = sorted(set(one.rounds_ms) & set(first.rounds_ms))
    if not both:
        return None
    pairs = np.array([(one.rounds_ms[i], first.rounds_ms[i]) for i in both])
    low, value, high = ratio_interval(pairs[:, 0], pairs[:, 1])
    return Ratio(value=value, low=low, high=high, rounds=len(both))


def _command_again(settings: CompareSettings, device: str, rounds: int) -> list[str]:
    """The words of the command that compares the same models in the same way."""
    words = ["evit-export", "--compare", *map(str, settings.models), "--device", device]
    words += ["--rounds", str(rounds), "--threads", str(settings.threads)]
    return [*words, "--cores", settings.cores, "--seed", str(settings.seed)]
