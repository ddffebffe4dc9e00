"""Architectures compared on the same images: how far apart two are, and which is truly better.

Two subnets of one supernet are right on mostly the same images, so they are compared image by
image: their difference has a standard error of sqrt(v / n), with v the variance over n images of
(right by one) - (right by the other), which is that of McNemar's test (Psychometrika 12, 1947) and
far smaller than the standard errors of the two accuracies suggest.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm  # type: ignore[import-untyped]

from elasticvit.arrays import FloatArray
from elasticvit.searching.judge import BoolArray

TYPICAL_SPREAD = 0.01  # accuracies of finalists differ by about a point, as a share of the images
STEPS = 400  # of the integral over their spread


def compared(correct: BoolArray, best: int) -> tuple[FloatArray, FloatArray]:
    """By how much one is more accurate than each, in shares of the images, and the standard error
    of that difference, both of shape (n,); one image of either kind is added, so that it is never
    zero.

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


def probability_better(correct: BoolArray, one: int, other: int) -> float:
    """Probability that one architecture is truly more accurate than another; 0.5 where they are
    right on the same images.

    The better one was chosen as the best of several by these very images, so that its lead is
    partly luck: by the paired difference alone one would be far too sure. So the true accuracies
    are taken to be normal around a common mean with a spread that the observed ones tell, less what
    the images alone spread them; each difference shrinks accordingly. A probability of that kind
    holds whatever was chosen by the same figures (Dawid, "Selection paradoxes of Bayesian
    inference", 1994). The spread is uncertain too, above all of few architectures: it is integrated
    over, with a half-Cauchy prior of one point (Gelman, Bayesian Analysis 1, 2006).

    Args:
        correct: What each of the architectures that were chosen among classifies right, shape
            (n, images), n at least 2.
        one, other: Rows of the two.
    """
    count = len(correct)
    accuracy = correct.mean(axis=1)
    pairs = [compared(correct, row)[1] ** 2 for row in range(count)]
    own = (
        (np.sum(pairs) - np.trace(pairs)) / (count * (count - 1)) / 2
    )  # of one, less what all share
    difference, deviation = (float(values[other]) for values in compared(correct, one))
    spread = TYPICAL_SPREAD * np.tan(np.pi / 2 * (np.arange(STEPS) + 0.5) / STEPS)
    total = own + spread**2
    scatter = float(((accuracy - accuracy.mean()) ** 2).sum())
    evidence = -(count - 1) / 2 * np.log(total) - scatter / (2 * total)
    weight = np.exp(evidence - evidence.max())
    kept = 2 * spread**2 / (2 * spread**2 + deviation**2)  # share of the difference that is no luck
    likely = norm.cdf(np.sqrt(kept) * difference / deviation)
    return float((weight * likely).sum() / weight.sum())
