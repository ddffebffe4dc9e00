"""Where training starts: initial weights, and which of them decay."""

from __future__ import annotations

from typing import Any

from torch import nn

from elasticvit.nn import Supernet
from elasticvit.nn.initial import initialise

__all__ = ["initialise", "parameter_groups"]


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
