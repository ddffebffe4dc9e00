"""The predictors of a workspace: one for each device, precision, and threads with cores.

Which one is meant is chosen by `elasticvit.cpu_setting.matching_settings`. Earlier versions kept
one predictor for each device and precision, and did not note its threads and cores; these are those
of the latest series of the latency table that it can come from.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from elasticvit.cpu_setting import DEFAULT_CPU, CpuSetting, matching_settings
from elasticvit.cpu_setting import in_words as settings_in_words
from elasticvit.errors import EvitError, PredictorError
from elasticvit.precisions import FP32, PRECISIONS, in_words, profile_step
from elasticvit.workspace import BETWEEN, Workspace
from predictors.predictor import Predictor, load_predictor
from predictors.predictor_file import PREDICTOR_FORMAT
from predictors.saved import MANIFEST

if TYPE_CHECKING:
    from lut.store import Store


def profiled_precisions(workspace: Workspace, device: str) -> tuple[str, ...]:
    """Precisions that a workspace has a predictor of a device in, in the order of `PRECISIONS`."""
    return tuple(p for p in PRECISIONS if predictor_folders(workspace, device, p))


def predictor_folders(
    workspace: Workspace, device: str, precision: str
) -> dict[CpuSetting | None, Path]:
    """The folders of a device's predictors in a precision, by their threads and cores."""
    base = workspace.predictor_path(device, precision)
    found: dict[CpuSetting | None, Path] = {}
    if _is_there(base):
        found[_noted_setting(workspace, base, precision)] = base
    try:
        folders = sorted(base.glob(f"*{BETWEEN}*"))
    except PermissionError:
        return found
    for folder in folders:
        threads, _, cores = folder.name.partition(BETWEEN)
        if threads.isdecimal() and _is_there(folder):
            found[CpuSetting(int(threads), unquote(cores))] = folder
    return found


def _is_there(folder: Path) -> bool:
    """Whether a folder has a predictor, or must not be looked into; what loads it says so."""
    try:
        return (folder / MANIFEST).exists()
    except PermissionError:
        return True


def load_device_predictor(
    workspace: Workspace,
    device: str,
    precision: str = FP32,
    *,
    threads: int | None = None,
    cores: str | None = None,
    prefer: CpuSetting | None = None,
) -> Predictor:
    """The predictor of a device that was profiled in a precision, or whose table was imported, in a
    workspace.

    Args:
        threads, cores: Threads and cores of its measurements; None for any.
        prefer: Threads and cores to take if there are several; None for those that the device was
            profiled with last.

    Raises:
        PredictorError: No predictor of that name, precision, threads or cores (those there are
            named), one that says that it is of others, or as `load_predictor`.
    """
    if device not in _devices(workspace, device, precision):
        raise _no_predictor(workspace, device, precision)
    known = profiled_precisions(workspace, device)
    if precision not in known and (known or precision != FP32):
        others = ", ".join(known) or "none"
        raise PredictorError(
            f"no predictor of device {device!r} in {precision} in workspace {workspace.root}: it "
            f"was profiled in {others}, and latencies of one precision say nothing about another; "
            f"profile it in {precision} first, or name a precision that it was profiled in",
            settings=("precision",),
            next_step=profile_step(device, precision, threads, cores),
        )
    folders = predictor_folders(workspace, device, precision)
    last = prefer or workspace.cpu_setting(device)
    chosen = matching_settings(folders, last, threads, cores)
    if folders and not chosen:
        named = [f"{threads} threads"] if threads is not None else []
        named += [f"cores {cores}"] if cores is not None else []
        raise PredictorError(
            f"no predictor of device {device!r}{in_words(precision)} with {' on '.join(named)} in "
            f"workspace {workspace.root}: it was profiled with {settings_in_words(folders)}; "
            "profile it so first, or name threads and cores that it was profiled with",
            settings=("device_threads", "device_cores"),
            next_step=profile_step(device, precision, threads, cores),
        )
    cpu = chosen[0] if chosen else None
    folder = folders[cpu] if chosen else workspace.predictor_path(device, precision)
    predictor = load_predictor(folder)
    if predictor.precision != precision:
        raise PredictorError(
            f"the predictor in {folder} is of {predictor.precision}; it must be of {precision}, as "
            "the place of its folder says: move it away, and profile the device again",
            next_step=profile_step(device, precision),
        )
    if predictor.cpu not in (None, cpu):
        raise PredictorError(
            f"the predictor in {folder} is of {predictor.cpu}; it must be of {cpu}, as the name of "
            "its folder says: move it away, and profile the device again",
            next_step=profile_step(device, precision),
        )
    return replace(predictor, cpu=cpu)


def settle_predictor(workspace: Workspace, store: Store, device: str, precision: str) -> None:
    """Note threads and cores in the predictor of an earlier version, and move it to their folder,
    before the latency table gets other latencies of its device.

    Raises:
        FileError: It cannot be written.
    """
    base = workspace.predictor_path(device, precision)
    try:
        old = load_predictor(base) if _is_there(base) else None
    except PredictorError:  # damaged; what loads it says so
        return
    if old is None or old.cpu is not None or not old.report.recorded:
        return
    cpu = _setting_of_source(store, device, precision, old.source)
    if cpu is None:
        return
    place = workspace.predictor_path(device, precision, cpu)
    if place == base:
        replace(old, cpu=cpu).save(base)
    elif not _is_there(place):
        replace(old, cpu=cpu).save(place)
        (base / MANIFEST).unlink()


def _noted_setting(workspace: Workspace, folder: Path, precision: str) -> CpuSetting | None:
    """Threads and cores of the predictor in the folder of a device or of a precision."""
    from lut.store import Store

    try:
        file = PREDICTOR_FORMAT.read_json(folder / MANIFEST)
    except PredictorError:  # damaged; what loads it says so
        return DEFAULT_CPU
    if file.cpu is not None or not file.report.recorded or not workspace.lut_path.exists():
        return file.cpu
    try:
        with Store(workspace.lut_path, read_only=True) as store:
            return _setting_of_source(store, file.device, precision, file.source)
    except EvitError:  # a damaged table tells nothing
        return None


def _setting_of_source(store: Store, device: str, precision: str, source: str) -> CpuSetting | None:
    """Threads and cores of the latest series of a device in a precision from a source."""
    series = store.series(device, precision)
    return next((one.cpu for one in series if one.source == source), None)


def _devices(workspace: Workspace, device: str, precision: str) -> list[str]:
    """Names of the devices that have a folder of predictors."""
    base: Path = workspace.predictors_path
    try:
        return sorted(p.name for p in base.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PredictorError(
            f"{base} cannot be read: {error.strerror}; move it away, and profile the device again",
            next_step=profile_step(device, precision),
        ) from error


def _no_predictor(workspace: Workspace, device: str, precision: str) -> PredictorError:
    known = _devices(workspace, device, precision)
    others = f"; there is one for {', '.join(known)}" if known else ""
    return PredictorError(
        f"no predictor of device {device!r} in workspace {workspace.root}{others}: profile the "
        "device first",
        settings=("device",),
        next_step=profile_step(device, precision),
    )
