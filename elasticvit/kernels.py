"""Kernels: the blocks that run, are timed and are priced as one, and the only lowering.

A `Kernel` is a kind plus dimensions. `lower` walks an architecture once, input to output;
the supernet's forward, the static subnet, the kernel models that are timed and every cost
follow the sequence that it returns. The cut is the one of the public block tables: first
convolution, MBConv (the stem's blocks are its expansion-1 case), downsampling, attention,
FFN, head.

Dimensions: `size` is the side of the square input map in pixels, widths are in channels,
and `n = size * size` is the number of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar

from elasticvit.arch import Arch, AttnStage, ConvStage
from elasticvit.errors import ArchError, SpaceError
from elasticvit.reading import shown

DOWNSAMPLE_EXPANSION = 6
DOWNSAMPLE_KERNEL = 3
QK_DIM = 16  # dimension of a head's query and key; a head's value has v_scale times as many
SE_RATIO = 4
MOST = 1_000_000  # of a dimension, and of classes
STAGES = 16  # most stages of a kind


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


LAYOUT_LIMITS = {"head_expansion": 64, "head_hidden": 65_536, "classes": MOST, "in_channels": 64}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What every architecture of a space has in common.

    Attributes:
        conv_strides, conv_se: stride (1 or 2) and squeeze-and-excitation of each MBConv stage.
        attn_strides: stride of the downsampling block of each transformer stage.
        head_expansion, head_hidden: the head's first and second linear layer.
        classes: number of classes.
        in_channels: channels of the input image.

    Raises:
        SpaceError: a stride that is not 1 or 2, stages without squeeze-and-excitation named, or a
            number out of range.
    """

    conv_strides: tuple[int, ...] = (2, 2)
    conv_se: tuple[bool, ...] = (False, True)
    attn_strides: tuple[int, ...] = (2, 1, 2, 2)
    head_expansion: int = 6
    head_hidden: int = 1984
    classes: int = 1000
    in_channels: int = 3

    def __post_init__(self) -> None:
        for name in ("conv_strides", "attn_strides"):
            strides = getattr(self, name)
            if len(strides) > STAGES or any(s not in (1, 2) for s in strides):
                raise SpaceError(
                    f"layout: {name} is {shown(list(strides))}; it must be at most {STAGES} "
                    "strides, each 1 or 2"
                )
        if len(self.conv_se) != len(self.conv_strides):
            raise SpaceError(
                f"layout: conv_se is {shown(list(self.conv_se))}; it must be true or false for "
                f"each of the {len(self.conv_strides)} stages in conv_strides"
            )
        for name, most in LAYOUT_LIMITS.items():
            value, least = getattr(self, name), int(name != "classes")  # 0: without a classifier
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise SpaceError(
                    f"layout: {name} is {shown(value)}; it must be a whole number from {least} to "
                    f"{most:,}"
                )

    @property
    def n_conv(self) -> int:
        return len(self.conv_strides)

    @property
    def n_attn(self) -> int:
        return len(self.attn_strides)

    def to_dict(self) -> dict[str, Any]:
        """Plain form, for TOML and JSON."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, order=True)
class Place:
    """Where a kernel sits: the stage (`first`, `stem`, `conv1`.., `attn1`.., `head`), the index
    of its block in the stage and its part (`block`, `downsample`, `attention`, `ffn`)."""

    stage: str
    block: int
    part: str

    def __str__(self) -> str:
        return f"{self.stage}.{self.block}.{self.part}"


def stage_sizes(resolution: int, layout: Layout) -> dict[str, int]:
    """Side of the map that enters each stage, by the stage's name."""
    sizes = {"first": resolution, "stem": -(-resolution // 2)}
    size = sizes["stem"]
    strides = {f"conv{i + 1}": s for i, s in enumerate(layout.conv_strides)}
    strides |= {f"attn{i + 1}": s for i, s in enumerate(layout.attn_strides)}
    for stage, stride in strides.items():
        sizes[stage] = size
        size = -(-size // stride)
    sizes["head"] = size
    return sizes


def stage_blocks(
    stage: str, size: int, cin: int, row: ConvStage | AttnStage, layout: Layout
) -> tuple[tuple[tuple[str, Kernel], ...], tuple[tuple[str, Kernel], ...]]:
    """The first block of a stage and each later one, as (part, kernel) pairs.

    A stage of depth d is its first block followed by d - 1 times the later one.

    Args:
        stage: `stem`, `conv1`.., `attn1`..
        size: side of the map that enters the stage.
        cin: channels that enter the stage.
    """
    if isinstance(row, AttnStage):
        stride = layout.attn_strides[int(stage[4:]) - 1]
        entry = Downsample(size, cin, row.width, stride)
        later: tuple[tuple[str, Kernel], ...] = (
            ("attention", Attention(entry.out_size, row.width, row.v_scale)),
            ("ffn", FFN(entry.out_size, row.width, row.mlp_ratio)),
        )
        return (("downsample", entry), *later), later
    stride, se = 1, 0
    if stage != "stem":
        index = int(stage[4:]) - 1
        stride, se = layout.conv_strides[index], int(layout.conv_se[index])
    first = MBConv(size, cin, row.width, row.expansion, row.kernel, stride, se)
    again = MBConv(first.out_size, row.width, row.width, row.expansion, row.kernel, 1, se)
    return (("block", first),), (("block", again),)


def walk(arch: Arch, layout: Layout) -> Iterator[tuple[Place, Kernel]]:
    """The kernels of an architecture with their places, input to output.

    Raises:
        ArchError: the architecture's number of stages is not the layout's.
    """
    if (len(arch.conv), len(arch.attn)) != (layout.n_conv, layout.n_attn):
        raise ArchError(
            f"architecture with {len(arch.conv)} convolutional and {len(arch.attn)} transformer "
            f"stages; this space has {layout.n_conv} and {layout.n_attn}"
        )
    sizes = stage_sizes(arch.resolution, layout)
    width = arch.stem.width
    yield Place("first", 0, "block"), FirstConv(arch.resolution, layout.in_channels, width)
    rows: dict[str, ConvStage | AttnStage] = {"stem": arch.stem}
    rows |= {f"conv{i}": row for i, row in enumerate(arch.conv, 1)}
    rows |= {f"attn{i}": row for i, row in enumerate(arch.attn, 1)}
    for stage, row in rows.items():
        first, later = stage_blocks(stage, sizes[stage], width, row, layout)
        for block in range(row.depth):
            for part, kernel in later if block else first:
                yield Place(stage, block, part), kernel
        width = row.width
    yield Place("head", 0, "block"), head_kernel(sizes["head"], width, layout)


def head_kernel(size: int, width: int, layout: Layout) -> Head:
    """The head behind `width` channels on a map of side `size`."""
    return Head(size, width, layout.head_expansion, layout.head_hidden, layout.classes)


@lru_cache(maxsize=65536)
def lower(arch: Arch, layout: Layout) -> tuple[Kernel, ...]:
    """The kernels of an architecture, input to output."""
    return tuple(kernel for _, kernel in walk(arch, layout))
