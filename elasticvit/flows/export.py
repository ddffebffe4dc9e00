"""Export the subnet of a search as a file, compare it with torch, and time it on a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.errors import ExportError, SettingError
from elasticvit.events import EventHandler, Notice, Phase, ignore
from elasticvit.flows.export_events import ExportPlanned
from elasticvit.flows.export_place import ExportPlace
from elasticvit.flows.export_remark import arithmetic_remark
from elasticvit.flows.export_result import ExportResult
from elasticvit.flows.export_settings import ExportSettings, InFolder
from elasticvit.flows.settings import WorkspaceLike, settings_of

if TYPE_CHECKING:
    from elasticvit.flows.export_file import Calibrated
    from elasticvit.flows.export_proof import Made
    from export.backend import Backend

__all__ = ["ExportResult", "ExportSettings", "export"]

DEFAULT_FORMAT = "tflite"


def export(
    search: InFolder | Path | str | None = None,
    out: Path | str | None = None,
    *,
    settings: ExportSettings | None = None,
    workspace: WorkspaceLike = None,
    events: EventHandler = ignore,
    **changes: Any,
) -> ExportResult:
    """Export the subnet that a search chose, or another network.

    The file is compared with torch on held-out images, and refused if it differs by more than
    rounding; a TFLite file is then timed on a device. `export(result, "model.tflite")` needs no
    workspace: the card and the labels are written beside the model.

    Args:
        search: Folder of the search, or what the search flow returned; by default the latest one
            of the workspace.
        out: Path to write the model to (see `ExportSettings.out`).
        settings: Settings; by default those of `ExportSettings()`.
        workspace: Workspace or its folder; by default the one that the search lies in, or `.evit`
            in the current folder.
        events: Handler of export events; what it raises ends the export.
        changes: Single settings by name.

    Raises:
        SettingError: A setting makes no sense, or contradicts another.
        WorkspaceError: The workspace is foreign, or has no search.
        CheckpointError: The search's folder holds no finished search, or a damaged one; or weights
            are missing, damaged or of another network.
        ArchError: The architecture lies outside the supernet's space.
        ModelError: The network cannot be made.
        DataError: The data set is gone or unreadable, or of other classes than the weights.
        ExportError: There is no such format, the conversion failed, the file differs from torch,
            something else than an earlier export would be overwritten, or another process exports
            to the same path. Of several formats, the proven files are kept and named.
        FileError: The file cannot be written.
        DeviceError: The device that was named does not answer; the model file is kept, untimed.
    """
    given = {"search": search, "out": out}
    changes |= {name: value for name, value in given.items() if value is not None}
    settings = settings_of(ExportSettings, settings, changes)

    backends = _backends(settings, events)
    if settings.check_on_device and not any(backend.tflite for backend in backends):
        raise SettingError(
            "check_on_device is true, and no format makes TFLite files, which alone run on "
            "devices; add format tflite",
            settings=["check_on_device", "format"],
        )
    place = ExportPlace.of(settings, workspace, backends)
    events(
        ExportPlanned(
            subject=settings.outside or f"search {place.search}",
            format=",".join(backend.name for backend in backends),
            images=settings.images,
            timed=True,
        )
    )
    events(Phase(text="loading the network and its images"))

    with place.locked():
        return _export(settings, backends, place, events)


def _export(
    settings: ExportSettings, backends: Sequence[Backend], place: ExportPlace, events: EventHandler
) -> ExportResult:
    """The export itself: nothing is written before everything is known. Files of formats that are
    refused are left out; the others are kept."""
    from elasticvit.flows.export_calibration import calibration_images
    from elasticvit.flows.export_device_check import MOST_IMAGES
    from elasticvit.flows.export_file import checked_file, made_file
    from elasticvit.flows.export_open import check_calibration, open_subject
    from elasticvit.flows.export_proof import bundled, proof_images
    from elasticvit.flows.export_refusal import collected, refusal
    from export.calibration import CALIBRATED
    from export.conversion import check_takes

    searched = open_subject(settings, place)
    precision = settings.precision or searched.precision
    check_calibration(settings, searched, precision)
    for backend in backends:
        check_takes(backend, precision)
    images = searched.images()
    for remark in searched.remarks:
        events(remark)
    calibrated: Calibrated = (None, None)
    if precision in CALIBRATED:
        events(Phase(text="reading training images to calibrate with"))
        calibrated = calibration_images(images, searched.subnet.resolution)
    names = place.file_names(backends)
    refused: list[ExportError] = []
    made: list[Made] = []
    for backend, name in zip(backends, names, strict=True):
        with collected(refused):
            about = (settings, backend, name, searched, images, calibrated, place, events)
            made.append((backend, *made_file(*about)))
    kept = None
    if made and (settings.proof_images or settings.check_on_device):
        kept = proof_images(made, searched.subnet, images, settings.proof_images or MOST_IMAGES)
    if settings.check_on_device and kept is not None:
        unchecked, made = made, []
        for one_made in unchecked:
            with collected(refused):
                made.append(checked_file(one_made, kept, searched, settings, place, events))
    if not made:
        raise refusal(refused, [])
    proven = place.file_names([backend for backend, _, _ in made])
    files, extras = bundled(made, proven, kept if settings.proof_images else None, place.beside)
    folder, model = place.write([(data, one.card) for data, one in files], extras)
    if refused:
        raise refusal(refused, [folder / name for name in proven])
    first = files[0][1]
    for _, one in files:
        untimed = one.untimed if settings.device is not None else None  # its absence matters
        for error, how in ((untimed, "untimed"), (one.unchecked, "unchecked")):
            if error is not None:
                raise type(error)(
                    f"{error} (the model is kept, {how}, at {model})",
                    settings=error.settings,
                    next_step=error.next_step,
                ) from error
    return ExportResult(
        model=model,
        folder=folder,
        card=first.card,
        seconds=first.seconds,
        untimed=first.untimed,
        files=tuple(one for _, one in files),
        remark=arithmetic_remark(precision),
    )


def _backends(settings: ExportSettings, events: EventHandler) -> list[Backend]:
    """The formats, or those that stand in for them where the network is no subnet.

    Raises:
        ExportError: There is no such format, or it does not take the network.
    """
    from export.backend import find_backend
    from export.conversion import for_any_network

    named = _formats(settings)
    backends = [find_backend(name) for name in named]
    if settings.timm is None:
        return backends
    found = for_any_network(named, settings.timm)
    for name, used in zip(named, found, strict=True):
        if name != used:
            text = f"format {name} writes subnets of this project; {used} converts {settings.timm}"
            events(Notice(text=text))
    return [find_backend(name) for name in found]


def _formats(settings: ExportSettings) -> tuple[str, ...]:
    """The formats that were named, the one of the suffix of `out`, or the default."""
    if settings.formats:
        return settings.formats
    suffix = Path(settings.out).suffix if settings.out is not None else ""
    if not suffix:
        return (DEFAULT_FORMAT,)
    from export.backend import format_of_suffix

    return (format_of_suffix(suffix),)
