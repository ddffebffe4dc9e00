"""Deployment form of a static block or subnet: everything constant folded into the weights.

Batch norm becomes part of the convolution or linear layer before it, and the attention scale
part of the query rows. The modules, their order and their outputs (within float32 rounding)
stay the same.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from elasticvit.kernels import QK_DIM
from elasticvit.nn.attention import AttentionCore
from elasticvit.nn.blocks import Block, FirstConv, Head, MBConv
from elasticvit.nn.layers import ElasticBatchNorm, ElasticConv2d, ElasticLinear

M = TypeVar("M", bound=nn.Module)
_NORMED = {
    FirstConv: (("conv", "bn"),),
    MBConv: (("expand", "expand_bn"), ("depthwise", "depthwise_bn"), ("project", "project_bn")),
    Head: (("expand", "bn"),),
}


def fused(module: M) -> M:
    """Copy of a static `Subnet` or `Block`, in evaluation mode, with batch norms and attention
    scales folded into weights.

    Raises:
        ValueError: the module holds a block that is elastic, so that what would be folded
            depends on the architecture.
    """
    elastic = [b for b in module.modules() if isinstance(b, Block) and not b.static]
    if elastic:
        raise ValueError(f"{type(elastic[0]).__name__} is elastic; cut it first, then fuse")
    result = copy.deepcopy(module).eval()
    with torch.no_grad():
        for part in result.modules():
            for layer, norm in _NORMED.get(type(part), ()):  # type: ignore[call-overload]
                if hasattr(part, norm):
                    _fold_norm(getattr(part, layer), getattr(part, norm))
                    setattr(part, norm, nn.Identity())
            if isinstance(part, AttentionCore):
                part.qkv.weight[: part.largest.heads * QK_DIM] *= part.scale
                part.scale = 1.0
    return result.requires_grad_(False)


def _fold_norm(layer: ElasticConv2d | ElasticLinear, norm: ElasticBatchNorm) -> None:
    """Make `layer` compute what `norm` of it did; in float64 to round only once."""
    gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias: Tensor = norm.bias.double() - norm.running_mean.double() * gain
    if layer.bias is not None:
        bias = bias + layer.bias.double() * gain
    shape = (-1, *[1] * (layer.weight.dim() - 1))
    layer.weight.data = (layer.weight.double() * gain.view(shape)).to(layer.weight.dtype)
    layer.bias = nn.Parameter(bias.to(layer.weight.dtype))
