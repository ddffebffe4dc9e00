"""Finalists judged again, images spent on those that may still win.

All finalists are judged on the same images, twice as many in each round. After each round those
that are worse than the best one beyond doubt are left behind. Two subnets of one supernet are right
on mostly the same images, so they are compared image by image: their difference then
has a standard error of sqrt(v / n), with v the variance over n images of (right by one) - (right by
the other), which is that of McNemar's test (Psychometrika 12, 1947) and far smaller than the
standard errors of the two accuracies suggest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm  # type: ignore[import-untyped]

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray, IndexArray
from elasticvit.searching.judge import BoolArray, Judge

SURE = 0.975  # a finalist is left behind when it is worse than the best one with this probability
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
        confidence: Probability that the winner is truly better than the runner-up, by the images
            that both were judged on; None without a runner-up, or without images. The winner is the
            best of several on these images, so it flatters a little; the images that a search looks
            at before are among them.
    """

    archs: ArchBatch
    accuracy: FloatArray
    error: FloatArray
    images: IndexArray
    load: FloatArray
    confidence: float | None


def rank_finalists(
    judge: Judge, archs: ArchBatch, load: FloatArray, *, first_images: int
) -> Ranking:
    """Judge finalists on more and more images, and rank them.

    Those that are judged on more images come first, then the more accurate ones. The winner is the
    cheapest of those whose difference from the most accurate one is less than half its standard
    error, which no number of images at hand could call a difference.

    Args:
        judge: Judges them.
        archs: The finalists, n of them, at least one.
        load: Largest share of a target that each uses up, shape (n,).
        first_images: Number of images of the first round.
    """
    count = len(archs)
    accuracy, error, seen = np.zeros(count), np.zeros(count), np.zeros(count, dtype=np.int64)
    left: IndexArray = np.arange(count)
    images, correct = min(first_images, judge.most_images), None
    while True:
        judged = judge(archs.take(left), images)
        accuracy[left], error[left], seen[left] = judged.accuracy, judged.error, images
        correct = judged.correct
        best = int(np.lexsort((load[left], -judged.accuracy))[0])
        if images >= judge.most_images or correct is None or len(left) == 1:
            break
        difference, deviation = compared(correct, best)
        left = left[difference <= norm.ppf(SURE) * deviation]
        images = min(2 * images, judge.most_images)
    if correct is not None and len(left) > 1:
        difference, deviation = compared(correct, best)
        tied = np.flatnonzero(difference <= TIE * deviation)
        best = int(tied[np.lexsort((difference[tied], load[left][tied]))[0]])
    order = np.lexsort((load, -accuracy, -seen))
    winner = left[best]
    order = np.concatenate([[winner], order[order != winner]])
    confidence = None
    if correct is not None and len(left) > 1:
        second = int(np.flatnonzero(left == order[1])[0])
        difference, deviation = compared(correct[[best, second]], 0)
        confidence = float(norm.cdf(difference[1] / deviation[1]))
    return Ranking(
        archs=archs.take(order),
        accuracy=accuracy[order],
        error=error[order],
        images=seen[order],
        load=load[order],
        confidence=confidence,
    )


def compared(correct: BoolArray, best: int) -> tuple[FloatArray, FloatArray]:
    """By how much one is more accurate than each, in shares of the images, and the standard error
    of that difference; one image of either kind is added, so that it is never zero.

    Args:
        correct: What each classifies right, shape (n, images).
        best: Row of the one.
    """
    images = correct.shape[1]
    won = (correct[best] & ~correct).sum(axis=1)
    lost = (~correct[best] & correct).sum(axis=1)
    difference = (won - lost) / images
    apart = (won + lost + 2) / (images + 2)
    deviation = np.sqrt(np.maximum(apart - difference**2, 1e-12) / images)
    return difference, deviation
