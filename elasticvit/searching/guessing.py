"""Whether the accuracies of a search are any better than guessing."""

from __future__ import annotations

from scipy.stats import binom  # type: ignore[import-untyped]

from elasticvit.arrays import FloatArray

LUCK = 0.01  # probability that the best of so many guessing architectures is as accurate


def guessing_doubt(accuracy: FloatArray, images: int, classes: int) -> str | None:
    """What to tell the user if no architecture that was judged is better than guessing; None if one
    is (binomial test of the best one, Bonferroni's correction for their number).

    Args:
        accuracy: Accuracies of the architectures in percent, shape (n,), n at least 1.
        images: Number of images that each was judged on.
        classes: Number of classes.
    """
    best = float(accuracy.max())
    luck = len(accuracy) * binom.sf(round(best * images / 100) - 1, images, 1 / classes)
    if classes < 2 or luck < LUCK:
        return None
    return (
        f"the best of {len(accuracy)} architectures classifies {best:.1f}% of {images} images "
        f"right, no better than guessing one of {classes} classes: check that the images' classes "
        "are those that the supernet was trained on, in the same order, or train it longer"
    )
