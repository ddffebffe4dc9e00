"""Keys of the table's rows: what was timed, as stable text, and back.

A kernel's key is `Kernel.key`. A chain of copies, each with its own weights, is
`chain <copies> <kernel's key>`. A whole subnet is `subnet <classes> <layout> <genes>`: the
genome alone does not say what runs, so eight hexadecimal digits of a hash stand for the rest
(strides, squeeze-and-excitation, head, classes, input channels).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from elasticvit.arch import Arch
from elasticvit.errors import ArchError
from elasticvit.kernels import Kernel, Layout

CHAIN = "chain"
SUBNET = "subnet"


def layout_hash(layout: Layout) -> str:
    """Eight hexadecimal digits that differ between layouts."""
    text = json.dumps(layout.to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def subnet_key(arch: Arch, layout: Layout) -> str:
    """Key of a whole subnet."""
    genes = ",".join(map(str, arch.genes))
    return f"{SUBNET} {layout.classes} {layout_hash(layout)} {genes}"


def chain_key(kernel: Kernel, copies: int) -> str:
    """Key of `copies` copies of a kernel in a row."""
    return f"{CHAIN} {copies} {kernel.key}"


def kind_of(key: str) -> str:
    """`subnet`, `chain`, or the kernel kind that a key begins with."""
    return key.partition(" ")[0]


@dataclass(frozen=True)
class SubnetKey:
    """The parts of a subnet's key.

    Attributes:
        classes: of its classifier.
        layout: hash of its layout.
        genes: its genome, as `Arch.genes`.
    """

    classes: int
    layout: str
    genes: tuple[int, ...]

    @classmethod
    def parse(cls, key: str) -> SubnetKey:
        """The parts of `key`.

        Raises:
            ArchError: it is not a subnet's key.
        """
        try:
            word, classes, layout, genes = key.split(" ")
            if word != SUBNET:
                raise ValueError(f"it begins with {word!r}")
            return cls(int(classes), layout, tuple(int(g) for g in genes.split(",")))
        except ValueError as error:
            raise ArchError(f"{key!r} is not the key of a subnet: {error}") from error

    def arch(self, layout: Layout) -> Arch:
        """The architecture.

        Raises:
            ArchError: the key is of another layout.
        """
        if self.layout != layout_hash(layout):
            raise ArchError(
                f"a subnet of layout {self.layout} where {layout_hash(layout)} is in use: it has "
                "other strides, another head or other classes"
            )
        return Arch.from_genes(self.genes, layout.n_conv)


def chain_of(key: str) -> tuple[int, Kernel]:
    """Copies and kernel of a chain's key; raises `ArchError` on anything else."""
    word, _, rest = key.partition(" ")
    copies, _, kernel = rest.partition(" ")
    if word != CHAIN or not copies.isdigit():
        raise ArchError(f"{key!r} is not the key of a chain")
    return int(copies), Kernel.from_key(kernel)
