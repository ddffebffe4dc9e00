"""Keys of the table's rows: what was timed, as stable text, and back.

A kernel's key is `Kernel.key`. A whole subnet's is `subnet CLASSES LAYOUT ARCHITECTURE`, the
architecture in its text form (`Arch.parse`). The architecture alone does not say what runs, so
eight hexadecimal digits of a hash stand for the rest (strides, squeeze-and-excitation, head,
classes, input channels).

Tables of earlier versions have keys that end in the genes, separated by commas. They are read, too,
and `SubnetKey.in_text_form` turns them into present ones, for which the layout must be known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from elasticvit.arch import Arch
from elasticvit.errors import ArchError
from elasticvit.kernels import Kernel, Layout
from elasticvit.reading import shown

SUBNET = "subnet"


def layout_hash(layout: Layout) -> str:
    """Eight hexadecimal digits that differ between layouts."""
    text = json.dumps(layout.to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def subnet_key(arch: Arch, layout: Layout) -> str:
    """Key of a whole subnet."""
    return f"{SUBNET} {layout.classes} {layout_hash(layout)} {arch}"


def kind_of(key: str) -> str:
    """`subnet`, or the kernel kind that a key begins with."""
    return key.partition(" ")[0]


@dataclass(frozen=True)
class SubnetKey:
    """The parts of a subnet's key.

    Attributes:
        classes: Number of classes of its classifier.
        layout: Hash of its layout.
        genes: Its genome, as `Arch.genes`.
    """

    classes: int
    layout: str
    genes: tuple[int, ...]

    @classmethod
    def parse(cls, key: str) -> SubnetKey:
        """The parts of `key`, in the present form or in that of earlier versions.

        Raises:
            ArchError: It is not a subnet's key.
        """
        try:
            word, classes, layout, rest = key.split(" ", 3)
            if word != SUBNET:
                raise ValueError(f"it begins with {word!r}")
            text = rest.startswith("r")
            genes = Arch.parse(rest).genes if text else tuple(int(g) for g in rest.split(","))
            return cls(int(classes), layout, genes)
        except ValueError as error:  # ArchError is one
            raise ArchError(f"{shown(key)} is not the key of a subnet: {error}") from error

    @property
    def comma_form(self) -> str:
        """The key with comma-separated genes, as earlier versions wrote it.

        It is the same for both forms of a key, whether or not the layout is known, and it is what
        the choice of held-out subnets is computed from (`lut.held_out`).
        """
        return f"{SUBNET} {self.classes} {self.layout} {','.join(map(str, self.genes))}"

    def arch(self, layout: Layout) -> Arch:
        """The architecture.

        Raises:
            ArchError: The key is of another layout.
        """
        if self.layout != layout_hash(layout):
            raise ArchError(
                f"a subnet of layout {self.layout} where {layout_hash(layout)} is in use: it has "
                "other strides, another head or other classes"
            )
        return Arch.from_genes(self.genes, layout.n_conv)

    def in_text_form(self, layout: Layout) -> str:
        """The present key; raises as `arch` does."""
        return subnet_key(self.arch(layout), layout)


def check_key(key: str) -> None:
    """Refuse what is neither the key of a kernel nor that of a subnet.

    Raises:
        ArchError: It is neither.
    """
    if kind_of(key) == SUBNET:
        SubnetKey.parse(key)
    elif Kernel.from_key(key).key != key:
        raise ArchError(f"{shown(key)} is not the key of a kernel: its parts are out of order")


def canonical(key: str) -> str:
    """Text that is the same for all forms of the key of one kernel or subnet.

    Raises:
        ArchError: A subnet's key that cannot be read.
    """
    return SubnetKey.parse(key).comma_form if kind_of(key) == SUBNET else key


def modernised(key: str, layouts: Iterable[Layout]) -> str:
    """A key in the present form if it is a subnet's of one of the layouts, whatever its number of
    classes; any other key as it is.

    Raises:
        ArchError: A subnet's key that cannot be read.
    """
    if kind_of(key) != SUBNET:
        return key
    parsed = SubnetKey.parse(key)
    for layout in layouts:
        of_classes = replace(layout, classes=parsed.classes)
        if layout_hash(of_classes) == parsed.layout:
            return parsed.in_text_form(of_classes)
    return key
