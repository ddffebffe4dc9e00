"""Deployment form of a static block or subnet: everything constant folded into the weights.

Batch norm becomes part of the convolution or linear layer before it; the scale and shift of
a layer norm part of the linear layers behind it; the attention scale part of the query; the
constants of the squeeze-and-excitation's hard-sigmoid part of the layers around it. The big
qkv matrix is split in three, so that nothing has to be sliced at run time. Large maps are
computed in strips (`elasticvit.strips`). Outputs stay the same within float32 rounding.

Shapes: B batch, N tokens, C width, h heads, V = h * v the width of all values.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elasticvit import kernels
from elasticvit.kernels import QK_DIM
from elasticvit.nn.blocks import FFN, Attention, Block, FirstConv, Head, MBConv
from elasticvit.nn.layers import ElasticBatchNorm, ElasticConv2d, ElasticLayerNorm, ElasticLinear
from elasticvit.strips import Strip, strips

_NORMED: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    FirstConv: (("conv", "bn"),),
    MBConv: (("expand", "expand_bn"), ("depthwise", "depthwise_bn"), ("project", "project_bn")),
    Head: (("expand", "bn"),),
}


class Normalise(nn.Module):
    """Layer norm without scale and shift, in the fewest operators that converters write.

    Args:
        joint: whether to normalise over tokens and channels together.
        eps: number added to the variance.
    """

    def __init__(self, joint: bool, eps: float) -> None:
        super().__init__()
        self.dims, self.eps = (-2, -1) if joint else (-1,), eps

    def forward(self, x: Tensor) -> Tensor:  # (B, N, C)
        centred = x - x.mean(self.dims, keepdim=True)
        variance = (centred * centred).mean(self.dims, keepdim=True)
        return centred * torch.rsqrt(variance + self.eps)


class FusedAttention(nn.Module):
    """The attention block with norm and scale folded into query, key and value."""

    def __init__(self, block: Attention) -> None:
        super().__init__()
        core, kernel = block.core, block.kernel
        self.kernel = kernel
        heads = kernel.heads
        query, key, value = core.qkv.weight.split(
            [heads * QK_DIM, heads * QK_DIM, heads * kernel.v_dim]
        )
        self.norm = Normalise(block.norm.joint, block.norm.eps)
        self.query = _linear_behind(block.norm, query, None, core.scale)
        self.key = _linear_behind(block.norm, key, None)
        self.value = _linear_behind(block.norm, value, None)
        self.value_conv = _convolution(core.value_conv)
        self.position_bias = core.position_bias
        self.project = _linear(core.project.weight, core.project.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, N, C)
        size, heads = self.kernel.size, self.kernel.heads
        n, batch = size * size, x.shape[0]
        lead = () if batch == 1 else (batch,)  # one image: the converters need no reshapes

        def by_head(tokens: Tensor) -> Tensor:
            return tokens.reshape(*lead, n, heads, -1).transpose(-3, -2)

        y = self.norm(x)
        query, key = by_head(self.query(y)), by_head(self.key(y))
        value = self.value(y).reshape(batch, size, size, -1).permute(0, 3, 1, 2)
        value = by_head(self.value_conv(value).permute(0, 2, 3, 1))
        scores = query @ key.transpose(-2, -1) + self.position_bias
        y = scores.softmax(dim=-1) @ value
        y = y.transpose(-3, -2).reshape(batch, n, -1)
        return x + self.project(F.hardswish(y))


class FusedMBConv(nn.Module):
    """The MBConv block of plain convolutions; with squeeze-and-excitation, hard-sigmoid's
    relu6(x + 3) / 6 is relu6 alone between shifted and scaled weights.

    Args:
        block: the block, its batch norms folded already.
    """

    expand: nn.Conv2d
    depthwise: nn.Conv2d
    squeeze: nn.Conv2d
    excite: nn.Conv2d
    project: nn.Conv2d
    shortcut: nn.Conv2d

    def __init__(self, block: MBConv) -> None:
        super().__init__()
        self.kernel = block.kernel
        for name, layer in block.named_children():
            if isinstance(layer, ElasticConv2d):
                self.add_module(name, _convolution(layer))
        if block.kernel.se:
            assert self.excite.bias is not None
            self.excite.bias += 3.0
            self.project.weight /= 6.0

    def forward(self, x: Tensor, kernel: kernels.MBConv | None = None) -> Tensor:  # (B, C, H, W)
        found = strips(self.kernel)
        y = self._whole(x) if len(found) == 1 else torch.cat([self._rows(x, s) for s in found], 2)
        if self.kernel.stride == 2:
            x = F.avg_pool2d(x, 2, padding=x.shape[-1] % 2)
        if self.kernel.cin != self.kernel.cout:
            x = self.shortcut(x)
        return y + x

    def _whole(self, y: Tensor) -> Tensor:
        if self.kernel.expansion > 1:
            y = F.hardswish(self.expand(y))
        y = F.hardswish(self.depthwise(y))
        if self.kernel.se:
            gate = F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))
            y = y * F.relu6(self.excite(gate))
        return self.project(y)

    def _rows(self, x: Tensor, strip: Strip) -> Tensor:
        """The rows of a strip behind the projection; there is no squeeze-and-excitation."""
        layer, margin = self.depthwise, self.kernel.kernel // 2
        y = F.hardswish(self.expand(x[:, :, strip.first : strip.first + strip.rows]))
        y = F.pad(y, (margin, margin, strip.above, strip.below))
        y = F.conv2d(y, layer.weight, layer.bias, layer.stride, groups=layer.groups)
        return self.project(F.hardswish(y))


class FusedFFN(nn.Module):
    """The FFN block with the norm folded into its first linear layer."""

    def __init__(self, block: FFN) -> None:
        super().__init__()
        self.kernel = block.kernel
        self.norm = Normalise(block.norm.joint, block.norm.eps)
        self.fc1 = _linear_behind(block.norm, block.fc1.weight, block.fc1.bias)
        self.fc2 = _linear(block.fc2.weight, block.fc2.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, N, C)
        y: Tensor = self.fc2(F.hardswish(self.fc1(self.norm(x))))
        return x + y


@torch.no_grad()
def fused(module: nn.Module) -> nn.Module:
    """Copy of a static `Subnet` or `Block` in evaluation mode with everything constant folded.

    A subnet stays a `Subnet`; its blocks become the classes of this module where these differ.

    Raises:
        ValueError: a block is elastic, so that what would be folded depends on the kernel.
    """
    elastic = [b for b in module.modules() if isinstance(b, Block) and not b.static]
    if elastic:
        raise ValueError(f"{type(elastic[0]).__name__} is elastic; cut it first, then fuse")
    return _fuse(copy.deepcopy(module)).eval().requires_grad_(False)


def _fuse(module: nn.Module) -> nn.Module:
    """The module, changed in place where its kind stays, with all its parts fused."""
    if isinstance(module, Attention):
        return FusedAttention(module)
    if isinstance(module, FFN):
        return FusedFFN(module)
    for layer, norm in _NORMED.get(type(module), ()):
        if isinstance(getattr(module, norm, None), ElasticBatchNorm):  # not folded before
            _fold_norm(getattr(module, layer), getattr(module, norm))
            setattr(module, norm, nn.Identity())
    if isinstance(module, MBConv):
        return FusedMBConv(module)
    for name, child in list(module.named_children()):
        setattr(module, name, _fuse(child))
    return module


def _fold_norm(layer: ElasticConv2d | ElasticLinear, norm: ElasticBatchNorm) -> None:
    """Make `layer` compute what `norm` did to its output; in float64, to round only once."""
    gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = norm.bias.double() - norm.running_mean.double() * gain
    if layer.bias is not None:
        bias = bias + layer.bias.double() * gain
    weight = layer.weight.double() * gain.view(-1, *[1] * (layer.weight.dim() - 1))
    layer.weight, layer.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())


def _linear_behind(
    norm: ElasticLayerNorm, weight: Tensor, bias: Tensor | None, scale: float = 1.0
) -> nn.Linear:
    """The linear layer of norm's scale and shift, `weight` and `bias`, times `scale`."""
    matrix = weight.double() * scale
    shift = matrix @ norm.bias.double()
    if bias is not None:
        shift = shift + bias.double() * scale
    return _linear((matrix * norm.weight.double()).float(), shift.float())


def _convolution(layer: ElasticConv2d) -> nn.Conv2d:
    cout, cin, side, _ = layer.weight.shape
    groups = cout if layer.depthwise else 1
    result = nn.Conv2d(
        cin * groups,
        cout,
        side,
        layer.stride,
        side // 2,
        groups=groups,
        bias=layer.bias is not None,
    )
    result.weight = layer.weight
    if layer.bias is not None:
        result.bias = layer.bias
    return result


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight = nn.Parameter(weight)
    if bias is not None:
        layer.bias = nn.Parameter(bias)
    return layer
