"""One architecture out of a trained supernet that was not searched: this project's or the
authors'."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.errors import ArchError, EvitError
from elasticvit.events import Notice
from elasticvit.find import find_arch
from elasticvit.flows.export_search import Prediction
from elasticvit.flows.export_settings import ExportSettings
from elasticvit.flows.export_subject import Fitting, OutsideSubject, without_images
from elasticvit.flows.named_supernet import NamedSupernet
from elasticvit.flows.places import path_text
from elasticvit.nn import Subnet
from elasticvit.nn.judging import recalibrate
from elasticvit.precisions import FP32
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.training.data import ImageData

BATCH, BATCHES = 64, 8  # training images that give the subnet's batch norms their statistics
NOT_RECALIBRATED = Notice(
    text="without data the batch norms keep the supernet's statistics, a mixture over all "
    "architectures that fits none: the file is as fast as the subnet, and less accurate; name data "
    "to compute them anew",
    warning=True,
)


def supernet_subject(settings: ExportSettings, workspace: Workspace | None) -> OutsideSubject:
    """The subnet of an architecture, with batch norms that are computed anew where there is data.

    Args:
        settings: Settings that name the supernet, the architecture and perhaps the data set.
        workspace: Workspace with predictors of devices; None for none.

    Raises:
        CheckpointError: The supernet is missing, damaged or incomplete.
        ArchError: There is no such architecture, or it lies outside the supernet's space.
        DataError: The data set is unreadable, or has other classes than the supernet.
    """
    source = _source(settings)
    space = source.supernet.space
    assert settings.arch is not None
    try:
        arch = find_arch(settings.arch, space)
    except ArchError as error:
        raise ArchError(f"{error} (the space of {source.name})", settings=["arch"]) from error
    subnet = Subnet.cut(source.supernet, arch)
    data = _data(settings, source)
    labelled, fitting = data is not None, None
    remarks = list(_remarks(source))
    if data is None:
        from elasticvit.training.decoded_batches import seen_share
        from elasticvit.training.random_images import random_images

        data = random_images(source.labels, *source.normalisation)
        remarks += [without_images(data.info.test_images), NOT_RECALIBRATED]
        if source.authors is not None:  # others were trained on images in memory, as these are
            fitting = Fitting(fit="resize_then_crop", crop=seen_share(arch.resolution))
    else:
        recalibrate(subnet, _training(data, arch), BATCHES)
    precision = settings.precision or FP32
    return OutsideSubject(
        subnet=subnet,
        data=data,
        labelled=labelled,
        macs_m=float(MacsCost(space).price(ArchBatch.of([arch]))[0]),
        precision=precision,
        predictions=_predictions(settings, workspace, space, arch, precision),
        sources=_facts(source, space, data, labelled),
        remarks=tuple(remarks),
        fitting=fitting,
    )


def _source(settings: ExportSettings) -> NamedSupernet:
    """The supernet that is named, of this project or of the authors.

    Raises:
        CheckpointError: It is missing, damaged or incomplete.
    """
    if settings.official_checkpoint is not None:
        path = Path(settings.official_checkpoint)
        return NamedSupernet.of_authors(path, "official_checkpoint")
    return NamedSupernet.load(settings.supernet or "")


def _data(settings: ExportSettings, source: NamedSupernet) -> ImageData | None:
    """The data set that is named, or that of the training run; None if there is none."""
    spec = source.data if settings.data is None else str(settings.data)
    return None if spec is None else source.images(spec)


def _training(data: ImageData, arch: Arch) -> Any:
    return data.loader("train", resolution=arch.resolution, batch_size=BATCH, shuffle=True)


def _remarks(source: NamedSupernet) -> list[Notice]:
    """What is to be said of the authors' file."""
    if source.authors is None:
        return []
    from elasticvit.nn.state_file import names_in_short

    found, told = source.authors, []
    if found.averaged:
        text = f"the weights are the moving average of the training ({found.place})"
        told.append(Notice(text=text))
    if found.unexpected:
        names = names_in_short(list(found.unexpected))
        told.append(Notice(text=f"the checkpoint has unknown names: {names}", warning=True))
    return told


def _facts(
    source: NamedSupernet, space: SearchSpace, data: ImageData, labelled: bool
) -> dict[str, Any]:
    own = path_text(Path(source.name)) if Path(source.name).exists() else source.name
    return {
        "space": space.name,
        "data": data.info.spec,
        "run": own,
        "entry": source.authors.place if source.authors else None,
        "recalibrated": labelled,
    }


def _predictions(
    settings: ExportSettings,
    workspace: Workspace | None,
    space: SearchSpace,
    arch: Arch,
    precision: str,
) -> dict[str, Prediction]:
    """Predicted latency in a precision on the device that is timed, if the workspace has its
    predictor."""
    device = settings.device or (None if workspace is None else workspace.device())
    if workspace is None or device is None:
        return {}
    from elasticvit.flows.latency import load_latency

    try:
        latency = load_latency(device, space=space, precision=precision, workspace=workspace)
        found = latency.predict(arch)
    except EvitError:  # no profile of this device in this precision, or of other kernels
        return {}
    upper = None if found.upper_ms is None else float(found.upper_ms)
    told = Prediction(predicted_ms=float(found.median_ms), upper_ms=upper, cpu=latency.cpu)
    return {device: told}
