"""A search that is guided by an accuracy predictor."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau
from small_search import SMALL, everything

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.errors import TargetError
from elasticvit.searching.accuracy_predictor import AccuracyPredictor, ArchFeatures
from elasticvit.searching.archive import Archive
from elasticvit.searching.caps import Cap
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.evolution import evolve
from elasticvit.searching.goal import Goal, Goals
from elasticvit.searching.guided import Guide
from elasticvit.searching.judge import standard_errors
from elasticvit.space import TINY, SearchSpace

IMAGES = 1000


class Landscape:
    """Accuracies that depend on the genes smoothly, and on pairs of them, seen on some images."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.features = ArchFeatures(space)
        count = len(self.features.columns) + 1
        self.single, self.pairs = rng.normal(size=count), rng.normal(size=(count, count))
        self.seed = seed

    def truth(self, batch: ArchBatch) -> np.ndarray:
        x = self.features(batch)
        y = x - 0.5
        pairs = np.einsum("ni,ij,nj->n", y, self.pairs, y)
        return 60 + 10 * np.log1p(9 * x[:, -1]) / np.log(10) + y @ self.single + 0.3 * pairs

    def __call__(self, batch: ArchBatch) -> np.ndarray:
        share = np.clip(self.truth(batch) / 100, 0, 1)
        draws = [np.random.default_rng([self.seed, *arch.genes]) for arch in batch]
        right = [rng.binomial(IMAGES, p) for rng, p in zip(draws, share, strict=True)]
        return 100 * np.array(right, dtype=np.float64) / IMAGES


def errors(accuracy: np.ndarray) -> np.ndarray:
    return standard_errors(accuracy, IMAGES)


def capped(space: SearchSpace, *targets: float) -> Goals:
    macs = MacsCost(space)
    return Goals(tuple(Goal((Cap(cost=macs, target=target),)) for target in targets))


def run(
    space: SearchSpace,
    goals: Goals,
    landscape: Landscape,
    evaluations: int,
    seed: int = 0,
    **options: object,
) -> Archive:
    config = EvolutionConfig.guided_by(evaluations)
    guide = Guide(space=space, goals=goals, config=config, errors=errors)
    rng = np.random.default_rng(seed)
    return evolve(space, goals, landscape, config, rng=rng, propose=guide, **options)


def test_the_predictor_knows_how_wrong_it_is() -> None:
    rng = np.random.default_rng(0)
    landscape = Landscape(TINY, 1)
    archs, others = TINY.sample(150, rng), TINY.sample(500, rng)
    seen = landscape(archs)
    predictor = AccuracyPredictor.fit(landscape.features, archs, seen, errors(seen), rng=rng)
    mean, deviation = predictor.predict(others)
    truth = landscape.truth(others)
    assert kendalltau(mean, truth).statistic > 0.6
    assert 0.6 < np.std((mean - truth) / deviation) < 1.5
    joint_mean, covariance = predictor.joint(others.take(slice(0, 20)))
    np.testing.assert_allclose(joint_mean, mean[:20], rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), deviation[:20], rtol=1e-3)
    assert len(predictor.predict(TINY.sample(0, rng))[0]) == 0


def test_guidance_needs_a_fraction_of_the_evaluations() -> None:
    found, bred = [], []
    for seed in range(2):
        landscape, goals = Landscape(TINY, seed), capped(TINY, 20.0)
        guided = run(TINY, goals, landscape, 80, seed)
        assert (guided.load <= 1).all()
        rng = np.random.default_rng(seed)
        plain = evolve(TINY, goals, landscape, EvolutionConfig.within(330), rng=rng)
        for archive, best in ((guided, found), (plain, bred)):
            fitted = AccuracyPredictor.fit(
                landscape.features,
                archive.archs,
                archive.accuracy,
                errors(archive.accuracy),
                rng=rng,
            )
            row = int(np.argmax(fitted.predict(archive.archs)[0]))
            best.append(landscape.truth(archive.archs)[row])
    assert np.mean(found) > np.mean(bred)


def test_goals_share_their_evaluations() -> None:
    goals, landscape = capped(TINY, 8.0, 20.0, 50.0), Landscape(TINY, 3)
    archive = run(TINY, goals, landscape, 60)
    assert len(archive.archs.unique()) == len(archive.archs) == 60
    assert (goals.loads(archive.archs) <= 1).all()
    for goal in goals:
        near = (goal.loads(archive.archs) <= 1) & (goal.loads(archive.archs) > 0.6)
        assert near.sum() >= 5


def test_a_search_that_was_stopped_ends_as_a_whole_one(tmp_path: Path) -> None:
    goals, landscape = capped(TINY, 20.0), Landscape(TINY, 4)
    whole = run(TINY, goals, landscape, 40)
    path = tmp_path / "state.json"
    for _ in range(40):
        part = run(TINY, goals, landscape, 40, state_path=path, stop=lambda: True)
        if part.complete:
            break
    np.testing.assert_array_equal(part.archs.genes, whole.archs.genes)
    np.testing.assert_array_equal(part.accuracy, whole.accuracy)


def test_a_small_space_is_used_up() -> None:
    goals = capped(SMALL, 0.6)
    archive = run(SMALL, goals, Landscape(SMALL, 5), 300)
    every = everything(SMALL)
    under = every.take(goals.loads(every) <= 1)
    assert len(archive.archs) == min(len(under), 300)


def test_the_agreement_is_that_of_honest_predictions() -> None:
    goals, landscape = capped(TINY, 20.0), Landscape(TINY, 6)
    archive = run(TINY, goals, landscape, 40)
    config = EvolutionConfig.guided_by(40)
    guide = Guide(space=TINY, goals=goals, config=config, errors=errors)
    found = guide.agreement(archive, np.random.default_rng(0))
    assert found is not None
    assert found.archs == (archive.born > 0).sum()
    assert -1 <= found.tau <= 1
    first = archive.rows(archive.born == 0)
    assert guide.agreement(first, np.random.default_rng(0)) is None


def test_seeds_belong_to_the_first_ones_if_they_keep_a_goal() -> None:
    goals, rng = capped(TINY, 20.0), np.random.default_rng(0)
    seeds = TINY.sample(40, rng)
    keeping = seeds.take(goals.loads(seeds) <= 1)
    first = goals.population(TINY, 30, rng, seeds=seeds)
    assert len(first) == len(first.unique()) <= 30
    assert len(set(first) & set(keeping)) >= min(len(keeping), 15)
    assert (goals.loads(first) <= 1).all()


def test_a_goal_that_nothing_keeps_is_refused() -> None:
    with pytest.raises(TargetError, match="no architecture of space tiny has"):
        capped(TINY, 20.0, 0.1).feasible(TINY, np.random.default_rng(0))


@pytest.mark.parametrize("evaluations", [2, 13, 32, 131, 260, 1030])
def test_a_guided_search_has_as_many_evaluations_as_asked(evaluations: int) -> None:
    assert EvolutionConfig.guided_by(evaluations).evaluations == evaluations
