"""A search for a whole front: what it is worth, and what it leaves alone."""

from pathlib import Path

import numpy as np
import pytest
from small_search import SMALL, everything
from test_search_guided import Landscape, capped, errors

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.errors import CheckpointError
from elasticvit.searching.archive import Archive
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.evolution import evolve
from elasticvit.searching.front_guide import FrontGuide, guide_of
from elasticvit.searching.goal import Goals
from elasticvit.searching.guided import Guide
from elasticvit.searching.pareto import first_layers, hypervolume, ranks
from elasticvit.space import SearchSpace

TARGETS = (0.5, 0.8, 1.2, 3.0)


def front_of(space: SearchSpace, *targets: float) -> Goals:
    return Goals(capped(space, *targets).goals, front=True)


def run(goals: Goals, seed: int, evaluations: int = 36, **options: object) -> Archive:
    config = EvolutionConfig.guided_by(evaluations)
    guide = guide_of(space=SMALL, goals=goals, config=config, errors=errors)
    rng = np.random.default_rng(seed)
    landscape = Landscape(SMALL, seed)
    return evolve(SMALL, goals, landscape, config, rng=rng, propose=guide, **options)


def test_goals_choose_their_guide() -> None:
    config = EvolutionConfig.guided_by(20)
    for goals, kind in ((capped(SMALL, 1, 2), Guide), (front_of(SMALL, 1, 2), FrontGuide)):
        made = guide_of(space=SMALL, goals=goals, config=config, errors=errors)
        assert type(made) is kind


def test_it_finds_more_of_the_area_than_chance() -> None:
    every, macs, goals = everything(SMALL), MacsCost(SMALL), front_of(SMALL, *TARGETS)
    every = every.take(goals.loads(every) <= 1)
    found, drawn = [], []
    for seed in range(3):
        truth = Landscape(SMALL, seed).truth
        low, top = truth(every).min(), macs.price(every).max()

        def area(archs: ArchBatch, truth=truth, low=low, top=top) -> float:
            points = np.stack([macs.price(archs), low - truth(archs)], axis=1)
            return hypervolume(points, (1.01 * top, 1e-6))

        archive = run(goals, seed)
        assert len(archive.archs) == 36
        assert (archive.load <= 1).all()
        found.append(area(archive.archs) / area(every))
        chance = every.take(np.random.default_rng(seed).permutation(len(every))[:36])
        drawn.append(area(chance) / area(every))
    assert np.mean(found) > np.mean(drawn) + 0.02, (found, drawn)
    assert np.mean(found) > 0.93


def test_the_first_architectures_reach_from_the_cheapest_to_the_highest_cap() -> None:
    goals = front_of(SMALL, *TARGETS)
    feasible = goals.feasible(SMALL, np.random.default_rng(0))
    first = goals.population(SMALL, 12, np.random.default_rng(0), feasible=feasible)
    costs = np.sort(MacsCost(SMALL).price(first))
    every = MacsCost(SMALL).price(everything(SMALL))
    assert len(first) == 12
    assert costs[0] < 1.2 * every.min()
    assert costs[-1] > 0.9 * every[every <= TARGETS[-1]].max()


def test_it_ends_when_the_space_is_used_up() -> None:
    fixed = tuple(options[:1] for options in SMALL.choices[:-3])
    space = SearchSpace("few", SMALL.layout, (*fixed, (1, 2), (2, 3), (2,)))
    goals = front_of(space, 3.0)
    config = EvolutionConfig(population=2, crossover=3, mutation=0, generations=5, guided=True)
    guide = FrontGuide(space=space, goals=goals, config=config, errors=errors)
    landscape = Landscape(space, 0)
    archive = evolve(space, goals, landscape, config, rng=np.random.default_rng(0), propose=guide)
    assert len(archive.archs) == space.size() == 4


def test_a_resumed_search_equals_a_whole_one_and_is_none_of_goals(tmp_path: Path) -> None:
    goals = front_of(SMALL, *TARGETS)
    whole = run(goals, 0)
    path = tmp_path / "state.json"
    left = iter([False, False, False, True])
    run(goals, 0, state_path=path, stop=lambda: next(left, True))
    resumed = run(goals, 0, state_path=path)
    assert np.array_equal(resumed.archs.genes, whole.archs.genes)
    assert np.array_equal(resumed.accuracy, whole.accuracy)
    with pytest.raises(CheckpointError, match="other caps"):
        run(capped(SMALL, *TARGETS), 0, state_path=path)


def test_first_layers_are_those_of_the_ranks() -> None:
    points = np.random.default_rng(0).random((60, 2))
    layer = ranks(points)
    for count in (0, 1, 17, 60, 99):
        rows = first_layers(points, count)
        assert len(rows) == len(set(rows.tolist())) == min(count, 60)
        left_out = np.setdiff1d(np.arange(60), rows)
        if len(rows) and len(left_out):
            assert layer[rows].max() <= layer[left_out].min()
    assert len(first_layers(np.empty((0, 2)), 5)) == 0
