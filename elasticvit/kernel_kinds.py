"""The kinds of kernels: the blocks that run, are timed and are priced as one.

A `Kernel` is a kind plus dimensions. The cut is the one of the public block tables: first
convolution, MBConv (the stem's blocks are its expansion-1 case), downsampling, attention,
FFN, head.

Dimensions: `size` is the side of the square input map in pixels, widths are in channels,
and `n = size * size` is the number of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from elasticvit.errors import ArchError
from elasticvit.reading import shown

DOWNSAMPLE_EXPANSION = 6
DOWNSAMPLE_KERNEL = 3
QK_DIM = 16  # dimension of a head's query and key; a head's value has v_scale times as many
SE_RATIO = 4
MOST = 1_000_000  # of a dimension


@dataclass(frozen=True, order=True)
class Kernel:
    """Base of the kernel kinds; hashable, ordered within a kind.

    Attributes:
        kind: name of the kind, the same in tables, files and reports.
        size: side of the input map, in pixels.
    """

    kind: ClassVar[str]
    size: int

    @property
    def out_size(self) -> int:
        """Side of the output map: halved and rounded up by a stride of 2."""
        return -(-self.size // getattr(self, "stride", 1))

    @property
    def macs(self) -> int:
        """Multiply-accumulates by the authors' counting rule (see `MacsCost`)."""
        raise TypeError(f"{type(self).__name__} is not a kernel kind")

    @property
    def dims(self) -> dict[str, int]:
        """Dimension names and values, in declaration order."""
        return {f.name: int(getattr(self, f.name)) for f in fields(self)}

    @property
    def key(self) -> str:
        """Stable text form, such as `ffn size=8 width=96 mlp_ratio=2`."""
        return " ".join([self.kind, *(f"{k}={v}" for k, v in self.dims.items())])

    @staticmethod
    def from_key(key: str) -> Kernel:
        """Inverse of `key`.

        Raises:
            ArchError: unknown kind, missing or unknown dimensions, or one that no kernel has.
        """
        kind, *pairs = key.split() or [""]
        try:
            dims = {name: int(value) for name, value in (pair.split("=") for pair in pairs)}
            kernel = KINDS[kind](**dims)
        except (KeyError, TypeError, ValueError) as error:
            raise ArchError(
                f"{shown(key)} is not a kernel; kinds are {', '.join(KINDS)}"
            ) from error
        least = {"se": 0}  # whether there is squeeze-and-excitation; all others are sizes
        if len(pairs) > len(dims) or not all(
            least.get(name, 1) <= value <= MOST for name, value in dims.items()
        ):
            raise ArchError(
                f"{shown(key)} is not a kernel: its dimensions are whole numbers to {MOST:,}, each "
                "named once"
            )
        return kernel


@dataclass(frozen=True, order=True)
class FirstConv(Kernel):
    """3x3 convolution of stride 2 on the image, batch norm, hard-swish."""

    kind: ClassVar[str] = "first_conv"
    cin: int
    cout: int
    stride: ClassVar[int] = 2

    @property
    def macs(self) -> int:
        return 9 * self.cin * self.cout * self.out_size**2


@dataclass(frozen=True, order=True)
class MBConv(Kernel):
    """1x1 expansion (none at expansion 1), depthwise, optional SE, 1x1 projection, residual."""

    kind: ClassVar[str] = "mbconv"
    cin: int
    cout: int
    expansion: int
    kernel: int
    stride: int
    se: int

    @property
    def inner(self) -> int:
        """Channels of the depthwise convolution."""
        return self.cin * self.expansion

    @property
    def macs(self) -> int:
        area, inner = self.out_size**2, self.inner
        in_area = area * self.stride**2  # a strided block's input counts as 2r even where odd
        total = self.cin * inner * in_area if self.expansion > 1 else 0
        total += inner * self.kernel**2 * area + inner * self.cout * area
        if self.se:
            total += 2 * inner * (inner // SE_RATIO)
        if self.stride == 2:
            total += self.cin * self.cout * area
        return total


@dataclass(frozen=True, order=True)
class Downsample(Kernel):
    """MBConv of expansion 6, kernel 3 and SE that opens a transformer stage."""

    kind: ClassVar[str] = "downsample"
    cin: int
    cout: int
    stride: int

    @property
    def inner(self) -> int:
        """Channels of the depthwise convolution."""
        return self.cin * DOWNSAMPLE_EXPANSION

    @property
    def as_mbconv(self) -> MBConv:
        """The MBConv that this block is; it differs only in its place and its counting rule."""
        return MBConv(
            self.size, self.cin, self.cout, DOWNSAMPLE_EXPANSION, DOWNSAMPLE_KERNEL, self.stride, 1
        )

    @property
    def macs(self) -> int:
        area = self.out_size**2
        in_area = area * self.stride**2
        return self.inner * (self.cin * in_area + DOWNSAMPLE_KERNEL**2 * area + self.cout * area)


@dataclass(frozen=True, order=True)
class Attention(Kernel):
    """Pre-norm self-attention with relative position bias and a depthwise conv on V."""

    kind: ClassVar[str] = "attention"
    width: int
    v_scale: int

    @property
    def heads(self) -> int:
        return self.width // QK_DIM

    @property
    def v_dim(self) -> int:
        """Dimension of one head's value."""
        return QK_DIM * self.v_scale

    @property
    def macs(self) -> int:
        n, v_width = self.size**2, self.heads * self.v_dim
        core = self.heads * n * n * (QK_DIM + 1 + self.v_dim)  # q @ k, softmax, attn @ v
        linears = n * self.width * (2 * self.heads * QK_DIM + v_width) + n * v_width * self.width
        return core + linears + n * v_width  # the conv on V counts one per output element


@dataclass(frozen=True, order=True)
class FFN(Kernel):
    """Pre-norm linear, hard-swish, linear."""

    kind: ClassVar[str] = "ffn"
    width: int
    mlp_ratio: int

    @property
    def inner(self) -> int:
        return self.width * self.mlp_ratio

    @property
    def macs(self) -> int:
        return 2 * self.size**2 * self.width * self.inner


@dataclass(frozen=True, order=True)
class Head(Kernel):
    """Linear, batch norm, hard-swish, mean over tokens, linear, hard-swish, classifier."""

    kind: ClassVar[str] = "head"
    width: int
    expansion: int
    hidden: int
    classes: int

    @property
    def inner(self) -> int:
        return self.width * self.expansion

    @property
    def macs(self) -> int:
        tokens = self.width * self.inner * self.size**2
        return tokens + self.inner * self.hidden + self.hidden * self.classes


KINDS: Mapping[str, type[Kernel]] = {
    cls.kind: cls for cls in (FirstConv, MBConv, Downsample, Attention, FFN, Head)
}
