"""Layers that run at any width up to the one they were made with.

A layer holds the parameters of its largest form; `forward` takes the active widths and uses
the first rows, the first columns and the centre of the filter. At full width nothing is
sliced, so a layer made at the active width is the static layer.

Shapes: B batch, C channels, H and W map sides, N tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def head_of(tensor: Tensor, rows: int) -> Tensor:
    """The first `rows` rows; the tensor itself when that is all of them."""
    return tensor if tensor.shape[0] == rows else tensor[:rows]


def truncated_normal(tensor: Tensor) -> Tensor:
    """Draw initial values in place, unless the tensor is a form without values (device `meta`)."""
    return tensor if tensor.is_meta else nn.init.trunc_normal_(tensor, std=0.02)


class ElasticConv2d(nn.Module):
    """Bias-free or biased 2-d convolution, dense or depthwise, with "same" padding.

    Args:
        cin, cout: largest input and output widths; a depthwise convolution has `cin == cout`.
        kernel: side of the largest filter; smaller filters are its centre.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        depthwise: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.stride, self.depthwise = stride, depthwise
        self.weight = nn.Parameter(torch.empty(cout, 1 if depthwise else cin, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(cout)) if bias else None
        nn.init.kaiming_normal_(self.weight, mode="fan_out" if not depthwise else "fan_in")

    def sliced(self, cin: int, cout: int, kernel: int) -> tuple[Tensor, Tensor | None]:
        """Weight (cout, cin or 1, kernel, kernel) and bias (cout,) of the active form."""
        weight = head_of(self.weight, cout)
        if not self.depthwise and weight.shape[1] != cin:
            weight = weight[:, :cin]
        margin = (weight.shape[-1] - kernel) // 2
        if margin:
            weight = weight[:, :, margin:-margin, margin:-margin]
        return weight, None if self.bias is None else head_of(self.bias, cout)

    def forward(self, x: Tensor, cout: int, kernel: int) -> Tensor:  # (B, C, H, W)
        cin = x.shape[1]
        weight, bias = self.sliced(cin, cout, kernel)
        groups = cin if self.depthwise else 1
        return F.conv2d(x, weight, bias, self.stride, kernel // 2, groups=groups)


class ElasticLinear(nn.Module):
    """Linear layer of the first `out` rows and as many columns as the input has."""

    def __init__(self, cin: int, cout: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(cout, cin))
        self.bias = nn.Parameter(torch.zeros(cout)) if bias else None
        truncated_normal(self.weight)

    def sliced(self, cin: int, cout: int) -> tuple[Tensor, Tensor | None]:
        """Weight (cout, cin) and bias (cout,) of the active form."""
        weight = head_of(self.weight, cout)
        if weight.shape[1] != cin:
            weight = weight[:, :cin]
        return weight, None if self.bias is None else head_of(self.bias, cout)

    @property
    def in_features(self) -> int:
        """Largest number of inputs."""
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        """Largest number of outputs."""
        return self.weight.shape[0]

    def forward(self, x: Tensor, cout: int | None = None) -> Tensor:  # (..., C)
        cout = self.out_features if cout is None else cout
        return F.linear(x, *self.sliced(x.shape[-1], cout))


class ElasticBatchNorm(nn.Module):
    """Batch norm over the first channels of a map (B, C, H, W) or of tokens (B, N, C).

    In training mode the running statistics of the active channels are updated in place,
    whatever architecture ran, or later (`statistics_later`); they are therefore recalibrated for
    a subnet before it is judged (`elasticvit.searching`).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), weight))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.momentum, self.eps = 0.1, 1e-5

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.dim() == 3
        flat = x.flatten(0, 1) if tokens else x
        c = flat.shape[1]
        mean, variance = head_of(self.running_mean, c), head_of(self.running_var, c)
        momentum = self.momentum
        if self.training and momentum:
            later = _later.get()
            if later is not None:
                mean, variance, momentum = torch.zeros_like(mean), torch.ones_like(variance), 1.0
                later.append((self, mean, variance))
        y = F.batch_norm(
            flat,
            mean,
            variance,
            head_of(self.weight, c),
            head_of(self.bias, c),
            self.training,
            momentum,
            self.eps,
        )
        return y.view(x.shape) if tokens else y

    def take(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics of the first channels by those of a batch, (C,) each."""
        c = len(mean)
        head_of(self.running_mean, c).lerp_(mean, self.momentum)
        head_of(self.running_var, c).lerp_(variance, self.momentum)


BatchStatistics = list[tuple[ElasticBatchNorm, Tensor, Tensor]]  # norm, mean and variance (C,)
_later: ContextVar[BatchStatistics | None] = ContextVar("batch statistics", default=None)


@contextmanager
def statistics_later() -> Iterator[BatchStatistics]:
    """Within the context, batch norms that this thread runs in training mode leave their running
    statistics as they are, and put those of the batch on a list for `ElasticBatchNorm.take`: the
    order of the updates does not depend on which thread is faster."""
    found: BatchStatistics = []
    token = _later.set(found)
    try:
        yield found
    finally:
        _later.reset(token)


class ElasticLayerNorm(nn.Module):
    """Layer norm of tokens (B, N, C), with a scale and shift a channel.

    Args:
        channels: largest width.
        joint: whether to normalise over tokens and channels together, as the authors' code does,
            instead of each token by itself.
    """

    def __init__(self, channels: int, joint: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.joint, self.eps = joint, 1e-5

    def forward(self, x: Tensor) -> Tensor:
        c = x.shape[-1]
        weight, bias = head_of(self.weight, c), head_of(self.bias, c)
        if self.joint:
            return F.layer_norm(x, x.shape[1:], None, None, self.eps) * weight + bias
        return F.layer_norm(x, (c,), weight, bias, self.eps)


def resize(x: Tensor, resolution: int) -> Tensor:
    """Images (B, C, H, W) resized bicubically to `resolution`; unchanged if they have it."""
    if x.shape[-1] == resolution and x.shape[-2] == resolution:
        return x
    return F.interpolate(x, size=(resolution, resolution), mode="bicubic")
