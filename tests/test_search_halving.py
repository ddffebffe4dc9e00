"""Finalists judged again: who wins, how sure that is, and what it costs."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elasticvit.arch import Arch, ArchBatch
from elasticvit.searching.halving import rank_finalists
from elasticvit.searching.judge import Judged
from elasticvit.searching.paired import compared, probability_better
from elasticvit.space import TINY


@dataclass
class FakeJudge:
    """Images of random difficulty; an architecture is right where it is able enough, give or take
    some luck of its own."""

    ability: dict[Arch, float]
    seed: int
    most_images: int = 2000
    luck: float = 0.3
    name: str = "fake accuracy"
    run: int = 0
    seen: dict[Arch, int] = field(default_factory=dict)

    def __call__(self, archs: ArchBatch, images: int) -> Judged:
        hard = np.random.default_rng(self.seed).normal(size=self.most_images)
        rows = []
        for arch in archs:
            own = np.random.default_rng([self.seed, *arch.genes]).normal(size=self.most_images)
            rows.append(self.ability[arch] + self.luck * own > hard)
            self.run += images - self.seen.get(arch, 0)
            self.seen[arch] = images
        return Judged.of(np.array(rows)[:, :images])


def finalists(count: int, spread: float, seed: int) -> tuple[ArchBatch, FakeJudge]:
    rng = np.random.default_rng(seed)
    archs = TINY.sample(count, rng).unique()
    ability = dict(zip(archs, 0.5 + spread * rng.normal(size=len(archs)), strict=True))
    return archs, FakeJudge(ability, seed)


def test_images_are_spent_on_those_that_may_still_win() -> None:
    archs, judge = finalists(16, 0.3, 0)
    ranking = rank_finalists(judge, archs, np.zeros(len(archs)), first_images=250)
    assert ranking.archs[0] == max(archs, key=judge.ability.__getitem__)
    assert judge.run < 0.5 * len(archs) * judge.most_images
    assert list(ranking.images) == sorted(ranking.images, reverse=True)
    assert set(ranking.archs) == set(archs)


@pytest.mark.parametrize("spread", [0.0, 0.03, 0.1])
def test_the_best_one_is_left_behind_as_seldom_as_promised(spread: float) -> None:
    """At most 2.5 % of the time; 3 of 60 would have a chance of a fifth at just that rate."""
    lost, spent = 0, []
    for seed in range(60):
        archs, judge = finalists(8, spread, seed)
        ranking = rank_finalists(judge, archs, np.zeros(len(archs)), first_images=250)
        best = max(archs, key=judge.ability.__getitem__)
        row = list(ranking.archs).index(best)
        lost += int(row > 0 and ranking.images[row] < ranking.images[0])
        spent.append(judge.run / (len(archs) * judge.most_images))
    assert lost <= 3
    if spread == 0.1:
        assert np.mean(spent) < 0.6


@pytest.mark.parametrize(
    ("count", "spread", "sure"), [(2, 0.1, 60), (4, 0.05, 20), (8, 0.02, 0), (8, 0.1, 40)]
)
def test_the_confidence_is_right_although_the_winner_was_chosen(
    count: int, spread: float, sure: int
) -> None:
    """Told and true share of winners that are better than their runner-up, within what as many
    searches can tell. By the difference alone a probability of 95 % would be one of 70 %."""
    told, right = [], []
    for seed in range(150):
        archs, judge = finalists(count, spread, seed)
        judge.most_images = 1000
        ranking = rank_finalists(judge, archs, np.zeros(count), first_images=1000)
        assert ranking.confidence is not None
        told.append(ranking.confidence)
        right.append(judge.ability[ranking.archs[0]] > judge.ability[ranking.archs[1]])
    assert abs(np.mean(told) - np.mean(right)) < 0.09
    certain = np.array(told) > 0.9
    assert certain.sum() >= sure
    if certain.sum() >= 10:
        assert np.mean(np.array(right)[certain]) > 0.87


def test_the_winner_is_compared_on_the_images_that_the_runner_up_was_judged_on() -> None:
    archs, judge = finalists(6, 0.0, 3)
    judge.ability = {arch: -0.5 - 0.1 * row for row, arch in enumerate(archs)}
    judge.ability[archs[0]] = 0.5
    ranking = rank_finalists(judge, archs, np.zeros(len(archs)), first_images=250)
    assert ranking.images[1] == 250  # nobody else could still win, so no more images were run
    assert judge.run == 6 * 250
    assert ranking.confidence is not None
    assert ranking.confidence > 0.95
    assert ranking.better(1, 0) == pytest.approx(1 - ranking.confidence)


@settings(max_examples=60)
@given(
    correct=arrays(np.bool_, st.tuples(st.integers(2, 5), st.integers(1, 40))),
    rows=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_a_probability_is_one_of_its_opposite(correct: np.ndarray, rows: tuple[int, int]) -> None:
    one, other = (row % len(correct) for row in rows)
    there, back = (probability_better(correct, *pair) for pair in ((one, other), (other, one)))
    assert 0 <= there <= 1
    assert there + back == pytest.approx(1)
    more = correct[one].sum() - correct[other].sum()
    assert np.sign(round(there - 0.5, 9)) == np.sign(more)


def test_of_equals_the_cheapest_wins() -> None:
    archs, judge = finalists(3, 0.0, 1)
    judge.luck = 0.0
    ranking = rank_finalists(judge, archs, np.array([0.9, 0.5, 0.7]), first_images=100)
    assert ranking.archs[0] == archs[1]
    assert ranking.confidence == pytest.approx(0.5)


def test_one_finalist_has_no_runner_up() -> None:
    archs, judge = finalists(1, 0.0, 2)
    ranking = rank_finalists(judge, archs, np.ones(1), first_images=100)
    assert ranking.confidence is None
    assert len(ranking.archs) == 1


def test_a_difference_has_the_error_of_the_images_that_differ() -> None:
    correct = np.zeros((2, 1000), dtype=bool)
    correct[0, :530] = correct[1, :500] = True  # 30 images more, none fewer
    difference, deviation = compared(correct, 0)
    assert difference[1] == pytest.approx(0.03)
    assert deviation[1] == pytest.approx(np.sqrt(0.03 / 1000), rel=0.1)


def test_no_winner_is_beaten_by_another_finalist() -> None:
    """One that errs on many other images than the best one is no sure loss; another that is as
    accurate and cheaper errs on one other image, which is."""
    archs = TINY.sample(3, np.random.default_rng(1))
    best = np.arange(216) < 89
    cheap, scattered = best.copy(), best.copy()
    cheap[88] = False
    scattered[80:87], scattered[100:106] = False, True
    bits = dict(zip(archs, (best, cheap, scattered), strict=True))

    class Fixed(FakeJudge):
        def __call__(self, archs: ArchBatch, images: int) -> Judged:
            return Judged.of(np.stack([bits[arch] for arch in archs])[:, :images])

    judge = Fixed({}, 0, most_images=216)
    ranking = rank_finalists(judge, archs, np.array([0.8, 0.75, 0.79]), first_images=216)
    assert ranking.archs[0] == archs[1]
    assert ranking.accuracy[0] == ranking.accuracy[2]
