"""Where training starts: initial weights, and which of them decay."""

from __future__ import annotations

from typing import Any

from torch import nn

from elasticvit.nn import Supernet
from elasticvit.nn.layers import ElasticLinear


def initialise(supernet: Supernet) -> Supernet:
    """Draw the linear layers' weights with a variance of 1 / inputs, in place.

    The usual 0.02 of vision transformers is meant for 768 channels and hundreds of epochs.
    With the widths of mobile networks it makes every branch start close to nothing, and a
    training of a few hundred steps spends half of them on getting away from there.
    """
    for module in supernet.modules():
        if isinstance(module, ElasticLinear):
            nn.init.trunc_normal_(module.weight, std=module.weight.shape[1] ** -0.5)
    return supernet


def parameter_groups(supernet: Supernet, weight_decay: float) -> list[dict[str, Any]]:
    """Weights with decay; norms, biases and position biases without."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in supernet.named_parameters():
        plain = parameter.ndim <= 1 or name.endswith("position_bias")
        (free if plain else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
