"""A network of timm's as the subject of an export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from elasticvit.errors import DataError, EvitError, ModelError
from elasticvit.events import Notice
from elasticvit.flows.export_settings import ExportSettings
from elasticvit.flows.export_subject import Fitting, OutsideSubject, without_images
from elasticvit.flows.imagenet_labels import class_numbers, imagenet_labels
from elasticvit.flows.places import path_text
from elasticvit.nn.timm_network import TimmNetwork, enliven
from elasticvit.nn.timm_weights import (
    check_timm_name,
    timm_network,
    timm_network_of_file,
    timm_weights_format,
)
from export.quiet import cause_of

if TYPE_CHECKING:
    from elasticvit.training.data import ImageData

SEED = 0
IMAGES = 16  # that give fresh batch norms their statistics
NO_WEIGHTS = Notice(
    text="no file of weights is named, so the weights are random, drawn like trained ones so that "
    "no branch vanishes: size and latency are those of the network, its answers mean nothing",
    warning=True,
)


def timm_subject(settings: ExportSettings) -> OutsideSubject:
    """A network of timm's, with weights from a file or random ones.

    Args:
        settings: Settings that name the network, and perhaps weights and data set.

    Raises:
        SettingError: timm has no such network.
        ModelError: It cannot be made, its images are not square, or it gives no logits.
        CheckpointError: The file of weights is missing, damaged, or of another network.
        DataError: The data set is unreadable, or has other classes than the network.
    """
    name = settings.timm or ""
    check_timm_name(name, ["timm"])
    weights_file = None if settings.weights is None else Path(settings.weights)
    network = _network(name, weights_file, settings.resolution)
    data = _data(settings, network)
    labelled, fitting, remarks = data is not None, None, []
    if data is None:
        from elasticvit.training.random_images import random_images

        labels = _labels(network)
        data = random_images(labels, network.input.mean, network.input.std)
        remarks.append(without_images(data.info.test_images))
        crop = network.input.crop
        fitting = Fitting() if crop is None else Fitting(fit="resize_then_crop", crop=crop)
    weights = None
    if settings.weights is not None:
        weights = path_text(Path(settings.weights))
    else:
        _draw(network, data)
        remarks.append(NO_WEIGHTS)
    return OutsideSubject(
        subnet=network,
        data=data,
        labelled=labelled,
        macs_m=network.macs() / 1e6,
        sources={"timm": name, "weights": weights, "data": data.info.spec},
        remarks=tuple(remarks),
        fitting=fitting,
    )


def _network(name: str, weights: Path | None, resolution: int | None) -> TimmNetwork:
    try:
        if weights is not None:
            form = timm_weights_format("weights", "timm")
            found = timm_network_of_file(name, weights, form, lambda classes: classes, resolution)
            return TimmNetwork(name, found)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            fresh = timm_network(name, resolution=resolution)
        return TimmNetwork(name, fresh)
    except EvitError:
        raise
    except Exception as error:  # networks of timm's raise anything
        raise ModelError(
            f"timm's {name} cannot be made or run"
            + ("" if resolution is None else f" on images of {resolution}x{resolution} pixels")
            + f": {cause_of(error)}; name another network"
            + ("" if resolution is None else ", or leave resolution out"),
            settings=["timm"] if resolution is None else ["timm", "resolution"],
        ) from error


def _draw(network: TimmNetwork, data: ImageData) -> None:
    """Give a fresh network weights like trained ones, in place."""
    loader = data.loader("train", resolution=network.resolution, batch_size=IMAGES, shuffle=True)
    images, _ = next(iter(loader))
    enliven(network.network, images, torch.Generator().manual_seed(SEED))


def _data(settings: ExportSettings, network: TimmNetwork) -> ImageData | None:
    """The data set that is named, normalised as the network asks for; None if none is."""
    if settings.data is None:
        return None
    from elasticvit.training.data import open_data

    data = open_data(str(settings.data))
    if data.info.classes != network.num_classes:
        raise DataError(
            f"data set {settings.data} has {data.info.classes:,} classes, {network.name} tells "
            f"{network.num_classes:,} apart; name images of the same classes, in the same order of "
            "names, give weights for these classes, or leave data out",
            settings=["data", "weights"],
        )
    return replace(data, given_normalisation=(network.input.mean, network.input.std))


def _labels(network: TimmNetwork) -> tuple[str, ...]:
    """Names of the classes, where timm knows which part of ImageNet they are."""
    from timm.data import infer_imagenet_subset

    subset = infer_imagenet_subset(network.network)
    if subset is None:
        return class_numbers(network.num_classes)
    return imagenet_labels(network.num_classes, subset)
