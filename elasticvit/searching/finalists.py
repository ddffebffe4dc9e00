"""The end of a search: its best architectures judged again with more images.

A search looks at few images so that it can look at many architectures, and the best of many
noisy figures is too good to be true. So the best ones, and those on the front, are judged once
more with as many images as time allows, and the choice is made among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.searching.archive import Archive, best_first


@dataclass(frozen=True, kw_only=True, eq=False)
class Finalists:
    """Finalists with their final figures; row 0 is the chosen one, the others follow it.

    Attributes:
        archs: The architectures, n of them.
        accuracy: Accuracies on the search part in percent, shape (n,).
        load: Largest share of a target that each uses up, shape (n,).
    """

    archs: ArchBatch
    accuracy: FloatArray
    load: FloatArray


def select(archive: Archive, count: int) -> tuple[ArchBatch, FloatArray]:
    """At most `count` architectures and their accuracies so far: half the most accurate ones,
    half spread over the front."""
    top = archive.ranking()[: -(-count // 2)]
    front = archive.front()
    front = front[~np.isin(front, top)]
    spread = np.unique(np.linspace(0, len(front) - 1, count - len(top)).round().astype(int))
    rows = np.concatenate([top, front[spread]]) if len(front) else top
    return archive.archs.take(rows), archive.accuracy[rows]


def ranked(archs: ArchBatch, accuracy: FloatArray, load: FloatArray) -> Finalists:
    """Finalists from the best: highest accuracy, equal ones by the lowest load."""
    order = best_first(accuracy, load)
    return Finalists(archs=archs.take(order), accuracy=accuracy[order], load=load[order])
