"""The form of a network that is converted."""

from __future__ import annotations

from torch import nn

from elasticvit.nn.fuse import fused
from elasticvit.nn.timm_network import TimmNetwork


def deployed(network: nn.Module) -> nn.Module:
    """A copy with all that is constant folded, or merged as the network itself knows how to.

    Args:
        network: A subnet or block of this project, or a network of timm's.
    """
    return network.deployed() if isinstance(network, TimmNetwork) else fused(network)
