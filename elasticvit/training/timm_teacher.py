"""Teachers from timm: a network by its name, with weights from a file or timm's own."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from elasticvit.errors import ModelError
from elasticvit.nn.timm_weights import (
    check_timm_name,
    timm_network_of_file,
    timm_weights_format,
)
from elasticvit.training.distillation import TeacherInfo
from elasticvit.training.teacher import TeacherNetwork, weights_of

FORMAT = timm_weights_format("teacher")
KINDS = "A teacher is a name in timm, a training run, a supernet, or the file of a subnet"


def timm_teacher(name: str, weights: Path | None, classes: int) -> TeacherNetwork:
    """A network of timm's.

    Args:
        name: Name in timm, with or without the tag of its weights.
        weights: File of its weights: safetensors, or a state_dict that `torch.save` wrote; timm's
            own weights if None.
        classes: Number of classes of the data set.

    Raises:
        SettingError: timm has no such network; close names are listed.
        ModelError: The network tells another number of classes apart, or timm's weights of it
            cannot be had.
        CheckpointError: The file is missing, damaged, or of another network.
    """
    check_timm_name(name, ["teacher"], KINDS)
    network = _own(name, classes) if weights is None else _filled(name, weights, classes)

    from timm.data import resolve_model_data_config

    facts = resolve_model_data_config(network)
    return TeacherNetwork(
        info=TeacherInfo(name=name, weights=weights_of(network)),
        network=network.eval(),
        side=int(facts["input_size"][-1]),
        mean=tuple(map(float, facts["mean"])),
        std=tuple(map(float, facts["std"])),
    )


def check_classes(teacher: str, found: int, classes: int) -> None:
    """Check a teacher's number of classes.

    Raises:
        ModelError: It is not that of the data set.
    """
    if found != classes:
        raise ModelError(
            f"teacher {teacher} tells {found:,} classes apart, the data set has {classes:,}; give "
            "a teacher that was trained on these classes",
            settings=["teacher", "data"],
        )


def _own(name: str, classes: int) -> nn.Module:
    """A network with the weights that timm publishes."""
    import timm
    from timm.models import get_pretrained_cfg

    facts = get_pretrained_cfg(name)  # none for names of old, which timm maps to new ones
    if facts is not None and facts.has_weights:  # before anything is downloaded
        check_classes(name, facts.num_classes, classes)
    try:
        network: nn.Module = timm.create_model(name, pretrained=True)
    except Exception as error:  # whatever the download raises
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"timm's weights of {name} cannot be had: {reason} Where there is no network, give a "
            "file of them (NAME:FILE)",
            settings=["teacher"],
        ) from error
    check_classes(name, int(network.num_classes), classes)  # type: ignore[arg-type]
    return network


def _filled(name: str, path: Path, classes: int) -> nn.Module:
    """A network with weights from a file."""

    def checked(found: int | None) -> int:
        if found is not None:
            check_classes(f"{name} of {path}", found, classes)
        return classes

    return timm_network_of_file(name, path, FORMAT, checked)
