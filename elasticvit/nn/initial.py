"""Initial weights for training from scratch."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from elasticvit.nn.layers import ElasticLinear

M = TypeVar("M", bound=nn.Module)


def initialise(module: M) -> M:
    """Draw the weights of all linear layers with a variance of 1 / inputs, in place.

    The usual 0.02 of vision transformers is meant for 768 channels and hundreds of epochs.
    With the widths of mobile networks it makes every branch start close to nothing, and a
    training of a few hundred steps spends half of them on getting away from there.

    Returns:
        The same module.
    """
    for part in module.modules():
        if isinstance(part, ElasticLinear):
            nn.init.trunc_normal_(part.weight, std=part.weight.shape[1] ** -0.5)
    return module
