"""Whole subnets of a table as the kernels that they are made of, whatever their number of classes.

A table is made with the classes of the space that was profiled, a search has those of its data set.
The network model may learn from both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from elasticvit.arch import Arch
from elasticvit.kernels import Kernel, Layout, lower
from lut.dataset import split_of
from lut.keys import SUBNET, SubnetKey, layout_hash

if TYPE_CHECKING:
    from lut.series import Series
    from lut.store import Store


def subnet_kernels(key: str, layouts: Sequence[Layout]) -> tuple[Kernel, ...] | None:
    """The kernels of a subnet, input to output; None if it is of none of the layouts.

    Args:
        key: Key of a subnet.
        layouts: Layouts that it may be of, each with any number of classes.

    Raises:
        ArchError: It is not a subnet's key, or its architecture contradicts its layout.
    """
    parsed = SubnetKey.parse(key)
    for layout in layouts:
        of_classes = replace(layout, classes=parsed.classes)
        if layout_hash(of_classes) == parsed.layout:
            return lower(Arch.from_genes(parsed.genes, layout.n_conv), of_classes)
    return None


@dataclass(frozen=True, kw_only=True)
class WholeSubnets:
    """The subnets of a series that a network model may be fitted to.

    Attributes:
        kernels: The kernels of each, n of them.
        latency_ms: Their latencies in milliseconds, length n.
        unknown: Number of further ones, which are of no known layout.
    """

    kernels: tuple[tuple[Kernel, ...], ...]
    latency_ms: tuple[float, ...]
    unknown: int


def whole_subnets(
    store: Store, device: str, series: Series, layouts: Sequence[Layout]
) -> WholeSubnets:
    """The subnets of a series that are not held out.

    Args:
        layouts: Layouts that they may be of, each with any number of classes.

    Raises:
        StoreError: The table is damaged.
        ArchError: A key contradicts its layout.
    """
    split = split_of(store, device, series.precision)
    frame = store.latencies(device, kind=SUBNET, series=series)
    kernels, latency_ms, unknown = [], [], 0
    for key, ms in zip(frame["key"], frame["latency_ms"], strict=True):
        if split.held_out(key):
            continue
        found = subnet_kernels(key, layouts)
        if found is None:
            unknown += 1
        else:
            kernels.append(found)
            latency_ms.append(float(ms))
    return WholeSubnets(kernels=tuple(kernels), latency_ms=tuple(latency_ms), unknown=unknown)
