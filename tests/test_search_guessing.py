"""A search says when its accuracies are no better than guessing."""

import numpy as np
import pytest

from elasticvit.searching.guessing import guessing_doubt


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_guesses_are_told_from_knowledge(classes: int) -> None:
    rng = np.random.default_rng(0)
    guessed = 100 * rng.binomial(2000, 1 / classes, 30) / 2000
    doubt = guessing_doubt(guessed, 2000, classes)
    assert doubt is not None
    assert f"guessing one of {classes} classes" in doubt
    known = 100 * rng.binomial(2000, min(0.95, 2 / classes + 0.05), 30) / 2000
    assert guessing_doubt(known, 2000, classes) is None


def test_one_class_needs_no_guess() -> None:
    assert guessing_doubt(np.array([100.0]), 50, 1) is None
