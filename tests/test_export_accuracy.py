"""The rule by which a file is rejected that is less accurate than torch."""

from dataclasses import replace

import numpy as np
import pytest

from elasticvit.errors import ExportError
from export.accuracy_drop import AccuracyDrop
from export.parity import Parity, parity_of


def parity(images: int, lost: int, gained: int, right: int | None = None) -> Parity:
    """A comparison in which torch alone, and the file alone, are right on so many images."""
    both = images // 2 if right is None else right
    return Parity(
        images=images,
        max_abs_diff=0.1,
        max_rel_diff=0.1,
        agreement=50.0,
        torch_accuracy=100 * (both + lost) / images,
        exported_accuracy=100 * (both + gained) / images,
        min_cosine=0.9,
        lost=lost,
        gained=gained,
    )


@pytest.mark.parametrize(
    ("images", "lost", "gained", "rejected", "doubtful"),
    [
        (2000, 0, 0, False, False),
        (2000, 10, 0, False, False),  # half a point, which is allowed
        (2000, 11, 0, True, False),  # just above it, and torch alone is right each time
        (2000, 60, 49, False, True),  # 0.55 points, but coins fall like that
        (2000, 100, 60, True, False),
        (2000, 0, 100, False, False),  # more accurate than torch
        (8, 1, 0, False, True),  # a single image is 12.5 points
        (8, 4, 0, False, True),
        (8, 5, 0, True, False),  # five coins that all fall alike: 3 %
        (50_000, 700, 400, True, False),
        (50_000, 640, 400, False, False),
    ],
)
def test_a_drop_must_be_too_large_and_no_chance(
    images: int, lost: int, gained: int, rejected: bool, doubtful: bool
) -> None:
    drop = AccuracyDrop.of(parity(images, lost, gained))
    assert (drop.rejected, drop.doubtful) == (rejected, doubtful)


def test_the_limit_can_be_moved() -> None:
    seen = parity(2000, 40, 0)
    assert AccuracyDrop.of(seen, 1.9).rejected
    assert not AccuracyDrop.of(seen, 2.0).rejected
    assert AccuracyDrop.of(parity(2000, 5, 0), 0.0).rejected
    assert not AccuracyDrop.of(parity(2000, 0, 0), 0.0).rejected


def test_the_message_says_what_was_seen() -> None:
    text = str(AccuracyDrop.of(parity(2000, 100, 60)))
    for words in (
        "53.00 % of 2,000 test images",
        "by torch 55.00 %",
        "2.00 points less (standard error 0.63), at most 0.5",
        "torch alone is right on 100, the file alone on 60",
        "probability 0.0",
    ):
        assert words in text


def test_the_chance_is_that_of_coins() -> None:
    """Among many files as accurate as torch, about one in twenty has a chance below 5 %."""
    rng = np.random.default_rng(0)
    lost = rng.binomial(200, 0.5, size=2000)
    chances = [AccuracyDrop.of(parity(2000, n, 200 - n)).chance for n in lost]
    assert 0.03 < np.mean([chance < 0.05 for chance in chances]) <= 0.06


def test_in_8_bits_cosines_are_looked_at_where_there_are_no_accuracies() -> None:
    seen = parity(8, 0, 0)
    close, far = (replace(seen, min_cosine=cosine).unlabelled() for cosine in (0.91, 0.89))
    close.check("the file", "int8")
    replace(seen, min_cosine=0.89).check("the file", "int8")  # its accuracy is judged
    for precision in ("int8", "int8-full"):
        words = rf"the file in {precision} differs.*is 0\.89; at least 0\.9.*name data of the same"
        with pytest.raises(ExportError, match=words):
            far.check("the file", precision)


def test_lost_and_gained_images_are_counted_one_by_one() -> None:
    labels = np.array([0, 0, 0, 1])
    torch_says = np.array([[2.0, 1], [2, 1], [1, 2], [1, 2]])
    file_says = np.array([[1.0, 2], [2, 1], [2, 1], [1, 2]])
    seen = parity_of(torch_says, file_says, labels)
    assert (seen.lost, seen.gained, seen.images) == (1, 1, 4)
    assert seen.torch_accuracy == seen.exported_accuracy == 75
    assert seen.accuracy_error == pytest.approx(100 * (0.75 * 0.25 / 4) ** 0.5)
    assert seen.drop == 0
    assert seen.drop_error == pytest.approx(100 * (0.5 / 4) ** 0.5)
    assert seen.min_cosine == pytest.approx(0.8)
    assert seen.agreement == 50
