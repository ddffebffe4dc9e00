"""Networks of timm's by name, with weights from a file where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elasticvit.errors import CheckpointError, SettingError
from elasticvit.nn.state_file import read_state_file
from elasticvit.nn.weights import check_weights
from elasticvit.reading import Format, shown

COUNTERS = "num_batches_tracked"  # of batch norms; files of old do not have them


def timm_weights_format(*settings: str) -> Format[dict[str, Tensor]]:
    """What a file of weights should be.

    Args:
        settings: Settings of the flow that name it.
    """
    return Format(
        kind=dict[str, Tensor],
        what="weights of a network by name",
        error=CheckpointError,
        mend="give a file of the network's state_dict, as safetensors or as torch.save writes it",
        settings=settings,
    )


def check_timm_name(name: str, settings: Sequence[str], advice: str = "") -> None:
    """Check that timm has a network.

    Args:
        name: Name in timm, with or without the tag of its weights.
        settings: Settings of the flow that name it.
        advice: What else could be named, as a sentence.

    Raises:
        SettingError: It has none; close names are listed.
    """
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
            + (f". {advice}" if advice else ""),
            settings=settings,
        )


def timm_network(name: str, classes: int | None = None, resolution: int | None = None) -> nn.Module:
    """A network of timm's with fresh weights, drawn from torch's own generator.

    Args:
        name: Name in timm.
        classes: Number of classes; None: the network's own.
        resolution: Side of its images in pixels; None: the network's own.
    """
    import timm

    made: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if resolution is not None:
        made["pretrained_cfg_overlay"] = {"input_size": (3, resolution, resolution)}
    network: nn.Module = timm.create_model(name, **made)
    return network


def timm_network_of_file(
    name: str,
    path: Path,
    form: Format[dict[str, Tensor]],
    choose_classes: Callable[[int | None], int | None],
    resolution: int | None = None,
) -> nn.Module:
    """A network of timm's with weights from a file.

    Args:
        name: Name in timm.
        path: File of its weights: safetensors, or what `torch.save` wrote; see `read_state_file`.
        form: What the file should be.
        choose_classes: Gives the number of classes that the network is made with, None for its
            own, of the number that the file's classifier has, None if that is not known; may raise.
        resolution: Side of its images in pixels; None: the network's own.

    Raises:
        CheckpointError: The file is missing, damaged, or of another network.
    """
    from timm.models import get_pretrained_cfg

    weights = dict(read_state_file(path, form).weights)
    facts = get_pretrained_cfg(name)
    found = None
    for layer in _names(None if facts is None else facts.classifier):
        weight = weights.get(f"{layer}.weight")
        if weight is not None and weight.dim() > 0:
            found = int(weight.shape[0])
    classes = choose_classes(found)
    network = timm_network(name, classes, resolution)
    expected = network.state_dict()
    counters = [k for k in expected if k.endswith(COUNTERS) and k not in weights]
    weights |= {k: torch.zeros_like(expected[k]) for k in counters}
    check_weights(weights, expected, str(path), form)
    network.load_state_dict(weights)
    return network


def _names(classifier: Any) -> tuple[str, ...]:
    """Names of the layers that give the logits."""
    return (classifier,) if isinstance(classifier, str) else tuple(classifier or ())
