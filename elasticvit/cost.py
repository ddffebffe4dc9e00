"""Costs of architectures: the protocol, per-stage tables, and multiply-accumulates.

Everything that costs anything is a sum over kernels, so a cost over a search space is a
table a stage: indexed by the genes that the stage's kernels depend on, filled once by
lowering, then read by fancy indexing for any number of architectures. `MacsCost` and the
predictors' `LatencyCost` share this and are interchangeable everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from elasticvit.arch import ArchBatch, AttnStage, ConvStage
from elasticvit.errors import ArchError
from elasticvit.kernels import FirstConv, Kernel, head_kernel, stage_blocks, stage_sizes
from elasticvit.space import SearchSpace

FloatArray = npt.NDArray[np.float64]
KernelCost = Callable[[Sequence[Kernel]], FloatArray]
CHUNK = 65536  # rows priced at a time, so that the columns stay in cache


class CostModel(Protocol):
    """What a level, a cap or a Pareto axis is measured in.

    Attributes:
        unit: `MMACs` (millions of multiply-accumulates) or `ms` (milliseconds).
        name: what is measured, such as `macs` or `latency on host`.
    """

    @property
    def unit(self) -> str: ...

    @property
    def name(self) -> str: ...

    def price(self, batch: ArchBatch) -> FloatArray:
        """Cost of every architecture, shape (n,), in `unit`.

        Raises:
            ArchError: a gene has a value that the space of this cost does not offer.
        """
        ...


class StageTables:
    """Sum of a kernel cost over architectures of a space, by table look-up.

    Args:
        space: the space; a table covers exactly its choices.
        cost: cost of each of a list of kernels; called once with every kernel of the space.
    """

    def __init__(self, space: SearchSpace, cost: KernelCost) -> None:
        names, choices = space.names, dict(zip(space.names, space.choices, strict=True))
        plans = _plan(space)
        kernels = sorted({k for _, first, later in plans for k in (*first, *later)}, key=_order)
        values = dict(zip(kernels, np.asarray(cost(kernels), dtype=np.float64), strict=True))
        self.space = space
        self._tables: list[tuple[FloatArray, list[tuple[int, npt.NDArray[np.int32]]]]] = []
        for genes, cells in _by_stage(plans):
            axes = [choices[g] for g in genes]
            first = np.array([sum(values[k] for k in f) for f, _ in cells])
            table = first.reshape([len(a) for a in axes])
            depth_gene = next((g for g in _depths(genes, names)), None)
            if depth_gene is not None:
                later = np.array([sum(values[k] for k in b) for _, b in cells])
                depths = np.array(choices[depth_gene], dtype=np.float64)
                table = table[..., None] + later.reshape(table.shape)[..., None] * (depths - 1)
                genes, axes = [*genes, depth_gene], [*axes, choices[depth_gene]]
            steps = np.cumprod([1, *reversed(table.shape[1:])])[::-1]
            columns = [
                (names.index(g), _positions(a, int(s)))
                for g, a, s in zip(genes, axes, steps, strict=True)
            ]
            self._tables.append((np.ascontiguousarray(table.ravel()), columns))

    def sum(self, batch: ArchBatch) -> FloatArray:
        """Summed cost of every architecture, shape (n,); raises `ArchError` outside the space."""
        if batch.genes.shape[1] != len(self.space.names) or batch.n_conv != self.space.layout.n_conv:
            raise ArchError(
                f"architectures with {batch.genes.shape[1]} genes and {batch.n_conv} convolutional "
                f"stages; space {self.space.name} has {len(self.space.names)} and "
                f"{self.space.layout.n_conv}"
            )
        total = np.empty(len(batch))
        for start in range(0, len(batch), CHUNK):
            rows = np.ascontiguousarray(batch.genes[start : start + CHUNK].T)
            total[start : start + CHUNK] = self._sum_chunk(rows)
        return total

    def _sum_chunk(self, columns: npt.NDArray[np.int16]) -> FloatArray:
        total: FloatArray = np.zeros(columns.shape[1])
        for table, axes in self._tables:
            gene, positions = axes[0]
            index = positions.take(columns[gene], mode="clip")
            for gene, positions in axes[1:]:
                index = index + positions.take(columns[gene], mode="clip")
            if index.size and index.min() < 0:
                self._refuse(columns)
            total += table.take(index)
        return total

    def _refuse(self, columns: npt.NDArray[np.int16]) -> None:
        for name, choices, column in zip(self.space.names, self.space.choices, columns, strict=True):
            bad = np.setdiff1d(column, choices)
            if bad.size:
                raise ArchError(
                    f"gene {name} is {int(bad[0])}; space {self.space.name} offers "
                    f"{', '.join(map(str, choices))}"
                )


def _order(kernel: Kernel) -> tuple[Any, ...]:
    return (kernel.kind, *kernel.dims.values())


def _positions(choices: Sequence[int], step: int) -> npt.NDArray[np.int32]:
    """Value of a gene -> its position times `step`; far below zero for values not offered."""
    table = np.full(max(choices) + 2, -(2**26), dtype=np.int32)
    table[list(choices)] = np.arange(len(choices), dtype=np.int32) * step
    return table


Plan = tuple[tuple[str, ...], tuple[Kernel, ...], tuple[Kernel, ...]]


def _plan(space: SearchSpace) -> list[Plan]:
    """For every stage and every combination of the genes it depends on (all but depth):
    the genes' names, the first block's kernels and a later block's kernels."""
    layout, choices = space.layout, dict(zip(space.names, space.choices, strict=True))
    sizes = {r: stage_sizes(r, layout) for r in choices["resolution"]}
    plans: list[Plan] = []
    for r, w in product(choices["resolution"], choices["stem.width"]):
        plans.append((("resolution", "stem.width"), (FirstConv(r, layout.in_channels, w),), ()))
    previous = "stem"
    for stage in space.stages:
        row_type = AttnStage if stage.startswith("attn") else ConvStage
        own = [n for n in space.names if n.startswith(stage + ".") and not n.endswith(".depth")]
        incoming = [] if stage == "stem" else [f"{previous}.width"]
        genes = ("resolution", *incoming, *own)
        for r, *rest in product(*(choices[g] for g in genes)):
            cin = rest[0]  # the stem's own width is also what enters it
            width, *others = rest[len(incoming) :]
            row = row_type(width, 1, *others)
            first, later = stage_blocks(stage, sizes[r][stage], cin, row, layout)
            plans.append((genes, tuple(k for _, k in first), tuple(k for _, k in later)))
        previous = stage
    last = f"{previous}.width"
    for r, w in product(choices["resolution"], choices[last]):
        plans.append((("resolution", last), (head_kernel(sizes[r]["head"], w, layout),), ()))
    return plans


def _by_stage(
    plans: Sequence[Plan],
) -> list[tuple[list[str], list[tuple[tuple[Kernel, ...], tuple[Kernel, ...]]]]]:
    """Consecutive plans with the same genes, as one table's cells in row-major order."""
    grouped: list[tuple[list[str], list[tuple[tuple[Kernel, ...], tuple[Kernel, ...]]]]] = []
    for genes, first, later in plans:
        if not grouped or grouped[-1][0] != list(genes):
            grouped.append((list(genes), []))
        grouped[-1][1].append((first, later))
    return grouped


def _depths(genes: Sequence[str], names: Sequence[str]) -> list[str]:
    """The depth gene of the stage whose own genes these are, if it is one with blocks."""
    stage = genes[-1].rpartition(".")[0]
    has_blocks = len(genes) > 2
    return [n for n in names if has_blocks and n == f"{stage}.depth"]


class MacsCost:
    """Multiply-accumulates in millions, by the authors' counting rule.

    The rule leaves out norms, activations, biases, pooling, the downsampling block's SE and
    shortcut and the shortcuts of stride-1 blocks; counts an input of a strided block as twice
    its output; and counts the depthwise conv on V as one per output element. It reproduces
    the paper's 37 M to 3191 M and the published models' figures in every digit.
    """

    unit = "MMACs"
    name = "macs"

    def __init__(self, space: SearchSpace) -> None:
        self._tables = StageTables(space, lambda kernels: np.array([float(k.macs) for k in kernels]))

    def price(self, batch: ArchBatch) -> FloatArray:
        """Millions of multiply-accumulates of every architecture, shape (n,)."""
        millions: FloatArray = self._tables.sum(batch) / 1e6
        return millions
