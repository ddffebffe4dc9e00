"""Levels and the sampler: bands are kept, the walk is adjacent, draws are uniform in a band."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import FloatArray, MacsCost
from elasticvit.errors import CheckpointError, TargetError
from elasticvit.space import MOBILE, TINY, SearchSpace
from elasticvit.training.levels import PAPER_LEVELS_MMACS, Levels, levels_for
from elasticvit.training.sampling.adjacent import LevelSampler
from elasticvit.training.sampling.reservoir import Reservoir
from elasticvit.training.sampling.state import SamplerState


class FakeMs:
    """Milliseconds that grow with the square root of the multiply-accumulates."""

    unit = "ms"
    name = "latency on nothing"

    def __init__(self, space: SearchSpace) -> None:
        self.macs = MacsCost(space)

    def price(self, batch: ArchBatch) -> FloatArray:
        return np.sqrt(self.macs.price(batch)) + 0.01 * batch.column("attn1.depth")


COSTS = {
    (space.name, cost.unit): (space, cost, levels_for(space, cost, np.random.default_rng(0)))
    for space in (TINY, MOBILE)
    for cost in (MacsCost(space), FakeMs(space))
}
cases = pytest.mark.parametrize("case", COSTS, ids="-".join)


def price(cost: MacsCost | FakeMs, arch: Arch) -> float:
    return float(cost.price(ArchBatch.of([arch]))[0])


def test_the_papers_levels_are_used_in_its_own_space() -> None:
    _, cost, levels = COSTS["mobile", "MMACs"]
    assert levels.values == PAPER_LEVELS_MMACS
    assert levels.band(1) == (200.0, 220.0)
    smallest = [round(price(cost, arch)) for arch in levels.smallest]
    assert smallest == [37, 37, 160, 160, 289, 289, 289, 289]


@cases
def test_levels_span_the_space_and_smallest_subnets_lie_below(case: tuple[str, str]) -> None:
    space, cost, levels = COSTS[case]
    sample = cost.price(space.sample(100_000, np.random.default_rng(1)))
    below, above = (np.mean(sample < v) for v in (levels.values[0], levels.values[-1]))
    assert below < 0.01
    assert 0.9 < above < 0.99
    assert len(levels) >= 4
    assert levels.smallest[0] == space.smallest
    for level, arch in enumerate(levels.smallest):
        space.check(arch)
        assert price(cost, arch) < 0.85 * levels.values[level]
    costs = [price(cost, arch) for arch in levels.smallest]
    assert costs == sorted(costs)
    assert len(set(costs)) == 3


@cases
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_every_draw_keeps_its_band_and_its_lower_bound(case: tuple[str, str], seed: int) -> None:
    space, cost, levels = COSTS[case]
    sampler = LevelSampler(space, cost, levels, seed=seed)
    for _ in range(15):
        draw = sampler.draw()
        low, high = levels.band(draw.level)
        assert len(draw.archs) == 3
        assert draw.students == (levels.smallest[draw.level],)
        for arch in draw.archs:
            space.check(arch)
            assert low <= price(cost, arch) <= high
            assert all(a >= b for a, b in zip(arch.genes, draw.students[0].genes, strict=True))


def test_the_walk_is_adjacent_and_visits_all_levels_alike() -> None:
    space, cost, levels = COSTS["tiny", "MMACs"]
    sampler = LevelSampler(space, cost, levels, seed=3, subnets=1)
    visited = np.array([sampler.draw().level for _ in range(6000)])
    steps = np.diff(visited)
    assert set(steps) == {-1, 0, 1}
    assert np.bincount(visited, minlength=len(levels)).min() > 6000 / len(levels) / 1.5
    at_the_lowest = steps[visited[:-1] == 0]
    assert abs(np.mean(at_the_lowest == 0) - 2 / 3) < 0.06  # a step below becomes a stay


@pytest.mark.parametrize("level", [0, 3])
def test_draws_are_distributed_as_by_rejection_one_at_a_time(level: int) -> None:
    space, cost, levels = COSTS["tiny", "MMACs"]
    low, high = levels.band(level)
    wide = Levels(
        unit="MMACs", values=(low,), bound=(high - low) * 1.5, smallest=(levels.smallest[level],)
    )
    ours = Reservoir(space, cost, wide, np.random.default_rng(0)).draw(0, 4000).genes
    sample = space.sample(1_500_000, np.random.default_rng(1), wide.smallest[0])
    prices = cost.price(sample)
    theirs = sample.genes[(prices >= low) & (prices <= wide.band(0)[1])]
    assert len(theirs) > 4000
    for column, choices in enumerate(space.choices):
        for value in choices:
            p, q = np.mean(ours[:, column] == value), np.mean(theirs[:, column] == value)
            error = np.sqrt(p * (1 - p) / len(ours) + q * (1 - q) / len(theirs))
            assert abs(p - q) <= 5 * error + 1e-9, (space.names[column], value, p, q)


def test_no_architecture_is_handed_out_twice_in_a_row() -> None:
    space, cost, levels = COSTS["mobile", "MMACs"]
    reservoir = Reservoir(space, cost, levels, np.random.default_rng(0))
    assert len(reservoir.draw(2, 300).unique()) == 300


@cases
def test_the_same_seed_draws_the_same_and_another_does_not(case: tuple[str, str]) -> None:
    space, cost, levels = COSTS[case]
    one, two, other = (LevelSampler(space, cost, levels, seed=s) for s in (7, 7, 8))
    assert [one.draw() for _ in range(5)] == [two.draw() for _ in range(5)]
    assert one.draw() != other.draw()


def test_a_state_through_json_goes_on_where_it_stood() -> None:
    space, cost, levels = COSTS["tiny", "MMACs"]
    sampler = LevelSampler(space, cost, levels, seed=1)
    for _ in range(20):
        sampler.draw()
    text = json.dumps(msgspec.to_builtins(sampler.state()))
    state = msgspec.json.decode(text, type=SamplerState)
    ahead = [sampler.draw() for _ in range(40)]
    again = LevelSampler(space, cost, levels, seed=99)
    again.restore(state)
    assert [again.draw() for _ in range(40)] == ahead


def test_a_state_of_other_levels_is_refused() -> None:
    space, cost, levels = COSTS["tiny", "MMACs"]
    _, ms, other = COSTS["tiny", "ms"]
    with pytest.raises(CheckpointError, match="complexity levels"):
        LevelSampler(space, cost, levels, seed=1).restore(
            LevelSampler(space, ms, other, seed=1).state()
        )


def test_an_empty_band_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticvit.training.sampling.reservoir.TRIES", 2)
    levels = Levels(unit="MMACs", values=(900.0,), bound=1.0, smallest=(TINY.smallest,))
    with pytest.raises(TargetError, match="900 to 902 MMACs"):
        LevelSampler(TINY, MacsCost(TINY), levels, seed=0).draw()


@pytest.mark.parametrize(("values", "bound"), [((), 1.0), ((2.0, 1.0), 1.0), ((1.0,), 0.0)])
def test_contradictory_levels_are_refused(values: tuple[float, ...], bound: float) -> None:
    with pytest.raises(TargetError):
        Levels(unit="ms", values=values, bound=bound, smallest=(TINY.smallest,) * len(values))
