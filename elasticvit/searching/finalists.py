"""The end of a search: its best architectures judged again with more images.

A search looks at few images so that it can look at many architectures, and the best of many
noisy figures is too good to be true. So the best ones, and those on the front, are judged once
more with as many images as time allows, and the choice is made among them.
"""

from __future__ import annotations

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.searching.archive import Archive


def select(archive: Archive, count: int) -> ArchBatch:
    """At most `count` architectures: half the most accurate ones, half spread over the front."""
    top = archive.ranking()[: -(-count // 2)]
    front = archive.front()
    front = front[~np.isin(front, top)]
    spread = np.unique(np.linspace(0, len(front) - 1, count - len(top)).round().astype(int))
    rows = np.concatenate([top, front[spread]]) if len(front) else top
    return archive.archs.take(rows)
