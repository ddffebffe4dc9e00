"""The teachers of a training, by what users call them, and soft labels in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from elasticvit.errors import ModelError
from elasticvit.events import EventHandler, Phase
from elasticvit.find import find_arch
from elasticvit.flows.named_supernet import NamedSupernet
from elasticvit.nn import Subnet
from elasticvit.nn.shipped import names_supernet
from elasticvit.searching.evaluate import recalibrate
from elasticvit.searching.result import RESULT_FILE, SearchResult
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.data import ImageData
from elasticvit.training.distillation import Distillation, TeacherInfo
from elasticvit.training.run_info import RUN_FILE, RunInfo
from elasticvit.training.soft_labels import SoftLabels
from elasticvit.training.teacher import TeacherNetwork, Teachers, weights_of
from elasticvit.training.timm_teacher import check_classes, timm_teacher

SUBNET_SUFFIX = ".pt"
RECALIBRATION_BATCHES, RECALIBRATION_BATCH = 8, 64


def open_teaching(
    teachers: Sequence[str],
    soft_labels: Path | str | None,
    images: ImageData,
    device: torch.device,
    events: EventHandler,
) -> tuple[Distillation, Teachers | SoftLabels | None]:
    """Which teachers a training learns from, and what it asks them through.

    Args:
        teachers: Names of teachers (see `find_teacher`).
        soft_labels: File of soft labels in their place; None if there is none.
        images: The data set.
        device: Torch device of the training.
        events: Receives a `Phase` for each teacher.

    Raises:
        SettingError, ModelError, CheckpointError, DataError: See `find_teacher`, and
            `SoftLabels.load` and `check`.
    """
    if soft_labels is not None:
        taught = SoftLabels.load(Path(soft_labels))
        taught.check(images)
        info = taught.info
        return Distillation(teachers=info.teachers, soft_labels=info.content), taught
    if not teachers:
        return Distillation(), None
    found = []
    for name in teachers:
        events(Phase(text=f"loading teacher {name}"))
        found.append(find_teacher(name, images))
    together = Teachers(found, mean=images.mean, std=images.std, device=device)
    return Distillation(teachers=tuple(teacher.info for teacher in found)), together


def find_teacher(name: str, images: ImageData) -> TeacherNetwork:
    """A teacher by its name.

    Args:
        name: The folder of a training run, whose largest subnet teaches, or `RUN@ARCH`, any
            subnet of it; likewise a supernet in one file, or one that comes with the package; the
            file of a subnet that a search wrote (`.pt`); or `NAME[:WEIGHTS]`, a
            network of timm's with a file of its weights, or with timm's.
        images: The data set.

    Raises:
        SettingError: There is no such teacher.
        ModelError: The teacher tells another number of classes apart, or timm's weights of it
            cannot be had.
        CheckpointError: Its file or run is missing, damaged, or of another network.
        ArchError: The run has no such architecture.
        DataError: An image cannot be decoded.
    """
    folder, _, arch = name.rpartition("@")
    for source, what in ((folder, arch), (name, "largest")):
        if source and (Path(source) / RUN_FILE).exists():
            return _run_teacher(Path(source), what, images)
        if names_supernet(source) and ":" not in source:  # NAME:FILE is a network of timm's
            return _supernet_teacher(source, what, images)
    path = Path(name)
    if path.suffix == SUBNET_SUFFIX and ":" not in name:
        return _subnet_teacher(path, images)
    if path.is_dir() or "/" in name.partition(":")[0]:
        raise ModelError(
            f"teacher {name}: there is no training run ({RUN_FILE}) in this folder; name a folder "
            "of a run, a supernet's or subnet's file, or a network of timm's",
            settings=["teacher"],
        )
    known, _, weights = name.partition(":")
    return timm_teacher(known, Path(weights) if weights else None, images.info.classes)


def _run_teacher(run: Path, what: str, images: ImageData) -> TeacherNetwork:
    """A subnet of a run, its batch norms recalibrated on images of the training part."""
    info = RunInfo.load(run)
    check_classes(str(run), info.space.layout.classes, images.info.classes)
    subnet = Subnet.cut(load_supernet(run), find_arch(what, info.space))
    teacher = _subnet_network(subnet, info.mean, info.std)
    recalibrate(subnet, _renormalised(images, teacher), RECALIBRATION_BATCHES)
    return teacher


def _supernet_teacher(name: str, what: str, images: ImageData) -> TeacherNetwork:
    """A subnet of a supernet in one file, its batch norms recalibrated likewise."""
    named = NamedSupernet.load(name)
    problem = named.misfit(images)
    if problem is not None:
        raise ModelError(
            f"teacher {name}: {problem}, or another teacher", settings=["teacher", "data"]
        )
    subnet = Subnet.cut(named.supernet, find_arch(what, named.supernet.space))
    teacher = _subnet_network(subnet, *named.normalisation)
    recalibrate(subnet, _renormalised(images, teacher), RECALIBRATION_BATCHES)
    return teacher


def _subnet_teacher(path: Path, images: ImageData) -> TeacherNetwork:
    """The subnet of a search."""
    subnet = Subnet.load(path)
    check_classes(str(path), subnet.layout.classes, images.info.classes)
    return _subnet_network(subnet, *_normalisation(path, images))


def _subnet_network(
    subnet: Subnet, mean: tuple[float, ...], std: tuple[float, ...]
) -> TeacherNetwork:
    return TeacherNetwork(
        info=TeacherInfo(name=str(subnet.arch), weights=weights_of(subnet)),
        network=subnet,
        side=subnet.arch.resolution,
        mean=mean,
        std=std,
    )


def _normalisation(path: Path, images: ImageData) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that the subnet of a search was trained with: those of the run
    that was searched, or of the data set where that run is no longer known."""
    if (path.parent / RESULT_FILE).exists():
        run = Path(SearchResult.load(path.parent).run)
        if (run / RUN_FILE).exists():
            info = RunInfo.load(run)
            return info.mean, info.std
    return images.mean, images.std


def _renormalised(images: ImageData, teacher: TeacherNetwork) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of the training part as a teacher takes them, in an order that never changes."""
    own_mean, own_std, mean, std = (
        torch.tensor(values).view(-1, 1, 1)
        for values in (images.mean, images.std, teacher.mean, teacher.std)
    )
    loader = images.loader(
        "train", resolution=teacher.side, batch_size=RECALIBRATION_BATCH, shuffle=True
    )
    for batch, labels in loader:
        yield (batch * own_std + own_mean - mean) / std, labels
