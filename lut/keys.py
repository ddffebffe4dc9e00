"""Keys of the table's rows: what was timed, as stable text, and back.

A kernel's key is `Kernel.key`. A whole subnet's is `subnet <classes> <layout> <genes>`: the genome
alone does not say what runs, so eight hexadecimal digits of a hash stand for the rest
(strides, squeeze-and-excitation, head, classes, input channels).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from elasticvit.arch import Arch
from elasticvit.errors import ArchError
from elasticvit.kernels import Layout

SUBNET = "subnet"


def layout_hash(layout: Layout) -> str:
    """Eight hexadecimal digits that differ between layouts."""
    text = json.dumps(layout.to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def subnet_key(arch: Arch, layout: Layout) -> str:
    """Key of a whole subnet."""
    genes = ",".join(map(str, arch.genes))
    return f"{SUBNET} {layout.classes} {layout_hash(layout)} {genes}"


def kind_of(key: str) -> str:
    """`subnet`, or the kernel kind that a key begins with."""
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
