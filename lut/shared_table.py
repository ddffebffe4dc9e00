"""A table that was read from a file, and its way into a latency table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from devices.protocol import Measurement
from elasticvit.errors import StoreError
from elasticvit.kernels import Layout
from elasticvit.precisions import FP32
from elasticvit.space import PRESETS
from lut.dataset import note_fitted
from lut.graphs import UNMARKED, graphs_of, note_graphs
from lut.keys import canonical, modernised
from lut.series import Series
from lut.store import Store

PRESET_LAYOUTS = tuple(dict.fromkeys(space.layout for space in PRESETS.values()))


@dataclass(frozen=True)
class SharedTable:
    """A table read from a file (see `lut.exchange`).

    Attributes:
        device: Name of the device that was measured, as the table's owner called it.
        split_seed: Seed of the held-out split; None if nothing was held out.
        precision: Precision of all its models.
        rows: Measurements, each with the cores that were asked for.
        graphs: Version of the graphs that were timed; see `lut.graphs`.
        fitted: Keys of the subnets that a search chose (`lut.dataset.note_fitted`).
    """

    device: str
    split_seed: int | None
    rows: tuple[tuple[Measurement, str], ...]
    precision: str = FP32
    graphs: int = UNMARKED
    fitted: tuple[str, ...] = ()

    def add_to(self, store: Store, device: str, layouts: Iterable[Layout] = ()) -> int:
        """Append it to a device's measurements, all rows or none.

        Keys of subnets in the form of an earlier version become present ones if their layout is
        known, apart from its number of classes: that of a preset space, or one of `layouts`.

        Returns:
            Number of rows added; those that are in the table already, under either form of their
            key, are left out.

        Raises:
            StoreError: The device's own held-out models differ from this table's, or its latencies
                are of other graphs.
        """
        seeds = store.noted(device, "split_seed")
        if seeds and self.split_seed is not None and seeds[0] != self.split_seed:
            raise StoreError(
                f"device {device!r} holds out the models of seed {seeds[0]}, this table those of "
                f"{self.split_seed}; import it under the name of another device",
                settings=("device",),
            )
        graphs = graphs_of(store, device, self.precision)
        if graphs not in (None, self.graphs):
            raise StoreError(
                f"device {device!r} has latencies of version {graphs} of the exported graphs, this "
                f"table of version {self.graphs}; import it under the name of another device",
                settings=("device",),
            )
        known = {
            (s.source, s.threads, s.cores, s.runtime_hash, canonical(key), number)
            for s in store.series(device, self.precision)
            for key, numbers in store.rounds(device, s).items()
            for number in numbers
        }
        here = [*PRESET_LAYOUTS, *layouts]
        new = [
            (m, cores)
            for m, cores in self._modern_rows(here)
            if (m.source, m.threads, cores, m.runtime_hash, canonical(m.key), m.round) not in known
        ]
        if not seeds and self.split_seed is not None:
            store.note(device, "split_seed", self.split_seed)
        note_graphs(store, device, self.precision, self.graphs)
        have = {key for *_, key, _ in known}
        fitted = [modernised(k, here) for k in self.fitted if canonical(k) not in have]
        note_fitted(store, device, self.precision, fitted, ())
        store.add_all(device, new)
        return len(new)

    def has(self, series: Series) -> bool:
        """Whether rows of the table are in a series of a latency table."""
        found = (series.source, series.threads, series.cores, series.runtime_hash)
        return any(
            (m.source, m.threads, cores or m.cores, m.runtime_hash) == found
            for m, cores in self.rows
        )

    def _modern_rows(self, layouts: Iterable[Layout]) -> Iterator[tuple[Measurement, str]]:
        layouts = tuple(layouts)
        for m, cores in self.rows:
            calibration = {modernised(key, layouts): us for key, us in m.calibration_us.items()}
            modern = replace(m, key=modernised(m.key, layouts), calibration_us=calibration)
            yield modern, cores
