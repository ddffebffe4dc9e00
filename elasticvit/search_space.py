"""Search spaces: the choices of every gene, and drawing, changing and checking batches.

A space is a `Layout` (what is fixed) plus a tuple of choices per gene. The one rule between
genes is the paper's: a stage is never narrower than the stage before it. Everything works on
`ArchBatch`es; a random generator is always passed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import tomlkit

from elasticvit.arch import Arch, ArchBatch, gene_names
from elasticvit.errors import ArchError, SpaceError
from elasticvit.kernels import QK_DIM, Layout
from elasticvit.names import check_name
from elasticvit.reading import shown
from elasticvit.space_file import SPACE_FORMAT

GENE_LIMITS = {  # greatest value
    "resolution": 4096,
    "width": 8192,
    "depth": 64,
    "expansion": 64,
    "kernel": 99,
    "mlp_ratio": 64,
    "v_scale": 64,
}


@dataclass(frozen=True)
class SearchSpace:
    """A search space.

    Attributes:
        name: how reports and the workspace call it.
        layout: what all its architectures have in common.
        choices: for each gene, in the order of `names`, the sorted values it may take.
        file: path of the TOML file that it was read from, if any; not a part of what it is.

    Raises:
        SpaceError: a name that no file could have, or choices that are missing, unsorted, out of
            range or impossible to combine.
    """

    name: str
    layout: Layout
    choices: tuple[tuple[int, ...], ...]
    file: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_name("name of a search space", self.name, SpaceError)
        if self.layout.classes < 1:
            raise SpaceError(f"space {self.name}: classes is 0; it must be at least 1")
        if len(self.choices) != len(self.names):
            raise SpaceError(f"{len(self.choices)} genes have choices; expected {self.names}")
        for name, options in zip(self.names, self.choices, strict=True):
            most = GENE_LIMITS[name.rpartition(".")[2]]
            if (
                not 0 < len(options) <= most
                or list(options) != sorted(set(options))
                or not 1 <= options[0] <= options[-1] <= most
            ):
                raise SpaceError(
                    f"space {self.name}: choices of {name} are {shown(list(options))}; they must "
                    f"be whole numbers from 1 to {most:,}, rising, and at least one"
                )
            if (
                name.startswith("attn")
                and name.endswith("width")
                and any(o % QK_DIM for o in options)
            ):
                raise SpaceError(
                    f"space {self.name}: choices of {name} are {list(options)}; transformer "
                    f"widths are multiples of the head dimension {QK_DIM}"
                )
            if name.endswith("kernel") and any(o not in (3, 5) for o in options):
                raise SpaceError(f"space {self.name}: {name} offers {list(options)}; 3 and 5 exist")
        if self._options("stem.expansion") != (1,):
            raise SpaceError(f"space {self.name}: stem.expansion must be exactly [1]")
        largest = [self.choices[i][-1] for i in self._width_columns]
        if largest != sorted(largest):
            raise SpaceError(
                f"space {self.name}: largest widths are {largest}; a stage is never narrower than "
                "the one before it, so they must not fall"
            )

    def _options(self, name: str) -> tuple[int, ...]:
        return self.choices[self.names.index(name)]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the genes, which are the columns of a batch."""
        return gene_names(self.layout.n_conv, self.layout.n_attn)

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """`stem`, `conv1`.., `attn1`.. in order."""
        return tuple(n.rpartition(".")[0] for n in self.names if n.endswith(".width"))

    @cached_property
    def _width_columns(self) -> tuple[int, ...]:
        return tuple(i for i, n in enumerate(self.names) if n.endswith(".width"))

    def with_classes(self, classes: int) -> SearchSpace:
        """The same space with a classifier for `classes` classes."""
        return replace(self, layout=replace(self.layout, classes=classes))

    @property
    def smallest(self) -> Arch:
        """Every gene at its least value (widths raised where the rule asks for it)."""
        return self.repaired(np.array([[c[0] for c in self.choices]]))[0]

    @property
    def largest(self) -> Arch:
        """Every gene at its greatest value."""
        return self.repaired(np.array([[c[-1] for c in self.choices]]))[0]

    def size(self) -> int:
        """Exact number of architectures."""
        free = math.prod(len(c) for i, c in enumerate(self.choices) if i not in self._width_columns)
        ways = {0: 1}  # width of the last stage -> number of valid chains that end in it
        for column in self._width_columns:
            ways = {
                w: sum(count for last, count in ways.items() if last <= w)
                for w in self.choices[column]
            }
        return free * sum(ways.values())

    def valid(self, batch: ArchBatch) -> npt.NDArray[np.bool_]:
        """Whether each architecture lies in the space, shape (n,)."""
        if batch.genes.shape[1] != len(self.names) or batch.n_conv != self.layout.n_conv:
            return np.zeros(len(batch), dtype=bool)
        ok = np.ones(len(batch), dtype=bool)
        for column, options in enumerate(self.choices):
            ok &= np.isin(batch.genes[:, column], options)
        widths = batch.genes[:, self._width_columns]
        return ok & (np.diff(widths, axis=1) >= 0).all(axis=1)

    def check(self, arch: Arch) -> Arch:
        """The architecture itself.

        Raises:
            ArchError: it lies outside the space; the gene and its choices are named.
        """
        if (len(arch.conv), len(arch.attn)) != (self.layout.n_conv, self.layout.n_attn):
            raise ArchError(
                f"architecture with {len(arch.conv)} convolutional and {len(arch.attn)} "
                f"transformer stages; space {self.name} has {self.layout.n_conv} and "
                f"{self.layout.n_attn}"
            )
        for name, value, options in zip(self.names, arch.genes, self.choices, strict=True):
            if value not in options:
                raise ArchError(
                    f"gene {name} is {value}; space {self.name} offers "
                    f"{', '.join(map(str, options))}"
                )
        for before, after in zip(self._width_columns, self._width_columns[1:], strict=False):
            if arch.genes[after] < arch.genes[before]:
                raise ArchError(
                    f"{self.names[after]} is {arch.genes[after]}, narrower than "
                    f"{self.names[before]} = {arch.genes[before]}; widths never fall"
                )
        return arch

    def sample(self, n: int, rng: np.random.Generator, at_least: Arch | None = None) -> ArchBatch:
        """`n` random architectures: every gene uniform over its choices, widths stage by stage
        over the choices that are not narrower than the stage before.

        Args:
            at_least: lower bound of every gene, if given.
        """
        floor = at_least.genes if at_least else tuple(c[0] for c in self.choices)
        genes = np.empty((n, len(self.names)), dtype=np.int16)
        before: npt.NDArray[np.int16] = np.zeros(n, dtype=np.int16)
        for column, options in enumerate(self.choices):
            values = np.array([o for o in options if o >= floor[column]], dtype=np.int16)
            if not len(values):
                raise ArchError(
                    f"lower bound {self.names[column]} = {floor[column]} is above its choices"
                )
            if column in self._width_columns:
                start = np.searchsorted(values, before)
                genes[:, column] = before = values[rng.integers(start, len(values), size=n)]
            else:
                genes[:, column] = values[rng.integers(0, len(values), size=n)]
        return ArchBatch(genes, self.layout.n_conv)

    def mutate(self, batch: ArchBatch, rng: np.random.Generator, rate: float = 0.1) -> ArchBatch:
        """Every gene redrawn with probability `rate`; widths that then fall are raised."""
        fresh = np.stack([rng.choice(c, size=len(batch)) for c in self.choices], axis=1)
        keep = rng.random(batch.genes.shape) >= rate
        return self.repaired(np.where(keep, batch.genes, fresh))

    def crossover(self, a: ArchBatch, b: ArchBatch, rng: np.random.Generator) -> ArchBatch:
        """Each gene from either parent with equal chance; widths that then fall are raised."""
        pick = rng.random(a.genes.shape) < 0.5
        return self.repaired(np.where(pick, a.genes, b.genes))

    def neighbours(self, here: ArchBatch, *, pairs: bool = False) -> ArchBatch:
        """All architectures of the space that differ from one in one gene, or in two.

        Args:
            here: a batch of one.
            pairs: change two genes at once instead of one.
        """
        genes = here.genes[0]
        moves = [
            (column, value)
            for column, options in enumerate(self.choices)
            for value in options
            if value != genes[column]
        ]
        if pairs:
            both = np.array(
                [(*a, *b) for a, b in combinations(moves, 2) if a[0] != b[0]], dtype=np.int64
            ).reshape(-1, 4)
            columns, values = both[:, [0, 2]], both[:, [1, 3]]
        else:
            single = np.array(moves, dtype=np.int64).reshape(-1, 2)
            columns, values = single[:, :1], single[:, 1:]
        near = np.repeat(genes[None], len(columns), axis=0)
        np.put_along_axis(near, columns, values.astype(near.dtype), axis=1)
        batch = ArchBatch(near, here.n_conv)
        return batch.take(self.valid(batch))

    def repaired(self, genes: npt.NDArray[Any]) -> ArchBatch:
        """Architectures with values of the space's choices, shape (n, genes), whose widths are
        raised where they would fall from one stage to the next."""
        genes = genes.astype(np.int16)
        before = np.zeros(len(genes), dtype=np.int16)
        for column in self._width_columns:
            options = np.array(self.choices[column], dtype=np.int16)
            wanted = np.maximum(genes[:, column], before)
            genes[:, column] = before = options[np.searchsorted(options, wanted)]
        return ArchBatch(genes, self.layout.n_conv)

    def to_toml(self) -> str:
        """Readable text that `from_toml` turns into an equal space."""
        document = tomlkit.document()
        document["name"] = self.name
        document["layout"] = self.layout.to_dict()
        genes = tomlkit.table()
        for name, options in zip(self.names, self.choices, strict=True):
            genes[name] = list(options)
        document["choices"] = genes
        return tomlkit.dumps(document)

    @classmethod
    def from_toml(cls, text: str | bytes, source: str = "space") -> SearchSpace:
        """The space that a TOML text describes.

        Raises:
            SpaceError: unreadable text, or a space that contradicts itself.
        """
        described = SPACE_FORMAT.parse_toml(text, source)
        try:
            layout = Layout(**msgspec.structs.asdict(described.layout))
            names = gene_names(layout.n_conv, layout.n_attn)
            choices = {"stem.expansion": (1,), **described.choices}
            unknown, missing = sorted(set(choices) - set(names)), set(names) - set(choices)
            if unknown or missing:
                raise SpaceError(
                    f"with {layout.n_conv} conv_strides and {layout.n_attn} attn_strides, genes "
                    f"are missing: {', '.join(n for n in names if n in missing) or 'none'}; "
                    f"unknown: {shown(', '.join(unknown)) if unknown else 'none'}"
                )
            return cls(described.name, layout, tuple(choices[n] for n in names))
        except SpaceError as error:
            raise SpaceError(
                f"{source} is not a search space: {error}", settings=("space",)
            ) from error
