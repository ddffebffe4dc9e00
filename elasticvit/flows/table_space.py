"""Which search space a shared latency table was made for, by the whole subnets that it holds."""

from __future__ import annotations

from collections.abc import Sequence

from elasticvit.arch import Arch
from elasticvit.errors import ArchError
from elasticvit.space import MOBILE, PRESETS, SearchSpace
from lut.keys import SUBNET, SubnetKey, kind_of, layout_hash
from lut.shared_table import SharedTable


def space_of_table(table: SharedTable) -> SearchSpace | None:
    """The preset space that has most of a table's whole subnets; None if none has any.

    Args:
        table: The table.
    """
    keys = _subnet_keys(table)
    spaces = sorted(PRESETS.values(), key=lambda space: space is not MOBILE)
    best = max(spaces, key=lambda space: _count(keys, space))
    return best if _count(keys, best) else None


def unused_remark(table: SharedTable, space: SearchSpace) -> str | None:
    """What to say if whole subnets of a table are of another space than the one that a predictor is
    fitted for; None if all are of it."""
    keys = _subnet_keys(table)
    left = len(keys) - _count(keys, space)
    if not left:
        return None
    return (
        f"{left} of the table's {len(keys)} whole subnets are not of space {space.name}, so its "
        "predictor does not learn from them; name the space that the table was made for"
    )


def _subnet_keys(table: SharedTable) -> list[SubnetKey]:
    keys = sorted({m.key for m, _ in table.rows if kind_of(m.key) == SUBNET})
    return [SubnetKey.parse(key) for key in keys]


def _count(keys: Sequence[SubnetKey], space: SearchSpace) -> int:
    """Number of subnets that lie in a space, whatever their number of classes."""
    return sum(_holds(space, key) for key in keys)


def _holds(space: SearchSpace, key: SubnetKey) -> bool:
    if layout_hash(space.with_classes(key.classes).layout) != key.layout:
        return False
    try:
        space.check(Arch.from_genes(key.genes, space.layout.n_conv))
    except ArchError:
        return False
    return True
