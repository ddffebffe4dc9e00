"""Feature maps of a static network: where they are taken, their widths and strides.

A network has one feature map a stage, the output of the stage's last block: the stem (with
the first convolution), the MBConv stages and the transformer stages, in this order.

Shapes: B batch, N tokens, C width, H and W map sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from torch import Tensor

from elasticvit.arch import Arch
from elasticvit.errors import ModelError
from elasticvit.kernels import FFN, Attention, Head, Layout, walk

FORMATS = ("NCHW", "NLC")


@dataclass(frozen=True, kw_only=True)
class FeatureStage:
    """One stage as a source of feature maps.

    Attributes:
        name: `stem`, `conv1`.., `attn1`..
        blocks: indices of the stage's blocks in the chain of the static network.
        width: channels of the map.
        reduction: product of all strides up to here.
        side: side of the map in pixels, the resolution / reduction rounded up.
    """

    name: str
    blocks: range
    width: int
    reduction: int
    side: int


@lru_cache(maxsize=4096)
def feature_stages(arch: Arch, layout: Layout) -> tuple[FeatureStage, ...]:
    """The stages of an architecture, input to output, without the head.

    Raises:
        ArchError: the architecture's number of stages is not the layout's.
    """
    stages: dict[str, FeatureStage] = {}
    reduction = 1
    for index, (place, kernel) in enumerate(walk(arch, layout)):
        if isinstance(kernel, Head):
            break
        name = "stem" if place.stage == "first" else place.stage
        reduction *= getattr(kernel, "stride", 1)
        stages[name] = FeatureStage(
            name=name,
            blocks=range(stages[name].blocks.start if name in stages else index, index + 1),
            width=kernel.width if isinstance(kernel, Attention | FFN) else kernel.dims["cout"],
            reduction=reduction,
            side=kernel.out_size,
        )
    return tuple(stages.values())


def feature_info(stages: Sequence[FeatureStage]) -> list[dict[str, Any]]:
    """timm's description of the stages: `num_chs`, `reduction` and `module` of each map."""
    return [
        {"num_chs": s.width, "reduction": s.reduction, "module": f"blocks.{s.blocks[-1]}"}
        for s in stages
    ]


def pyramid_indices(stages: Sequence[FeatureStage]) -> tuple[int, ...]:
    """Indices of one stage for each distinct reduction: the last one before the next
    downsampling, so that the maps form a pyramid for a detector's neck."""
    last = {stage.reduction: index for index, stage in enumerate(stages)}
    return tuple(last.values())


def chosen_indices(n_stages: int, indices: int | Sequence[int] | None) -> list[int]:
    """Indices from 0 of the chosen stages.

    Args:
        n_stages: number of stages that there are.
        indices: the last n stages for a number n, all stages for None, otherwise the indices
            themselves, negative ones counted from the end.

    Raises:
        ModelError: an index that does not exist, or no index at all.
    """
    if indices is None:
        return list(range(n_stages))
    wanted = range(-indices, 0) if isinstance(indices, int) else indices
    outside = [i for i in wanted if not -n_stages <= i < n_stages]
    if outside or not len(wanted):
        raise ModelError(
            f"feature indices {indices!r}; this network has {n_stages} stages, so choose one or "
            f"more of 0 to {n_stages - 1} (or negative ones from the end), or a number from 1 to "
            f"{n_stages} for the last ones"
        )
    return [i % n_stages for i in wanted]


def formatted(x: Tensor, side: int, output_fmt: str) -> Tensor:
    """A block's output, map (B, C, H, W) or tokens (B, N, C), in the format asked for.

    Args:
        x: the output.
        side: side of the map in pixels; N = side * side.
        output_fmt: `NCHW` for maps or `NLC` for tokens.

    Raises:
        ModelError: another format.
    """
    if output_fmt not in FORMATS:
        raise ModelError(f"output_fmt {output_fmt!r}; the formats are {', '.join(FORMATS)}")
    if output_fmt == "NCHW" and x.dim() == 3:
        return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], side, side)
    if output_fmt == "NLC" and x.dim() == 4:
        return x.flatten(2).transpose(1, 2)
    return x
