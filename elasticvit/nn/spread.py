"""Spreading trained weights over a larger block: the inverse of `Block.cut`.

The first rows and columns and the centres of filters get the source's values, so that the block
gives the source's outputs for the source's kernel. What reads a channel that the source does not
have starts at zero for the outputs that the source has, and the rest keeps its values. A form with
more expansion, MLP ratio, values or filter taps then starts with the outputs of the source, and
has new features of its own to learn from (function-preserving growth: Net2Net, ICLR 2016).

Shapes: h heads, V the width of all values, n side of the map of tokens.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from elasticvit.kernels import QK_DIM, Attention
from elasticvit.nn.attention import AttentionCore, position_index, qkv_rows, value_rows
from elasticvit.nn.blocks import FFN, Block, Head, MBConv
from elasticvit.nn.blocks import Attention as AttentionBlock

CLASSIFIER = "classifier"
SHORTCUT = "shortcut"


@torch.no_grad()
def spread(source: Block[Any], target: Block[Any]) -> None:
    """Fill an elastic block with the weights of another block of its kind, in place.

    Args:
        source: A static block, whose kernel the target can run; or an elastic block of any size,
            of which the first rows and columns are taken where it is the larger one.
        target: The elastic block. The classifier of a head with other classes stays as it is.
    """
    parts = dict(source.named_modules())
    for name, module in target.named_modules():
        leaf = name.rpartition(".")[2]
        if isinstance(module, AttentionCore):
            core = parts[name]
            assert isinstance(core, AttentionCore)
            _spread_core(core, module)
        elif leaf == SHORTCUT and name not in parts:  # the source's shortcut is the identity
            weight = module.get_parameter("weight")
            width = source.kernel.cin
            eye = torch.eye(width, device=weight.device)[:, :, None, None]
            _fill(eye, weight)
        elif name in parts and not name.startswith("core."):
            if leaf == CLASSIFIER and _classes(source) != _classes(target):
                continue
            _spread_tensors(parts[name], module)


@torch.no_grad()
def silence(block: Block[Any]) -> None:
    """Make a residual block that keeps its shape give its input, by its last layer alone.

    Args:
        block: An MBConv block of stride 1, an attention or an FFN block; changed in place.
    """
    if isinstance(block, MBConv):
        last: nn.Module = block.project_bn
    elif isinstance(block, AttentionBlock):
        last = block.core.project
    else:
        assert isinstance(block, FFN)
        last = block.fc2
    for parameter in last.parameters():
        parameter.zero_()


def _classes(block: Block[Any]) -> int:
    assert isinstance(block, Head)
    return int(block.kernel.classes)


def _spread_tensors(source: nn.Module, target: nn.Module) -> None:
    """Fill the parameters and statistics that `target` itself holds from those of `source`."""
    found = dict(source.named_parameters(recurse=False)) | dict(source.named_buffers(recurse=False))
    own = dict(target.named_parameters(recurse=False)) | dict(target.named_buffers(recurse=False))
    for name, tensor in own.items():
        _fill(found[name], tensor)


def _fill(value: Tensor, target: Tensor) -> None:
    """Put a tensor into the first rows and columns, and into the centre of the filters, of
    another one; the rest of these rows becomes zero."""
    rows = min(value.shape[0], target.shape[0])
    if target.dim() > 1:
        target[:rows] = 0
    side = min(value.shape[-1], target.shape[-1]) if target.dim() == 4 else None
    value, target = _centre(value, side), _centre(target, side)
    common = tuple(slice(min(a, b)) for a, b in zip(value.shape, target.shape, strict=True))
    target[common] = value[common]


def _centre(filters: Tensor, side: int | None) -> Tensor:
    """The middle taps of filters (cout, cin, k, k); other tensors as they are."""
    margin = 0 if side is None else (filters.shape[-1] - side) // 2
    return filters[:, :, margin:-margin, margin:-margin] if margin else filters


def _spread_core(source: AttentionCore, target: AttentionCore) -> None:
    """Fill the weights of an elastic attention core."""
    theirs, own = source.largest, target.largest
    common = replace(
        own, width=min(theirs.width, own.width), v_scale=min(theirs.v_scale, own.v_scale)
    )
    width, heads = common.width, common.heads
    values, rows = value_rows(own, common, target.sliced), _stored_rows(own, common, target.sliced)
    if source.dense_bias:  # a static core holds its heads in order, whatever the view
        active = qkv_rows(own, common, target.sliced)
        rows = rows if active is None else active
        their_values = torch.arange(heads * common.v_dim)
        their_rows = torch.arange(2 * heads * QK_DIM + heads * common.v_dim)
    else:
        their_values = value_rows(theirs, common, source.sliced)
        their_rows = _stored_rows(theirs, common, source.sliced)
    qkv, project = target.qkv.weight, target.project.weight
    qkv[rows] = 0
    qkv[rows, :width] = source.qkv.weight[their_rows, :width]
    target.value_conv.weight[values] = source.value_conv.weight[their_values]
    project[:width] = 0
    project[:width, values] = source.project.weight[:width, their_values]
    assert source.project.bias is not None
    assert target.project.bias is not None
    target.project.bias[:width] = source.project.bias[:width]
    target.position_bias[:, :heads] = _offset_table(source, own.size)[:, :heads]


def _stored_rows(largest: Attention, kernel: Attention, sliced: bool) -> Tensor:
    """Rows of an elastic core's qkv matrix that a kernel uses, as [q | k | v]."""
    q = torch.arange(kernel.heads * QK_DIM)
    keys = largest.heads * QK_DIM
    return torch.cat([q, keys + q, 2 * keys + value_rows(largest, kernel, sliced)])


def _offset_table(core: AttentionCore, size: int) -> Tensor:
    """Position bias of a core, a row for each offset on a map of side `size`: (offsets, heads).

    An offset that is farther than any on the core's own map has the bias of the nearest one there.
    Where a static core was trained alone, the pairs of an offset may differ: it has their mean.
    """
    n = core.largest.size
    table: Tensor = core.position_bias
    if core.dense_bias:  # (heads, N, N)
        pairs = position_index(n, n).to(table.device)
        dense = table.permute(1, 2, 0).reshape(n**4, -1).double()  # equal pairs stay exact
        sums = dense.new_zeros(((2 * n - 1) ** 2, core.largest.heads))
        counts = torch.bincount(pairs, minlength=len(sums))[:, None]
        table = (sums.index_add_(0, pairs, dense) / counts).to(table.dtype)
    steps = torch.arange(1 - size, size, device=table.device).clamp(1 - n, n - 1) + n - 1
    return table[(steps[:, None] * (2 * n - 1) + steps[None, :]).reshape(-1)]
