"""The core of the attention block, and which rows of its weights a smaller form uses.

Shapes: B batch, N tokens, C width, h heads, V = h * v the width of all values; a head's query
and key have 16 dimensions, its value v = 16 * v_scale.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elasticvit.kernels import QK_DIM, Attention
from elasticvit.nn.layers import ElasticConv2d, ElasticLinear, head_of, truncated_normal


@lru_cache(maxsize=4096)
@torch.inference_mode(False)  # kept for training, too
def qkv_rows(largest: Attention, kernel: Attention, sliced: bool) -> Tensor | None:
    """Rows of the largest qkv matrix that give the kernel's [q | k | v], heads in order.

    None if these are all rows of the matrix in order. With `sliced` the active rows are
    concatenated and head h takes the h-th slice of 16 + 16 + v of them, as the authors' `view`
    does.
    """
    h, c_max = kernel.heads, largest.heads * QK_DIM
    q = torch.arange(h * QK_DIM)
    v = 2 * c_max + value_rows(largest, kernel, sliced)
    rows = torch.cat([q, c_max + q, v])
    if sliced:
        slices = rows.view(h, 2 * QK_DIM + kernel.v_dim)
        rows = torch.cat(
            [part.reshape(-1) for part in slices.split([QK_DIM, QK_DIM, kernel.v_dim], dim=1)]
        )
    total = 2 * c_max + largest.heads * largest.v_dim
    return None if torch.equal(rows, torch.arange(total)) else rows


@lru_cache(maxsize=4096)
@torch.inference_mode(False)  # kept for training, too
def value_rows(largest: Attention, kernel: Attention, sliced: bool) -> Tensor:
    """Indices of the kernel's value channels among those of the largest kernel, shape (V,).

    They are the first channels of each head, or with `sliced` the first channels of all.
    """
    if sliced:
        return torch.arange(kernel.heads * kernel.v_dim)
    grid = torch.arange(largest.heads * largest.v_dim).view(largest.heads, largest.v_dim)
    return grid[: kernel.heads, : kernel.v_dim].reshape(-1)


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # kept for training, too
def position_index(size: int, largest: int) -> Tensor:
    """Row of the bias table for every pair of tokens of a `size` map, shape (N * N,).

    The table has a row per offset on the `largest` map, so maps of all sizes share it: the
    index on the largest map, cropped to the top left.
    """
    ys, xs = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    y, x = ys.reshape(-1), xs.reshape(-1)
    dy, dx = y[:, None] - y[None, :] + largest - 1, x[:, None] - x[None, :] + largest - 1
    return (dy * (2 * largest - 1) + dx).reshape(-1)


class AttentionCore(nn.Module):
    """qkv, depthwise 3x3 convolution on V, attention with position bias, output projection.

    Args:
        largest: the largest kernel that the block will run.
        sliced: whether to use the authors' view of the qkv matrix (see `qkv_rows`).
        dense_bias: whether to hold the position bias as one (heads, N, N) table instead of
            one row for each offset.
    """

    def __init__(self, largest: Attention, sliced: bool, dense_bias: bool) -> None:
        super().__init__()
        self.largest, self.sliced = largest, sliced and not dense_bias
        width, v_width, n = largest.width, largest.heads * largest.v_dim, largest.size**2
        self.qkv = ElasticLinear(width, 2 * largest.heads * QK_DIM + v_width, bias=False)
        self.value_conv = ElasticConv2d(v_width, v_width, 3, depthwise=True)
        self.project = ElasticLinear(v_width, width)
        offsets = (2 * largest.size - 1) ** 2
        shape = (largest.heads, n, n) if dense_bias else (offsets, largest.heads)
        self.position_bias = nn.Parameter(truncated_normal(torch.empty(shape)))
        self.dense_bias = dense_bias
        self.scale = QK_DIM**-0.5

    def bias_table(self, kernel: Attention) -> Tensor:
        """Position bias of a kernel, shape (heads, N, N)."""
        if self.dense_bias:
            return self.position_bias
        n = kernel.size**2
        index = position_index(kernel.size, self.largest.size).to(self.position_bias.device)
        return self.position_bias[:, : kernel.heads][index].view(n, n, -1).permute(2, 0, 1)

    def forward(self, x: Tensor, kernel: Attention) -> Tensor:  # (B, N, C)
        n, h, v_dim = kernel.size**2, kernel.heads, kernel.v_dim
        q_width = h * QK_DIM
        w_qkv, w_value, w_project = self.weights(kernel)
        qkv = F.linear(x, w_qkv)
        q, k, v = qkv.split([q_width, q_width, h * v_dim], dim=2)
        v = v.transpose(1, 2).reshape(-1, h * v_dim, kernel.size, kernel.size)
        v = F.conv2d(v, w_value, None, 1, 1, groups=h * v_dim)
        v = v.flatten(2).transpose(1, 2).reshape(-1, n, h, v_dim).transpose(1, 2)
        q = (q * self.scale if self.scale != 1 else q).reshape(-1, n, h, QK_DIM).transpose(1, 2)
        k = k.reshape(-1, n, h, QK_DIM).permute(0, 2, 3, 1)
        weights = (q @ k + self.bias_table(kernel)).softmax(dim=-1)
        y = (weights @ v).transpose(1, 2).reshape(-1, n, h * v_dim)
        bias = None if self.project.bias is None else head_of(self.project.bias, kernel.width)
        return F.linear(F.hardswish(y), w_project, bias)

    def weights(self, kernel: Attention) -> tuple[Tensor, Tensor, Tensor]:
        """Active qkv (2 * 16 h + V, C), value convolution (V, 1, 3, 3), projection (C, V)."""
        if kernel.width == self.largest.width and kernel.v_scale == self.largest.v_scale:
            qkv: Tensor = self.qkv.weight
            if self.sliced:  # per head, all rows of the full form are in order already
                rows = qkv_rows(self.largest, kernel, self.sliced)
                qkv = qkv if rows is None else qkv[rows.to(qkv.device)]
            return qkv, self.value_conv.weight, self.project.weight
        device = self.qkv.weight.device
        values = value_rows(self.largest, kernel, self.sliced).to(device)
        rows = qkv_rows(self.largest, kernel, self.sliced)
        assert rows is not None
        return (
            self.qkv.weight[:, : kernel.width][rows.to(device)],
            self.value_conv.weight[values],
            head_of(self.project.weight, kernel.width)[:, values],
        )

    def cut_into(self, target: AttentionCore, kernel: Attention) -> None:
        """Fill a static core of `kernel` with the weights that are used here for it."""
        qkv, value, project = self.weights(kernel)
        target.qkv.weight.data.copy_(qkv.data)
        target.value_conv.weight.data.copy_(value.data)
        target.project.weight.data.copy_(project.data)
        target.position_bias.data.copy_(self.bias_table(kernel).data)
        target.scale = self.scale
