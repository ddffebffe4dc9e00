"""The version of the graphs that a table's latencies belong to.

It is noted for each device and precision when the first model is timed. A table without a note is
of a version of this project that knew none, whose graphs were those of version 1.
"""

from __future__ import annotations

from elasticvit.errors import StoreError
from elasticvit.precisions import in_words
from export.graph_versions import GRAPHS
from lut.store import Store

NOTE = "graphs"
UNMARKED = 1


def graphs_of(store: Store, device: str, precision: str) -> int | None:
    """Version of the graphs that a device was timed with in a precision; None if it was not timed
    yet."""
    noted = store.noted(device, NOTE, precision)
    if noted:
        return int(noted[-1])
    return UNMARKED if store.series(device, precision) else None


def check_graphs(store: Store, device: str, precision: str) -> None:
    """Check that new latencies of a device may be put beside those that it has.

    Raises:
        StoreError: Those are of graphs that are written otherwise now.
    """
    found, present = graphs_of(store, device, precision), GRAPHS[precision]
    if found not in (None, present):
        raise StoreError(
            f"the latencies of {device}{in_words(precision)} in {store.path} are those of version "
            f"{found} of the exported graphs, which are of version {present} now; profile into "
            "another workspace, or use the version of elasticvit that made the table",
            settings=("workspace",),
        )


def note_graphs(store: Store, device: str, precision: str, version: int) -> None:
    """Note the version of the graphs that a device is timed with from now on, if it is not yet."""
    if not store.noted(device, NOTE, precision):
        store.note(device, NOTE, version, precision)
