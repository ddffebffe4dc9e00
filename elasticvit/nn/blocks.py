"""The blocks: one module a kernel kind, the same for supernet, subnet and kernel models.

A block is made for the largest kernel it will ever run and its `forward` takes the kernel to
run (its own when left out). `cut` returns a block made at exactly one kernel with the weights
that the larger one would have used. Convolutional blocks work on maps (B, C, H, W), attention
and FFN on tokens (B, N, C); downsampling takes either and returns tokens.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from elasticvit import kernels
from elasticvit.block_options import BlockOptions
from elasticvit.kernels import SE_RATIO, Kernel
from elasticvit.nn.attention import AttentionCore
from elasticvit.nn.layers import ElasticBatchNorm, ElasticConv2d, ElasticLayerNorm, ElasticLinear

K = TypeVar("K", bound=Kernel)


AUTHORS = BlockOptions(norm="joint", qkv="sliced")


class Block(nn.Module, Generic[K]):
    """Base: a module with the largest kernel it can run.

    Args:
        kernel: the largest kernel that the block will run.
        options: block variants.
        static: whether the block will run this kernel alone; its position bias is then one
            dense table.
    """

    def __init__(self, kernel: K, options: BlockOptions, static: bool) -> None:
        super().__init__()
        self.kernel, self.options, self.static = kernel, options, static

    def cut(self, kernel: K) -> Block[K]:
        """Static block of one kernel, with copies of the weights that it uses here."""
        block = build_block(kernel, self.options)
        source = dict(self.named_modules())
        for name, module in reversed(list(block.named_modules())):  # a core after its layers
            if isinstance(module, AttentionCore):
                source[name].cut_into(module, kernel)
            else:
                _copy_first(source[name], module)
        return block.train(self.training)


def _copy_first(source: nn.Module, target: nn.Module) -> None:
    """Fill the parameters and statistics that `target` itself holds with the first rows and
    columns of the same ones of `source`."""
    tensors = dict(source.named_parameters(recurse=False)) | dict(
        source.named_buffers(recurse=False)
    )
    own = dict(target.named_parameters(recurse=False)) | dict(target.named_buffers(recurse=False))
    for name, tensor in own.items():
        value = tensors[name]
        if value.dim() == 4:  # a smaller filter is the centre of the larger one
            margin = (value.shape[-1] - tensor.shape[-1]) // 2
            value = value[:, :, margin : value.shape[2] - margin, margin : value.shape[3] - margin]
        tensor.data.copy_(value.data[tuple(slice(n) for n in tensor.shape)])


class FirstConv(Block[kernels.FirstConv]):
    """3x3 convolution of stride 2, batch norm, hard-swish."""

    def __init__(
        self, kernel: kernels.FirstConv, options: BlockOptions, static: bool = False
    ) -> None:
        super().__init__(kernel, options, static)
        self.conv = ElasticConv2d(kernel.cin, kernel.cout, 3, stride=2)
        self.bn = ElasticBatchNorm(kernel.cout)

    def forward(self, x: Tensor, kernel: kernels.FirstConv | None = None) -> Tensor:
        kernel = kernel or self.kernel
        return F.hardswish(self.bn(self.conv(x, kernel.cout, 3)))


class MBConv(Block[kernels.MBConv]):
    """Inverted residual with optional squeeze-and-excitation.

    The residual is the identity when the shape is kept; otherwise a 2x2 average pool for
    stride 2 (padded by 1 where the side is odd) and a 1x1 convolution when the width changes.
    """

    def __init__(self, kernel: kernels.MBConv, options: BlockOptions, static: bool = False) -> None:
        super().__init__(kernel, options, static)
        cin, cout, inner = kernel.cin, kernel.cout, kernel.inner
        if kernel.expansion > 1:
            self.expand = ElasticConv2d(cin, inner)
            self.expand_bn = ElasticBatchNorm(inner)
        self.depthwise = ElasticConv2d(
            inner, inner, kernel.kernel, stride=kernel.stride, depthwise=True
        )
        self.depthwise_bn = ElasticBatchNorm(inner)
        if kernel.se:
            self.squeeze = ElasticConv2d(inner, inner // SE_RATIO, bias=True)
            self.excite = ElasticConv2d(inner // SE_RATIO, inner, bias=True)
        self.project = ElasticConv2d(inner, cout)
        residual_starts_at_zero = kernel.stride == 1
        self.project_bn = ElasticBatchNorm(cout, weight=0.0 if residual_starts_at_zero else 1.0)
        if not static or cin != cout:
            self.shortcut = ElasticConv2d(cin, cout)

    def forward(self, x: Tensor, kernel: kernels.MBConv | None = None) -> Tensor:
        kernel = kernel or self.kernel
        y = x
        if kernel.expansion > 1:
            y = F.hardswish(self.expand_bn(self.expand(y, kernel.inner, 1)))
        y = self.depthwise(y, kernel.inner, kernel.kernel)
        y = F.hardswish(self.depthwise_bn(y))
        if kernel.se:
            gate = F.adaptive_avg_pool2d(y, 1)
            gate = F.relu(self.squeeze(gate, kernel.inner // SE_RATIO, 1))
            y = y * F.hardsigmoid(self.excite(gate, kernel.inner, 1))
        y = self.project_bn(self.project(y, kernel.cout, 1))
        if kernel.stride == 2:
            x = F.avg_pool2d(x, 2, padding=x.shape[-1] % 2)
        if kernel.cin != kernel.cout:
            x = self.shortcut(x, kernel.cout, 1)
        return y + x


class Downsample(Block[kernels.Downsample]):
    """The MBConv that opens a transformer stage; takes a map or tokens, returns tokens."""

    def __init__(
        self, kernel: kernels.Downsample, options: BlockOptions, static: bool = False
    ) -> None:
        super().__init__(kernel, options, static)
        self.block = MBConv(kernel.as_mbconv, options, static)

    def forward(self, x: Tensor, kernel: kernels.Downsample | None = None) -> Tensor:
        kernel = kernel or self.kernel
        if x.dim() == 3:
            x = x.reshape(-1, kernel.size, kernel.size, kernel.cin).permute(0, 3, 1, 2)
        y = self.block(x, kernel.as_mbconv)  # channels last from here on, as converters like it
        return y.permute(0, 2, 3, 1).reshape(-1, kernel.out_size**2, kernel.cout)


class Attention(Block[kernels.Attention]):
    """Pre-norm self-attention with a residual."""

    def __init__(
        self, kernel: kernels.Attention, options: BlockOptions, static: bool = False
    ) -> None:
        super().__init__(kernel, options, static)
        self.norm = ElasticLayerNorm(kernel.width, joint=options.norm == "joint")
        self.core = AttentionCore(kernel, sliced=options.qkv == "sliced", dense_bias=static)

    def forward(self, x: Tensor, kernel: kernels.Attention | None = None) -> Tensor:
        return x + self.core(self.norm(x), kernel or self.kernel)


class FFN(Block[kernels.FFN]):
    """Pre-norm linear, hard-swish, linear, with a residual."""

    def __init__(self, kernel: kernels.FFN, options: BlockOptions, static: bool = False) -> None:
        super().__init__(kernel, options, static)
        self.norm = ElasticLayerNorm(kernel.width, joint=options.norm == "joint")
        self.fc1 = ElasticLinear(kernel.width, kernel.inner)
        self.fc2 = ElasticLinear(kernel.inner, kernel.width)

    def forward(self, x: Tensor, kernel: kernels.FFN | None = None) -> Tensor:
        kernel = kernel or self.kernel
        y = F.hardswish(self.fc1(self.norm(x), kernel.inner))
        return x + self.fc2(y, kernel.width)


class Head(Block[kernels.Head]):
    """Linear, batch norm, hard-swish, mean over tokens, linear, hard-swish, classifier.

    With 0 classes there is no classifier, and the output is the classifier's input.
    """

    def __init__(self, kernel: kernels.Head, options: BlockOptions, static: bool = False) -> None:
        super().__init__(kernel, options, static)
        self.expand = ElasticLinear(kernel.width, kernel.inner)
        self.bn = ElasticBatchNorm(kernel.inner)
        self.hidden = ElasticLinear(kernel.inner, kernel.hidden)
        self.classifier: nn.Module = (
            ElasticLinear(kernel.hidden, kernel.classes) if kernel.classes else nn.Identity()
        )

    def pre_logits(self, x: Tensor, kernel: kernels.Head | None = None) -> Tensor:
        """The classifier's inputs (B, hidden), before dropout, of tokens (B, N, C)."""
        kernel = kernel or self.kernel
        x = F.hardswish(self.bn(self.expand(x, kernel.inner))).mean(dim=1)
        return F.hardswish(self.hidden(x, kernel.hidden))

    def forward(self, x: Tensor, kernel: kernels.Head | None = None) -> Tensor:
        kernel = kernel or self.kernel
        x = self.pre_logits(x, kernel)
        x = F.dropout(x, self.options.head_dropout, self.training)
        return self.classifier(x, kernel.classes) if kernel.classes else x


BLOCKS: dict[type[Kernel], Any] = {
    kernels.FirstConv: FirstConv,
    kernels.MBConv: MBConv,
    kernels.Downsample: Downsample,
    kernels.Attention: Attention,
    kernels.FFN: FFN,
    kernels.Head: Head,
}


def build_block(
    kernel: Kernel, options: BlockOptions | None = None, *, static: bool = True
) -> Block[Any]:
    """The module of a kernel: static by default, or elastic up to the kernel."""
    block: Block[Any] = BLOCKS[type(kernel)](kernel, options or BlockOptions(), static)
    return block
