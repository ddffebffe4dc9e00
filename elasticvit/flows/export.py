"""Export the subnet of a search as a file, compare it with torch, and time it on a device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.errors import DeviceError, ExportError, SettingError
from elasticvit.events import EventHandler, Phase, ignore
from elasticvit.flows.export_events import (
    ComparisonProgress,
    DeviceCheckStarted,
    ExportPlanned,
    ExportStarted,
    FreshRunStarted,
    ModelConverted,
    TimingStarted,
)
from elasticvit.flows.export_place import ExportPlace
from elasticvit.flows.export_remark import arithmetic_remark
from elasticvit.flows.export_result import ExportedFile, ExportResult
from elasticvit.flows.export_settings import ExportSettings, InFolder
from elasticvit.flows.settings import WorkspaceLike, settings_of
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.flows.export_subject import ExportSubject
    from elasticvit.nn import Subnet
    from elasticvit.nn.timm_network import TimmNetwork
    from elasticvit.training.data import ImageData
    from export.backend import Backend, LoadedModel
    from export.calibration import Calibration
    from export.card import Card
    from export.parity import Parity
    from export.proof_images import ProofImages

__all__ = ["ExportResult", "ExportSettings", "export"]

DEFAULT_FORMAT = "tflite"
BATCH = 64  # images that torch answers at once
DEFAULT_DEVICE = "host"


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
            to the same path.
        FileError: The file cannot be written.
        DeviceError: The device that was named does not answer; the model file is kept, untimed.
    """
    given = {"search": search, "out": out}
    changes |= {name: value for name, value in given.items() if value is not None}
    settings = settings_of(ExportSettings, settings, changes)

    from export.backend import find_backend

    backends = [find_backend(name) for name in _formats(settings)]
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
    """The export itself: nothing is written before everything is known."""
    from elasticvit.flows.export_device_check import MOST_IMAGES
    from elasticvit.flows.export_open import open_subject
    from elasticvit.flows.export_proof import bundled, proof_images
    from export.conversion import check_converts, check_takes

    searched = open_subject(settings, place)
    precision = settings.precision or searched.precision
    for backend in backends:
        check_takes(backend, precision)
        check_converts(backend, searched.subnet)
    images = searched.images()
    for remark in searched.remarks:
        events(remark)
    names = place.file_names(backends)
    made = [
        (backend, *_made(settings, backend, name, searched, images, place, events))
        for backend, name in zip(backends, names, strict=True)
    ]
    kept = None
    if settings.proof_images or settings.check_on_device:
        kept = proof_images(made, searched.subnet, images, settings.proof_images or MOST_IMAGES)
    if settings.check_on_device and kept is not None:
        made = [_checked(one, kept, searched, settings, place, events) for one in made]
    files, extras = bundled(made, kept if settings.proof_images else None, place.beside)
    folder, model = place.write([(data, one.card) for data, one in files], extras)
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


def _made(
    settings: ExportSettings,
    backend: Backend,
    name: str,
    searched: ExportSubject,
    images: ImageData,
    place: ExportPlace,
    events: EventHandler,
) -> tuple[bytes, ExportedFile]:
    """Content of the file of a format, and all about it; written only if it is rejected.

    Raises:
        ExportError: It cannot be made, or its logits or its accuracy differ from torch's.
    """
    from elasticvit.flows.export_calibration import calibration_images
    from export.accuracy_drop import AccuracyDrop
    from export.calibration import CALIBRATED
    from export.conversion import convert, load

    subnet, precision = searched.subnet, settings.precision or searched.precision
    told = network_name(subnet)
    events(ExportStarted(name=told, format=backend.name, precision=precision))
    pixels, calibration = None, None
    if precision in CALIBRATED:
        events(Phase(text="reading training images to calibrate with"))
        pixels, calibration = calibration_images(images, subnet.resolution)
    started_s = time.monotonic()
    data = convert(backend, subnet, precision, pixels)
    seconds = time.monotonic() - started_s
    events(ModelConverted(bytes=len(data), seconds=seconds))
    parity = _parity(load(backend, data), subnet, images, settings.images, events)
    if not searched.labelled:
        parity = parity.unlabelled()
    parity.check(f"the {backend.name} export", precision)
    card = _card(backend, data, searched, images, parity, precision, calibration)
    card = replace(card, file=name)
    drop = AccuracyDrop.of(parity, settings.max_accuracy_drop)
    if drop.rejected:
        at = place.write_rejected(data, card)
        raise ExportError(
            f"the {backend.name} export is too inaccurate: {drop}. The file is kept at {at}, to be "
            "looked at; allow a larger drop, or try another format or precision",
            settings=["max_accuracy_drop", "format", "precision"],
        )
    card, untimed = _timed(card, backend, data, searched, settings, place.workspace, events)
    return data, ExportedFile(card=card, seconds=seconds, drop=drop, untimed=untimed)


def _checked(
    made: tuple[Backend, bytes, ExportedFile],
    images: ProofImages,
    searched: ExportSubject,
    settings: ExportSettings,
    place: ExportPlace,
    events: EventHandler,
) -> tuple[Backend, bytes, ExportedFile]:
    """A file whose logits on the device are compared with those here, if devices run its format.

    Raises:
        ExportError: It is wrong on the device; it is kept as a rejected file.
    """
    from elasticvit.flows.export_device_check import check_on_device, refused

    backend, data, one = made
    if not backend.tflite:
        return made
    device = _device(settings, searched, place.workspace)
    events(DeviceCheckStarted(device=device))
    try:
        check = check_on_device(place.workspace, device, data, one.card, images)
    except DeviceError as error:
        return backend, data, replace(one, unchecked=error)
    card = replace(one.card, device_check=check)
    if not check.passed:
        at = place.write_rejected(data, card)
        raise refused(check, f"the {backend.name} export, kept at {at},")
    return backend, data, replace(one, card=card)


def _device(settings: ExportSettings, searched: ExportSubject, workspace: Workspace | None) -> str:
    """Name of the device that was named, or was searched for, or used last."""
    last = None if workspace is None else workspace.device()
    return settings.device or searched.device or last or DEFAULT_DEVICE


def network_name(network: Subnet | TimmNetwork) -> str:
    """The architecture of a subnet, or the name of another network."""
    return str(network.name if network.arch is None else network.arch)


def _formats(settings: ExportSettings) -> tuple[str, ...]:
    """The formats that were named, the one of the suffix of `out`, or the default."""
    if settings.formats:
        return settings.formats
    suffix = Path(settings.out).suffix if settings.out is not None else ""
    if not suffix:
        return (DEFAULT_FORMAT,)
    from export.backend import format_of_suffix

    return (format_of_suffix(suffix),)


def _parity(
    model: LoadedModel,
    subnet: Subnet | TimmNetwork,
    images: ImageData,
    limit: int,
    events: EventHandler,
) -> Parity:
    """The exported model compared with torch on at most `limit` test images."""
    from export.parity import compare

    total = min(limit, images.info.test_images)
    loader = images.loader(
        "test",
        resolution=subnet.resolution,
        batch_size=BATCH,
        shuffle=total < images.info.test_images,
    )
    return compare(
        subnet,
        model,
        loader,
        limit=limit,
        progress=lambda done: events(ComparisonProgress(done=done, total=total)),
    )


def _card(
    backend: Backend,
    data: bytes,
    searched: ExportSubject,
    images: ImageData,
    parity: Parity,
    precision: str,
    calibration: Calibration | None,
) -> Card:
    """The card of a model that is not timed yet."""
    from elasticvit.flows.export_proof import licence_of
    from elasticvit.training.decoded_batches import seen_share
    from export.bundle import MODEL_NAME, sha256
    from export.card import Card, ImageInput
    from export.conversion import inspect, tensor_types, undelegated, versions

    in_memory = images.test.pixels is not None
    operators, partitions = inspect(backend, data)
    network, resolution = searched.subnet, searched.subnet.resolution
    return Card(
        format=backend.name,
        file=MODEL_NAME + backend.suffix,
        bytes=len(data),
        sha256=sha256(data),
        arch=network.arch,
        layout=network.layout,
        model=None if network.arch is not None else network_name(network),
        input=ImageInput(
            shape=(1, resolution, resolution, network.in_chans),
            mean=images.mean,
            std=images.std,
            fit="crop_then_resize" if in_memory else "resize_then_crop",
            crop=1.0 if in_memory else seen_share(resolution),
        ),
        classes=network.num_classes,
        labels=images.class_names,
        macs_m=searched.macs_m,
        parity=parity,
        sources={
            "licence": licence_of(str(searched.sources.get("run"))),
            **searched.sources,
            "data_name": images.info.name,
        },
        versions=versions(backend, precision),
        operators=operators,
        partitions=partitions,
        undelegated=undelegated(backend, data),
        precision=precision,
        tensor_types=tensor_types(backend, data),
        calibration=calibration,
    )


def _timed(
    card: Card,
    backend: Backend,
    data: bytes,
    searched: ExportSubject,
    settings: ExportSettings,
    workspace: Workspace | None,
    events: EventHandler,
) -> tuple[Card, DeviceError | None]:
    """The card with what the file does in fresh processes of this computer, and with its latency
    on a device, or why there is none; and the error of a device that does not answer.

    Raises:
        ExportError: A runtime refuses the model.
    """
    from devices.host.facts import cpu_model
    from elasticvit.flows.export_timing import is_imported, time_export, time_here
    from export.card import timed
    from export.fresh_run import run_fresh

    events(FreshRunStarted())
    samples = run_fresh(backend, data, card.input.shape, cpu_model())
    card = replace(card, fresh=samples.run)
    if not backend.tflite:  # no device times it
        return timed(card, time_here(samples)), None
    device = _device(settings, searched, workspace)
    events(TimingStarted(device=device))
    prediction = searched.predictions.get(device)
    if prediction is not None and card.precision != searched.precision:
        prediction = prediction.of_another_precision()
    try:
        timing = time_export(
            workspace, device, data, searched.subnet.layout, prediction, card.precision
        )
    except DeviceError as error:
        if is_imported(workspace, device):
            error = type(error)(
                f"the latencies of {device} were imported, and the device itself cannot be timed "
                f"here ({error}); name device {DEFAULT_DEVICE} to time the model on this computer",
                settings=["device"],
            )
        return replace(card, untimed=str(error)), error
    return timed(card, timing), None
