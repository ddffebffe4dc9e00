"""Architectures: one as a frozen value, many as one integer array.

A genome is the input resolution plus one row a stage; all blocks of a stage share the
row (ElasticViT, ICCV 2023, section 3). The stem and the convolutional stages have rows of
width, depth, expansion and kernel; the transformer stages have rows of width, depth, MLP
ratio and V scale. What is fixed for every architecture of a space (strides,
squeeze-and-excitation, head) is not in the genome but in `elasticvit.kernels.Layout`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from elasticvit.arrays import GeneArray
from elasticvit.errors import ArchError
from elasticvit.reading import Format, shown

SCHEMA = 1
CONV_GENES = ("width", "depth", "expansion", "kernel")
ATTN_GENES = ("width", "depth", "mlp_ratio", "v_scale")
TEXT = re.compile(r"r(\d+) (\d+x\d+e\d+k\d+(?: \d+x\d+e\d+k\d+)*) \|((?: \d+x\d+m\d+v\d+)*)")


@dataclass(frozen=True, order=True)
class ConvStage:
    """MBConv stage; the stem is the expansion-1 case. `width` in channels, `depth` in blocks."""

    width: int
    depth: int
    expansion: int
    kernel: int


@dataclass(frozen=True, order=True)
class AttnStage:
    """Transformer stage: `depth` pairs of attention and FFN behind one downsampling block."""

    width: int
    depth: int
    mlp_ratio: int
    v_scale: int


@dataclass(frozen=True, order=True)
class Arch:
    """One architecture.

    Attributes:
        resolution: side of the square input image, in pixels.
        stem: the depthwise-separable blocks behind the first convolution (expansion 1).
        conv: the MBConv stages, input side first.
        attn: the transformer stages, input side first.

    Raises:
        ArchError: a gene is not a positive integer, or the stem's expansion is not 1.
    """

    resolution: int
    stem: ConvStage
    conv: tuple[ConvStage, ...]
    attn: tuple[AttnStage, ...]

    def __post_init__(self) -> None:
        for name, value in zip(gene_names(len(self.conv), len(self.attn)), self.genes, strict=True):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**15:
                raise ArchError(
                    f"gene {name} is {value!r}; every gene is a whole number from 1 to 32767"
                )
        if self.stem.expansion != 1:
            raise ArchError(f"gene stem.expansion is {self.stem.expansion}; the stem has none (1)")

    @property
    def genes(self) -> tuple[int, ...]:
        """The genome as one flat row, in the order of `gene_names`."""
        rows = [(s.width, s.depth, s.expansion, s.kernel) for s in (self.stem, *self.conv)]
        rows += [(a.width, a.depth, a.mlp_ratio, a.v_scale) for a in self.attn]
        return (self.resolution, *(gene for row in rows for gene in row))

    @classmethod
    def from_genes(cls, genes: Iterable[int], n_conv: int) -> Arch:
        """The architecture of one flat row with `n_conv` convolutional stages."""
        flat = [int(g) for g in genes]
        if len(flat) < 5 + 4 * n_conv or (len(flat) - 1) % 4:
            raise ArchError(
                f"a row of {len(flat)} genes; expected 1 for the resolution and 4 for each of "
                f"the stem, {n_conv} convolutional and any number of transformer stages"
            )
        rows = [flat[i : i + 4] for i in range(1, len(flat), 4)]
        return cls(
            flat[0],
            ConvStage(*rows[0]),
            tuple(ConvStage(*r) for r in rows[1 : 1 + n_conv]),
            tuple(AttnStage(*r) for r in rows[1 + n_conv :]),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form with its schema version."""
        return {
            "schema": SCHEMA,
            "resolution": self.resolution,
            "stem": vars(self.stem),
            "conv": [vars(s) for s in self.conv],
            "attn": [vars(s) for s in self.attn],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Arch:
        """Inverse of `to_dict`.

        Raises:
            ArchError: another schema, fields that are missing, or genes that none can have.
        """
        return ARCH_FORMAT.parse(data, "architecture")

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Arch:
        """Inverse of `to_json`; raises `ArchError` on anything else."""
        return ARCH_FORMAT.parse_json(text, "architecture")

    @classmethod
    def parse(cls, text: str) -> Arch:
        """Inverse of `str`, such as `r32 8x1e1k3 16x1e2k3 24x1e2k3 | 48x1m2v2 64x1m2v2`.

        The resolution, then for the stem and each MBConv stage WIDTHxDEPTHeEXPANSIONkKERNEL, a
        bar, and for each transformer stage WIDTHxDEPTHmMLP_RATIOvV_SCALE. White space may be
        of any kind and length.

        Raises:
            ArchError: the text has another form, or a gene that no architecture can have.
        """
        match = TEXT.fullmatch(" ".join(text.replace("|", " | ").split()))
        if match is None:
            raise ArchError(
                f"{shown(text)} is not an architecture; it is written as in "
                "'r32 8x1e1k3 16x1e2k3 24x1e2k3 | 48x1m2v2 64x1m2v2'"
            )
        resolution, conv, attn = match.groups()
        genes = [resolution, *re.findall(r"\d+", conv), *re.findall(r"\d+", attn)]
        return cls.from_genes(map(int, genes), len(conv.split()) - 1)

    def __str__(self) -> str:
        conv = " ".join(
            f"{s.width}x{s.depth}e{s.expansion}k{s.kernel}" for s in (self.stem, *self.conv)
        )
        attn = " ".join(f"{s.width}x{s.depth}m{s.mlp_ratio}v{s.v_scale}" for s in self.attn)
        return f"r{self.resolution} {conv} | {attn}".rstrip()


ARCH_FORMAT = Format(
    kind=Arch,
    what="an architecture",
    error=ArchError,
    mend="write the architecture again",
    schema=SCHEMA,
)


def gene_names(n_conv: int, n_attn: int) -> tuple[str, ...]:
    """Names of a flat row's genes: `resolution`, `stem.width`, ... `attn4.v_scale`."""
    stages = ["stem", *(f"conv{i + 1}" for i in range(n_conv))]
    names = [f"{stage}.{gene}" for stage in stages for gene in CONV_GENES]
    names += [f"attn{i + 1}.{gene}" for i in range(n_attn) for gene in ATTN_GENES]
    return ("resolution", *names)


@dataclass(frozen=True, eq=False)
class ArchBatch:
    """Many architectures of one form.

    Attributes:
        genes: int16 array (n, genes), a row an architecture, columns as in `gene_names`.
        n_conv: number of convolutional stages, which splits the columns.
    """

    genes: GeneArray
    n_conv: int

    @classmethod
    def of(cls, archs: Sequence[Arch]) -> ArchBatch:
        """Batch of at least one architecture, all with the same number of stages."""
        if not archs:
            raise ArchError("a batch needs at least one architecture to know its form")
        forms = {(len(a.conv), len(a.attn)) for a in archs}
        if len(forms) > 1:
            raise ArchError(f"architectures of different forms in one batch: {sorted(forms)}")
        return cls(np.array([a.genes for a in archs], dtype=np.int16), len(archs[0].conv))

    @property
    def n_attn(self) -> int:
        columns: int = self.genes.shape[1]
        return (columns - 1) // 4 - 1 - self.n_conv

    @property
    def names(self) -> tuple[str, ...]:
        return gene_names(self.n_conv, self.n_attn)

    def column(self, name: str) -> GeneArray:
        """One gene of all architectures, shape (n,)."""
        return self.genes[:, self.names.index(name)]

    def __len__(self) -> int:
        return len(self.genes)

    def __getitem__(self, index: int) -> Arch:
        return Arch.from_genes(self.genes[index], self.n_conv)

    def __iter__(self) -> Iterator[Arch]:
        return (self[i] for i in range(len(self)))

    def take(self, rows: npt.NDArray[Any] | slice) -> ArchBatch:
        """The architectures at `rows` (indices, a mask or a slice)."""
        return ArchBatch(self.genes[rows], self.n_conv)

    def concat(self, *others: ArchBatch) -> ArchBatch:
        """This batch followed by the others."""
        return ArchBatch(np.concatenate([self.genes, *(o.genes for o in others)]), self.n_conv)

    def distinct(self) -> ArchBatch:
        """Without repeats, in the order in which each stands first."""
        _, first = np.unique(self.genes, axis=0, return_index=True)
        return self.take(np.sort(first))

    def unique(self) -> ArchBatch:
        """Without repeats, sorted."""
        return ArchBatch(np.unique(self.genes, axis=0), self.n_conv)
