"""The latencies that a table has for a space, split into those to fit with and the held-out
ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from elasticvit.arch import Arch
from elasticvit.errors import ArchError
from elasticvit.kernels import KINDS, Kernel, Layout, lower
from elasticvit.precisions import FP32
from elasticvit.reading import shown
from elasticvit.space import SearchSpace
from lut.held_out import HeldOutSplit
from lut.keys import SUBNET, SubnetKey, canonical, layout_hash
from lut.series import Series
from lut.store import Store
from lut.table_errors import damaged

FITTED = "fitted"  # what keys of subnets are noted under that a search chose


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Latencies in milliseconds of one series.

    Attributes:
        series: Series that they come from.
        fit_kernels, fit_subnets: Latencies to fit with and to choose by.
        held_kernels, held_subnets: Held-out latencies, to judge by and nothing else.
    """

    series: Series
    fit_kernels: dict[Kernel, float]
    held_kernels: dict[Kernel, float]
    fit_subnets: dict[Arch, float]
    held_subnets: dict[Arch, float]

    @classmethod
    def of(
        cls,
        store: Store,
        device: str,
        space: SearchSpace,
        series: Series | None = None,
        *,
        precision: str = FP32,
    ) -> Dataset:
        """Everything measured of a device in one precision that concerns a space; subnets of other
        layouts are left out, kernels of other spaces are not.

        Args:
            series: Series to read; by default the latest in `precision`.
            precision: Precision of the models.

        Raises:
            StoreError: The device has none, or the table is damaged.
        """
        chosen = series or store.latest(device, precision)
        split, layout = split_of(store, device, chosen.precision), layout_hash(space.layout)
        kernels: tuple[dict[Kernel, float], dict[Kernel, float]] = ({}, {})
        subnets: tuple[dict[Arch, float], dict[Arch, float]] = ({}, {})
        frame = store.latencies(device, series=chosen)
        for key, kind, ms in zip(frame["key"], frame["kind"], frame["latency_ms"], strict=True):
            if kind == SUBNET:
                parsed = SubnetKey.parse(key)
                if parsed.layout == layout:
                    arch = _arch(key, parsed, space.layout, store.path)
                    subnets[split.held_out(key)][arch] = float(ms)
            elif kind in KINDS:
                kernels[split.held_out(key)][Kernel.from_key(key)] = float(ms)
        return cls(
            series=chosen,
            fit_kernels=kernels[0],
            held_kernels=kernels[1],
            fit_subnets=subnets[0],
            held_subnets=subnets[1],
        )


def _arch(key: str, parsed: SubnetKey, layout: Layout, path: Path) -> Arch:
    """The architecture of a subnet's key, which agrees with its layout."""
    try:
        arch = parsed.arch(layout)
        lower(arch, layout)
    except ArchError as error:
        raise damaged(path, f"key {shown(key)} of table measurements: {error}") from error
    return arch


def split_seed(store: Store, device: str) -> int:
    """Seed of the held-out split of a device: that of its first profile, in whatever precision."""
    seeds = store.noted(device, "split_seed")
    return int(seeds[0]) if seeds else 0


def split_of(store: Store, device: str, precision: str) -> HeldOutSplit:
    """The held-out split of a device; the subnets that searches chose are those of a precision."""
    fitted = frozenset(map(canonical, store.noted(device, FITTED, precision)))
    return HeldOutSplit(seed=split_seed(store, device), fitted=fitted)


def note_fitted(
    store: Store, device: str, precision: str, keys: Sequence[str], have: Collection[str]
) -> None:
    """Note that subnets which a search chose are to be fitted with, whatever the held-out split
    says; those that are in the table already stay as they are, since a profile may have held them
    out.

    Args:
        precision: Precision that they are timed in.
        keys: Keys of the subnets, before they are timed.
        have: Keys in the table, of that precision.
    """
    known = {*store.noted(device, FITTED, precision), *have}
    for key in keys:
        if key not in known:
            store.note(device, FITTED, key, precision)
