"""The nine published architectures, and the authors' ten-field form.

The form is `[resolution, widths, depths, conv ratios, conv kernels, MLP ratios, heads,
window sizes, qk scales, V scales]`, with one width and depth a stage (stem first) and one
entry a block in the lists after them (Moonlit/ElasticViT, `configs/final_3min_space_eval.yaml`).
Windows and qk scales are 1 throughout, heads are width / 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from elasticvit.arch import Arch, ArchBatch, AttnStage, ConvStage
from elasticvit.errors import ArchError
from elasticvit.kernels import QK_DIM
from elasticvit.space import SearchSpace, find_space

N_CONV = 2


def _arch(
    resolution: int,
    stem: tuple[int, int, int],
    conv: Sequence[tuple[int, int, int, int]],
    attn: Sequence[tuple[int, int, int, int]],
) -> Arch:
    width, depth, kernel = stem
    return Arch(
        resolution,
        ConvStage(width, depth, 1, kernel),
        tuple(ConvStage(*row) for row in conv),
        tuple(AttnStage(*row) for row in attn),
    )


# rows: stem (width, depth, kernel); conv (width, depth, expansion, kernel);
# transformer (width, depth, MLP ratio, V scale)
PUBLISHED: dict[str, Arch] = {
    "elastic_T1": _arch(
        128,
        (16, 1, 3),
        [(24, 2, 3, 3), (32, 3, 3, 3)],
        [(64, 1, 2, 2), (96, 1, 2, 2), (176, 1, 3, 2), (272, 1, 4, 2)],
    ),
    "elastic_T2": _arch(
        160,
        (16, 1, 3),
        [(24, 2, 3, 3), (40, 3, 3, 3)],
        [(48, 1, 3, 2), (96, 1, 4, 2), (176, 2, 3, 2), (256, 2, 2, 2)],
    ),
    "elastic_S1": _arch(
        192,
        (16, 1, 3),
        [(24, 3, 3, 3), (40, 3, 3, 3)],
        [(64, 2, 2, 2), (96, 2, 2, 2), (192, 2, 3, 2), (272, 2, 4, 2)],
    ),
    "elastic_S2": _arch(
        224,
        (16, 1, 3),
        [(24, 3, 3, 3), (48, 3, 3, 3)],
        [(64, 2, 2, 2), (96, 2, 2, 2), (192, 2, 2, 2), (256, 2, 4, 2)],
    ),
    "elastic_M": _arch(
        224,
        (16, 1, 5),
        [(32, 3, 3, 3), (48, 5, 3, 3)],
        [(64, 2, 2, 2), (96, 2, 4, 2), (192, 2, 4, 2), (288, 2, 5, 2)],
    ),
    "elastic_L1": _arch(
        256,
        (16, 1, 5),
        [(24, 3, 3, 5), (40, 3, 6, 5)],
        [(64, 2, 4, 2), (96, 2, 3, 2), (192, 2, 4, 2), (320, 2, 4, 2)],
    ),
    "elastic_L1.5": _arch(
        256,
        (16, 2, 3),
        [(24, 4, 3, 3), (48, 4, 4, 5)],
        [(64, 2, 4, 2), (96, 2, 5, 2), (256, 2, 3, 2), (320, 2, 5, 2)],
    ),
    "elastic_L2": _arch(
        256,
        (16, 1, 3),
        [(24, 3, 6, 3), (40, 4, 6, 3)],
        [(80, 2, 3, 2), (128, 2, 2, 2), (256, 2, 3, 2), (304, 2, 5, 3)],
    ),
    "elastic_L3": _arch(
        256,
        (16, 1, 5),
        [(32, 3, 5, 3), (48, 4, 5, 5)],
        [(80, 2, 4, 2), (128, 2, 4, 2), (256, 2, 3, 2), (320, 2, 5, 2)],
    ),
}


def published(name: str) -> Arch:
    """A published architecture by name, such as `elastic_S1` (case and prefix do not matter,
    and `elastic_l1_5` is `elastic_L1.5`).

    Raises:
        ArchError: unknown name; the message lists the known ones.
    """
    for known, arch in PUBLISHED.items():
        if timm_name(name) == timm_name(known):
            return arch
    raise ArchError(f"no published architecture {name!r}; known: {', '.join(PUBLISHED)}")


def timm_name(name: str) -> str:
    """A published name as timm writes names: `elastic_l1_5` for `elastic_L1.5` or `L1.5`."""
    return "elastic_" + name.lower().removeprefix("elastic_").replace(".", "_")


def list_models(space: SearchSpace | str | Path | None = None) -> list[str]:
    """Names that `elasticvit.nn.create_model` knows.

    Args:
        space: only the published architectures of this space, besides its `smallest` and
            `largest`: a space, the name of a preset, or the path of a TOML file.

    Returns:
        The nine published names if no space is given.

    Raises:
        SpaceError: no such space.
    """
    if space is None:
        return list(PUBLISHED)
    if not isinstance(space, SearchSpace):
        space = find_space(str(space))
    inside = [name for name, arch in PUBLISHED.items() if space.valid(ArchBatch.of([arch]))[0]]
    return [*inside, "smallest", "largest"]


def to_authors(arch: Arch) -> list[Any]:
    """The authors' ten-field form of an architecture."""
    conv, attn = (arch.stem, *arch.conv), arch.attn
    stages: tuple[ConvStage | AttnStage, ...] = (*conv, *attn)
    return [
        arch.resolution,
        [row.width for row in stages],
        [row.depth for row in stages],
        [row.expansion for row in conv for _ in range(row.depth)],
        [row.kernel for row in conv for _ in range(row.depth)],
        [row.mlp_ratio for row in attn for _ in range(row.depth)],
        [row.width // QK_DIM for row in attn for _ in range(row.depth)],
        [1 for row in attn for _ in range(row.depth)],
        [1 for row in attn for _ in range(row.depth)],
        [row.v_scale for row in attn for _ in range(row.depth)],
    ]


def from_authors(form: Sequence[Any], n_conv: int = N_CONV) -> Arch:
    """Architecture of the authors' ten-field form with `n_conv` MBConv stages.

    Raises:
        ArchError: wrong number of fields or entries; blocks of one stage that differ, heads
            that are not width / 16, windows or qk scales other than 1 (the stage is named).
    """
    try:
        resolution, widths, depths, ratios, kernels, mlps, heads, windows, qks, vs = form
        n_stages, n_stem_conv = len(widths), 1 + n_conv
        if len(depths) != n_stages or n_stages < n_stem_conv:
            raise ArchError(f"{n_stages} widths and {len(depths)} depths; expected one a stage")
        conv_ends = list(accumulate(depths[:n_stem_conv]))
        attn_ends = list(accumulate(depths[n_stem_conv:]))
    except (TypeError, ValueError) as error:
        if isinstance(error, ArchError):
            raise
        raise ArchError(f"not the authors' form of ten fields: {error}") from error
    blocks = {"conv": conv_ends[-1], "transformer": attn_ends[-1] if attn_ends else 0}
    for name, values, part in (
        ("conv ratios", ratios, "conv"),
        ("conv kernels", kernels, "conv"),
        ("MLP ratios", mlps, "transformer"),
        ("heads", heads, "transformer"),
        ("windows", windows, "transformer"),
        ("qk scales", qks, "transformer"),
        ("V scales", vs, "transformer"),
    ):
        if len(values) != blocks[part]:
            raise ArchError(
                f"{len(values)} {name} for {blocks[part]} {part} blocks; one a block is needed"
            )

    def shared(values: Sequence[int], end: int, depth: int, what: str, stage: str) -> int:
        found = sorted(set(values[end - depth : end]))
        if len(found) != 1:
            raise ArchError(
                f"stage {stage} has blocks with {what} {found}; all blocks of a stage share it"
            )
        return int(found[0])

    rows = []
    for i, end in enumerate(conv_ends):
        stage, depth = ("stem" if i == 0 else f"conv{i}"), depths[i]
        ratio = shared(ratios, end, depth, "expansion", stage)
        kernel = shared(kernels, end, depth, "kernel", stage)
        rows.append(ConvStage(widths[i], depth, ratio, kernel))
    attn = []
    for i, end in enumerate(attn_ends):
        stage, width, depth = f"attn{i + 1}", widths[n_stem_conv + i], depths[n_stem_conv + i]
        fixed = (("heads", heads, width // QK_DIM), ("window", windows, 1), ("qk scale", qks, 1))
        for what, values, rule in fixed:
            value = shared(values, end, depth, what, stage)
            if value != rule:
                raise ArchError(f"stage {stage} has {what} {value}; this space has {rule}")
        mlp = shared(mlps, end, depth, "MLP ratio", stage)
        attn.append(AttnStage(width, depth, mlp, shared(vs, end, depth, "V scale", stage)))
    return Arch(resolution, rows[0], tuple(rows[1:]), tuple(attn))
