"""Teachers from timm: a network by its name, with weights from a file or timm's own."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elasticvit.errors import CheckpointError, ModelError, SettingError
from elasticvit.nn.safetensors_file import read_safetensors
from elasticvit.nn.torch_file import read_torch_file
from elasticvit.nn.weights import check_weights
from elasticvit.reading import Format, shown
from elasticvit.training.distillation import TeacherInfo
from elasticvit.training.teacher import TeacherNetwork, weights_of

SAFETENSORS = ".safetensors"
COUNTERS = "num_batches_tracked"  # of batch norms; files of old do not have them
TIMM_WEIGHTS_FORMAT = Format(
    kind=dict[str, Tensor],
    what="weights of a network by name",
    error=CheckpointError,
    mend="give a file of the network's state_dict, as safetensors or as torch.save writes it",
    settings=("teacher",),
)


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
    _check_name(name)
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


def _check_name(name: str) -> None:
    """Check that timm has a network; raises `SettingError`."""
    from timm.models import get_pretrained_cfg, is_model, list_models, list_pretrained

    architecture, _, tag = name.partition(".")
    known = is_model(architecture)
    try:
        if known and tag:
            get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError:  # no weights of this tag
        known = False
    if not known:
        close = get_close_matches(name, [*list_models(), *list_pretrained()], n=4)
        raise SettingError(
            f"timm has no network {shown(name)}"
            + (f"; close names are {', '.join(close)}" if close else "")
            + ". A teacher is a name in timm, a training run, or the file of a subnet",
            settings=["teacher"],
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
    import timm

    form = TIMM_WEIGHTS_FORMAT
    if path.suffix == SAFETENSORS:
        weights, _ = read_safetensors(path, form)
    else:
        weights = read_torch_file(path, form)
    weights = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    network: nn.Module = timm.create_model(name, num_classes=classes)
    for layer in _classifiers(network):
        found = weights.get(f"{layer}.weight")
        if found is not None and found.dim() > 0:
            check_classes(f"{name} of {path}", found.shape[0], classes)
    expected = network.state_dict()
    counters = [k for k in expected if k.endswith(COUNTERS) and k not in weights]
    weights |= {k: torch.zeros_like(expected[k]) for k in counters}
    check_weights(weights, expected, str(path), form)
    network.load_state_dict(weights)
    return network


def _classifiers(network: Any) -> tuple[str, ...]:
    """Names of the layers of a timm network that give its logits."""
    names = network.pretrained_cfg.get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)
