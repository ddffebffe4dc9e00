"""The end of a search: its best architectures judged again with more images.

A search looks at few images so that it can look at many architectures, and the best of many
noisy figures is too good to be true. So the best ones, and those on the front, are judged once
more with as many images as time allows, and the choice is made among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from elasticvit.arch import ArchBatch
from elasticvit.searching.archive import Archive
from elasticvit.searching.goal import Goal
from elasticvit.searching.guided import without
from elasticvit.searching.halving import Ranking, rank_finalists
from elasticvit.searching.judge import Judge


def select(archive: Archive, count: int) -> ArchBatch:
    """At most `count` architectures: half the most accurate ones, half spread over the front."""
    top = archive.ranking()[: -(-count // 2)]
    front = archive.front()
    front = front[~np.isin(front, top)]
    spread = np.unique(np.linspace(0, len(front) - 1, count - len(top)).round().astype(int))
    rows = np.concatenate([top, front[spread]]) if len(front) else top
    return archive.archs.take(rows)


def judge_again(
    goal: Goal,
    *,
    archive: Archive,
    won: ArchBatch,
    count: int,
    judge: Judge,
    first_images: int,
    announce: Callable[[Goal, int], None],
) -> Ranking | None:
    """The finalists of a goal, judged again, from the best; None if nothing keeps it.

    Args:
        goal: The goal.
        archive: Everything that was judged in the search.
        won: Architectures that are finalists as well if they keep the goal.
        count: Number of finalists besides these.
        judge: Judges them.
        first_images: Number of images of the first round of judging.
        announce: Told the goal and how many are judged, before it begins.
    """
    load = goal.loads(archive.archs)
    if not (load <= 1).any():
        return None
    archs = select(replace(archive.rows(load <= 1), load=load[load <= 1]), count)
    others = won.take(goal.loads(won) <= 1)
    archs = archs.concat(without(others, archs).unique())
    announce(goal, len(archs))
    return rank_finalists(judge, archs, goal.loads(archs), first_images=first_images)
