"""Finalists judged again: who wins, how sure that is, and what it costs."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from elasticvit.arch import Arch, ArchBatch
from elasticvit.searching.halving import compared, rank_finalists
from elasticvit.searching.judge import Judged
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


def test_the_best_one_is_seldom_left_behind() -> None:
    lost = 0
    for seed in range(40):
        archs, judge = finalists(8, 0.05, seed)
        ranking = rank_finalists(judge, archs, np.zeros(len(archs)), first_images=250)
        best = max(archs, key=judge.ability.__getitem__)
        row = list(ranking.archs).index(best)
        lost += int(ranking.images[row] < judge.most_images)
    assert lost <= 6


def test_the_confidence_is_about_right() -> None:
    told, right = [], []
    for seed in range(200):
        archs, judge = finalists(2, 0.05, seed)
        ranking = rank_finalists(judge, archs, np.zeros(2), first_images=2000)
        assert ranking.confidence is not None
        told.append(ranking.confidence)
        right.append(judge.ability[ranking.archs[0]] > judge.ability[ranking.archs[1]])
    sure = np.array(told) > 0.9
    assert sure.sum() > 30
    assert np.mean(np.array(right)[sure]) > 0.88
    assert abs(np.mean(told) - np.mean(right)) < 0.1


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
