"""The only lowering: the kernels of an architecture, input to output.

`walk` goes through an architecture once; the supernet's forward, the static subnet, the kernel
models that are timed and every cost follow the sequence that it gives. The kinds of kernels stand
in `kernel_kinds`, what a space fixes in `layout`; both can be imported from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from elasticvit.arch import Arch, AttnStage, ConvStage
from elasticvit.errors import ArchError
from elasticvit.kernel_kinds import DOWNSAMPLE_EXPANSION as DOWNSAMPLE_EXPANSION
from elasticvit.kernel_kinds import DOWNSAMPLE_KERNEL as DOWNSAMPLE_KERNEL
from elasticvit.kernel_kinds import FFN as FFN
from elasticvit.kernel_kinds import KINDS as KINDS
from elasticvit.kernel_kinds import QK_DIM as QK_DIM
from elasticvit.kernel_kinds import SE_RATIO as SE_RATIO
from elasticvit.kernel_kinds import Attention as Attention
from elasticvit.kernel_kinds import Downsample as Downsample
from elasticvit.kernel_kinds import FirstConv as FirstConv
from elasticvit.kernel_kinds import Head as Head
from elasticvit.kernel_kinds import Kernel as Kernel
from elasticvit.kernel_kinds import MBConv as MBConv
from elasticvit.layout import Layout as Layout


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
