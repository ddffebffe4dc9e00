"""Finalists judged again, images spent on those that may still win.

All finalists are judged on the same images, twice as many in each round. After each round those
that are worse than the best one beyond doubt are left behind, until all images are used or one is
left. Beyond doubt means that the truly best one stays to the end with the probability `SURE`: what
may go wrong is shared evenly among all comparisons of all rounds (Bonferroni), since with 97.5 % in
each comparison of 16 finalists that are alike the best one is lost in one search of eight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm  # type: ignore[import-untyped]

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray, IndexArray
from elasticvit.searching.judge import BoolArray, Judge
from elasticvit.searching.paired import compared, probability_better

SURE = 0.975  # with this probability the truly best finalist is not left behind
TIE = 0.5  # standard errors of a difference up to which the cheaper of two is preferred


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """Finalists from the best.

    Attributes:
        archs: The architectures, n of them; the first one wins.
        accuracy: Accuracies in percent on the images that each was judged on, shape (n,).
        error: Standard errors of these, shape (n,).
        images: Number of images that each was judged on, shape (n,).
        load: Largest share of a target that each uses up, shape (n,).
        correct: Which of its images each classifies right; empty without images.
    """

    archs: ArchBatch
    accuracy: FloatArray
    error: FloatArray
    images: IndexArray
    load: FloatArray
    correct: tuple[BoolArray, ...] = ()

    @property
    def confidence(self) -> float | None:
        """Probability that the winner is truly better than the runner-up; None without a
        runner-up, or without images."""
        return self.better(0, 1) if len(self.archs) > 1 else None

    def better(self, row: int, other: int) -> float | None:
        """Probability that one finalist is truly more accurate than another, by the images that
        both were judged on (`paired.probability_better`); None without images. It may be less than
        one half: of those that cannot be told apart the cheapest wins."""
        if not self.correct:
            return None
        images = int(min(self.images[row], self.images[other]))
        rows = np.flatnonzero(self.images >= images)
        common = np.stack([self.correct[i][:images] for i in rows])
        one, two = (int(np.flatnonzero(rows == i)[0]) for i in (row, other))
        return probability_better(common, one, two)


def rank_finalists(
    judge: Judge, archs: ArchBatch, load: FloatArray, *, first_images: int
) -> Ranking:
    """Judge finalists on more and more images, and rank them.

    Those that are judged on more images come first, then the more accurate ones. The winner is the
    cheapest of those whose difference from the most accurate one is at most half its standard
    error, or that are as accurate as one of these. Accuracy is what a search is for, so a smaller
    load decides only there: the images at hand cannot call that a difference, while the load is
    known.

    Args:
        judge: Judges them.
        archs: The finalists, n of them, at least one.
        load: Largest share of a target that each uses up, shape (n,).
        first_images: Number of images of the first round.
    """
    count, most = len(archs), judge.most_images
    accuracy, error, seen = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.int64)
    bits: dict[int, BoolArray] = {}
    left: IndexArray = np.arange(count)
    images = min(first_images, most)
    doubtless = _doubtless(count, images, most)
    while True:
        judged = judge(archs.take(left), images)
        accuracy[left], error[left], seen[left] = judged.accuracy, judged.error, images
        best = int(np.lexsort((load[left], -judged.accuracy))[0])
        if judged.correct is None:
            break
        bits.update(zip(left.tolist(), judged.correct, strict=True))
        difference, deviation = compared(judged.correct, best)
        if images >= most:
            # one that errs on fewer other images than a tied one may be as accurate and not tied
            worst = difference[difference <= TIE * deviation].max()
            tied = np.flatnonzero(difference <= worst)
            best = int(tied[np.lexsort((difference[tied], load[left][tied]))[0]])
            break
        staying = difference <= doubtless * deviation
        best, left = int(staying[:best].sum()), left[staying]
        if len(left) == 1:
            break
        images = min(2 * images, most)
    winner = left[best]
    order = np.lexsort((load, -accuracy, -seen))
    order = np.concatenate([[winner], order[order != winner]])
    return Ranking(
        archs=archs.take(order),
        accuracy=accuracy[order],
        error=error[order],
        images=seen[order],
        load=load[order],
        correct=tuple(bits[row] for row in order.tolist()) if bits else (),
    )


def _doubtless(count: int, first_images: int, most_images: int) -> float:
    """Standard errors by which a finalist is worse than the best one beyond doubt.

    Args:
        count: Number of finalists.
        first_images, most_images: Numbers of images of the first and the last round.
    """
    rounds = math.ceil(math.log2(max(most_images, 1) / max(first_images, 1)))
    comparisons = max(rounds, 1) * max(count - 1, 1)
    return float(norm.ppf(1 - (1 - SURE) / comparisons))
