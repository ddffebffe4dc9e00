"""Costs of architectures: the protocol, per-stage tables, and multiply-accumulates.

Everything that costs anything is a sum over kernels, so a cost over a search space is a
table a stage: indexed by the genes that the stage's kernels depend on, filled once by
lowering, then read by fancy indexing for any number of architectures. `MacsCost` and the
predictors' `LatencyCost` share this and are interchangeable everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from elasticvit.arch import Arch, ArchBatch, AttnStage, ConvStage
from elasticvit.arrays import FloatArray
from elasticvit.errors import ArchError
from elasticvit.kernels import (
    FirstConv,
    Kernel,
    Place,
    head_kernel,
    stage_blocks,
    stage_sizes,
    walk,
)
from elasticvit.space import SearchSpace

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

    def upper(self, batch: ArchBatch) -> FloatArray | None:
        """Upper bound of the cost, shape (n,), which hard caps hold against their limit; None if
        nothing is known about the error of `price`, or it has none. Raises as `price` does."""
        ...


@runtime_checkable
class PlacedCost(Protocol):
    """A cost model that can tell which kernels an architecture's cost comes from."""

    def by_place(self, arch: Arch) -> list[tuple[Place, float]]:
        """Cost of every kernel of an architecture in its place, input to output, in the unit of the
        cost. What the price has beyond their sum belongs to no kernel.

        Raises:
            ArchError: the space of this cost does not have the architecture.
        """
        ...


class StageTables:
    """Sum of a kernel cost over architectures of a space, by table look-up.

    Args:
        space: the space; a table covers exactly its choices.
        cost: cost of each of a list of kernels; called once with every kernel of the space.
    """

    join: ClassVar[np.ufunc] = np.add  # of the costs of stages

    @staticmethod
    def block(costs: Iterable[float]) -> float:
        """Cost of a block of kernels."""
        return sum(costs)

    @staticmethod
    def repeats(depths: FloatArray) -> FloatArray:
        """How often the later blocks of a stage count, shape (n,), from its depths, shape (n,)."""
        return depths - 1

    def __init__(self, space: SearchSpace, cost: KernelCost) -> None:
        plans, kernels = _plan(space), space_kernels(space)
        choices = dict(zip(space.names, space.choices, strict=True))
        values = dict(zip(kernels, np.asarray(cost(kernels), dtype=np.float64), strict=True))
        self.space, self._values = space, values
        self._tables: list[tuple[FloatArray, list[tuple[int, npt.NDArray[np.int32]]]]] = []
        for plan in plans:
            genes = plan.genes
            first, later = (
                np.array([self.block(values[k] for k in block) for block in blocks]).reshape(
                    [len(choices[g]) for g in genes]
                )
                for blocks in (plan.first, plan.later)
            )
            table = first
            if plan.depth is not None:
                depths = np.array(choices[plan.depth], dtype=np.float64)
                table = self.join(first[..., None], later[..., None] * self.repeats(depths))
                genes = (*genes, plan.depth)
            steps = np.cumprod([1, *reversed(table.shape[1:])])[::-1]
            columns = [
                (space.names.index(g), _positions(choices[g], int(s)))
                for g, s in zip(genes, steps, strict=True)
            ]
            self._tables.append((np.ascontiguousarray(table.ravel()), columns))

    def sum(self, batch: ArchBatch) -> FloatArray:
        """Summed cost of every architecture, shape (n,); raises `ArchError` outside the space."""
        if (
            batch.genes.shape[1] != len(self.space.names)
            or batch.n_conv != self.space.layout.n_conv
        ):
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

    def by_place(self, arch: Arch) -> list[tuple[Place, float]]:
        """Cost of every kernel of an architecture in its place; raises `ArchError` outside the
        space."""
        self.space.check(arch)
        return [
            (place, float(self._values[kernel])) for place, kernel in walk(arch, self.space.layout)
        ]

    def _sum_chunk(self, columns: npt.NDArray[np.int16]) -> FloatArray:
        total: FloatArray = np.zeros(columns.shape[1])
        for table, axes in self._tables:
            gene, positions = axes[0]
            index = positions.take(columns[gene], mode="clip")
            for gene, positions in axes[1:]:
                index = index + positions.take(columns[gene], mode="clip")
            if index.size and index.min() < 0:
                self._refuse(columns)
            self.join(total, table.take(index), out=total)
        return total

    def _refuse(self, columns: npt.NDArray[np.int16]) -> None:
        for name, choices, column in zip(
            self.space.names, self.space.choices, columns, strict=True
        ):
            bad = np.setdiff1d(column, choices)
            if bad.size:
                raise ArchError(
                    f"gene {name} is {int(bad[0])}; space {self.space.name} offers "
                    f"{', '.join(map(str, choices))}"
                )


def _positions(choices: Sequence[int], step: int) -> npt.NDArray[np.int32]:
    """Value of a gene -> its position times `step`; far below zero for values not offered."""
    table = np.full(max(choices) + 2, -(2**26), dtype=np.int32)
    table[list(choices)] = np.arange(len(choices), dtype=np.int32) * step
    return table


def space_kernels(space: SearchSpace) -> tuple[Kernel, ...]:
    """Every kernel that an architecture of the space can contain, by kind and dimensions.

    Combinations of widths that fall from one stage to the next are among them: they cost
    nothing here and keep the tables rectangular.
    """
    found = {
        k for plan in _plan(space) for cells in (plan.first, plan.later) for c in cells for k in c
    }
    return tuple(sorted(found, key=lambda k: (k.kind, *k.dims.values())))


def reachable_kernels(space: SearchSpace) -> list[Kernel]:
    """The kernels that an architecture of the space can contain, widths never falling."""
    return [
        k
        for k in space_kernels(space)
        if k.kind not in ("mbconv", "downsample") or k.dims["cin"] <= k.dims["cout"]
    ]


@dataclass(frozen=True)
class _StagePlan:
    """One table: the kernels of a stage's first and later blocks for every combination of the
    genes they depend on, in row-major order, and the gene that repeats the later blocks."""

    genes: tuple[str, ...]
    depth: str | None
    first: list[tuple[Kernel, ...]]
    later: list[tuple[Kernel, ...]]


@lru_cache(maxsize=8)
def _plan(space: SearchSpace) -> tuple[_StagePlan, ...]:
    layout, choices = space.layout, dict(zip(space.names, space.choices, strict=True))
    resolutions = choices["resolution"]
    sizes = {r: stage_sizes(r, layout) for r in resolutions}

    def ends(gene: str, kernel: Callable[[int, int], Kernel]) -> _StagePlan:
        cells: list[tuple[Kernel, ...]] = [
            (kernel(r, w),) for r, w in product(resolutions, choices[gene])
        ]
        return _StagePlan(("resolution", gene), None, cells, [()] * len(cells))

    plans = [ends("stem.width", lambda r, w: FirstConv(r, layout.in_channels, w))]
    previous = "stem"
    for stage in space.stages:
        row_type = AttnStage if stage.startswith("attn") else ConvStage
        own = [n for n in space.names if n.startswith(f"{stage}.") and not n.endswith(".depth")]
        incoming = [] if stage == "stem" else [f"{previous}.width"]
        plan = _StagePlan(("resolution", *incoming, *own), f"{stage}.depth", [], [])
        for r, *rest in product(*(choices[g] for g in plan.genes)):
            cin = rest[0]  # the stem's own width is also what enters it
            width, *others = rest[len(incoming) :]
            row = row_type(width, 1, *others)
            first, later = stage_blocks(stage, sizes[r][stage], cin, row, layout)
            plan.first.append(tuple(k for _, k in first))
            plan.later.append(tuple(k for _, k in later))
        plans.append(plan)
        previous = stage
    plans.append(ends(f"{previous}.width", lambda r, w: head_kernel(sizes[r]["head"], w, layout)))
    return tuple(plans)


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
        self._tables = StageTables(
            space, lambda kernels: np.array([float(k.macs) for k in kernels])
        )

    def price(self, batch: ArchBatch) -> FloatArray:
        """Millions of multiply-accumulates of every architecture, shape (n,)."""
        millions: FloatArray = self._tables.sum(batch) / 1e6
        return millions

    def by_place(self, arch: Arch) -> list[tuple[Place, float]]:
        """Millions of multiply-accumulates of every kernel in its place, input to output."""
        return [(place, macs / 1e6) for place, macs in self._tables.by_place(arch)]

    def upper(self, batch: ArchBatch) -> None:
        """None: multiply-accumulates are exact."""
