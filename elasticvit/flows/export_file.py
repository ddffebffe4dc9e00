"""One file of an export: converted, compared with torch, loaded and run, timed, checked."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from elasticvit.errors import DeviceError, ExportError
from elasticvit.events import EventHandler
from elasticvit.flows.export_events import (
    ComparisonProgress,
    DeviceCheckStarted,
    ExportStarted,
    FreshRunStarted,
    ModelConverted,
    TimingStarted,
)
from elasticvit.flows.export_place import ExportPlace
from elasticvit.flows.export_result import ExportedFile
from elasticvit.flows.export_settings import ExportSettings
from elasticvit.names import HOST
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from elasticvit.arrays import Float32Array
    from elasticvit.flows.export_subject import ExportSubject
    from elasticvit.nn import Subnet
    from elasticvit.nn.timm_network import TimmNetwork
    from elasticvit.training.data import ImageData
    from export.backend import Backend, LoadedModel
    from export.calibration import Calibration
    from export.card import Card
    from export.parity import Parity
    from export.proof_images import ProofImages

Calibrated = tuple["Sequence[Float32Array] | None", "Calibration | None"]
BATCH = 64  # images that torch answers at once


def made_file(
    settings: ExportSettings,
    backend: Backend,
    name: str,
    searched: ExportSubject,
    images: ImageData,
    calibrated: Calibrated,
    place: ExportPlace,
    events: EventHandler,
) -> tuple[bytes, ExportedFile]:
    """Content of the file of a format, and all about it; written only if it is rejected.

    Args:
        calibrated: What `calibration_images` gives, for a precision that needs it.

    Raises:
        ExportError: It cannot be made, or its logits or its accuracy differ from torch's.
    """
    from export.accuracy_drop import AccuracyDrop
    from export.conversion import convert, load

    subnet, precision = searched.subnet, settings.precision or searched.precision
    told = network_name(subnet)
    events(ExportStarted(name=told, format=backend.name, precision=precision))
    pixels, calibration = calibrated
    started_s = time.monotonic()
    data = convert(backend, subnet, precision, pixels)
    seconds = time.monotonic() - started_s
    events(ModelConverted(bytes=len(data), seconds=seconds))
    parity = compare_file(load(backend, data), subnet, images, settings.images, events)
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


def checked_file(
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


def compare_file(
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
    from elasticvit.flows.export_subject import fitting_of
    from export.bundle import MODEL_NAME, sha256
    from export.card import Card
    from export.card_parts import ImageInput
    from export.conversion import inspect, tensor_types, undelegated, versions

    operators, partitions = inspect(backend, data)
    network, resolution = searched.subnet, searched.subnet.resolution
    fitting = searched.fitting or fitting_of(images, resolution)
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
            fit=fitting.fit,
            crop=fitting.crop,
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
                f"here ({error}); name device {HOST} to time the model on this computer",
                settings=["device"],
            )
        return replace(card, untimed=str(error)), error
    return timed(card, timing), None


def _device(settings: ExportSettings, searched: ExportSubject, workspace: Workspace | None) -> str:
    """Name of the device that was named, or was searched for, or used last."""
    last = None if workspace is None else workspace.device()
    return settings.device or searched.device or last or HOST


def network_name(network: Subnet | TimmNetwork) -> str:
    """The architecture of a subnet, or the name of another network."""
    return str(network.name if network.arch is None else network.arch)
