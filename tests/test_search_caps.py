"""Hard caps: what a space can reach, and populations under the caps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_search import SMALL, OddCost, everything
from strategies import seeds

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.errors import TargetError
from elasticvit.searching.caps import (
    TARGETS,
    Cap,
    find_feasible,
    fingerprint,
    loads,
    reach,
)
from elasticvit.searching.population import initial_population
from elasticvit.space import MOBILE, TINY

MACS = {space.name: MacsCost(space) for space in (MOBILE, TINY)}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_reach_is_exact_where_all_can_be_priced() -> None:
    cost, batch = OddCost(SMALL), everything(SMALL)
    assert len(batch) == SMALL.size()
    prices, found = cost.price(batch), reach(SMALL, cost.price, rng())
    assert (found.low, found.high) == (prices.min(), prices.max())
    assert cost.price(ArchBatch.of([SMALL.smallest]))[0] > found.low
    assert cost.price(ArchBatch.of([found.cheapest]))[0] == found.low
    assert prices.min() <= found.median <= prices.max()


def test_reach_of_the_papers_space() -> None:
    found = reach(MOBILE, MACS["mobile"].price, rng())
    assert (found.low, found.high) == (37.365024, 3191.458816)


@pytest.mark.parametrize("space", [MOBILE, TINY], ids=lambda s: s.name)
@given(seed=seeds, share=st.floats(0.0005, 1.5))
@settings(max_examples=5, deadline=None)
def test_a_population_is_full_distinct_valid_and_under_the_cap(space, seed, share) -> None:
    low, high = MACS[space.name].price(ArchBatch.of([space.smallest, space.largest]))
    cap = Cap(cost=MACS[space.name], target=low + share * (high - low))
    batch = initial_population(space, [cap], 32, rng(seed))
    assert len(batch) == len(batch.unique())
    assert space.valid(batch).all()
    load = loads([cap], batch)
    assert (load <= 1).all()
    if share > 0.01:  # below, the space has few architectures or none between the loads
        assert len(batch) == 32
        assert load.max() > 0.95 * min(1.0, high / cap.target)
        widest = min(1.0, high / cap.target)
        assert load.min() < max(0.55 * widest, 1.2 * low / cap.target)


def test_a_cap_that_one_architecture_keeps_gives_that_one() -> None:
    cap = Cap(cost=MACS["tiny"], target=reach(TINY, MACS["tiny"].price, rng()).low)
    (only,) = initial_population(TINY, [cap], 32, rng())
    assert only == TINY.smallest


def test_the_upper_bound_is_what_is_capped() -> None:
    cost = OddCost(SMALL)
    cap = Cap(cost=cost, target=3.0)
    batch = initial_population(SMALL, [cap], 64, rng())
    assert (cost.upper(batch) <= 3.0).all()
    everything_kept = (cost.upper(everything(SMALL)) <= 3.0).sum()
    assert len(batch) == min(64, everything_kept)
    assert cap.cost.upper(batch) == pytest.approx(cost.upper(batch))
    assert MacsCost(SMALL).upper(batch) is None


def test_several_caps_hold_at_once() -> None:
    caps = [Cap(cost=OddCost(SMALL), target=3.6), Cap(cost=MacsCost(SMALL), target=2.0)]
    batch = initial_population(SMALL, caps, 24, rng())
    assert len(batch) == 24
    assert (caps[0].cost.upper(batch) <= 3.6).all()
    assert (caps[1].cost.price(batch) <= 2.0).all()


def test_a_target_below_the_fastest_says_what_the_fastest_is() -> None:
    cost = OddCost(SMALL)
    fastest = cost.upper(everything(SMALL)).min()
    with pytest.raises(
        TargetError, match=rf"upper bound.*0\.5 ms or less; the lowest is {fastest:.4g} ms"
    ):
        find_feasible(SMALL, [Cap(cost=cost, target=0.5)], rng())


def test_targets_that_exclude_each_other_are_both_named() -> None:
    class Reverse:
        unit, name = "ms", "latency on reverse"

        def price(self, batch: ArchBatch) -> np.ndarray:
            return 10 - MacsCost(SMALL).price(batch)

        def upper(self, batch: ArchBatch) -> None:
            return None

    macs = MacsCost(SMALL).price(everything(SMALL))
    limit = float(np.median(macs))
    caps = [
        Cap(cost=MacsCost(SMALL), target=limit, setting="target_mmacs"),
        Cap(cost=OddCost(SMALL, "latency on odd"), target=100.0, setting="target_ms"),
        Cap(cost=Reverse(), target=10 - 1.5 * limit, setting="target"),
    ]
    words = (
        r"the targets .* MMACs of macs and .* ms of latency on reverse exclude each other: .* "
        "meets both at once; the nearest has"
    )
    with pytest.raises(TargetError, match=words) as caught:
        find_feasible(SMALL, caps, rng())
    assert "odd" not in str(caught.value)
    assert caught.value.settings == ("target", "target_mmacs")


def test_three_targets_that_only_together_exclude_each_other_are_all_named() -> None:
    class Genes:
        unit = "units"

        def __init__(self, name: str, weights: dict[str, float]) -> None:
            self.name, self.weights = name, weights

        def price(self, batch: ArchBatch) -> np.ndarray:
            return 1000 + sum(w * batch.column(g).astype(float) for g, w in self.weights.items())

        def upper(self, batch: ArchBatch) -> None:
            return None

    wide, long, neither = (
        Genes("narrowness", {"attn1.width": -1.0}),  # at most 960: width from 40
        Genes("shortness", {"attn1.depth": -1.0}),  # at most 998: depth from 2
        Genes("both", {"attn1.width": 1 / 16, "attn1.depth": 1.0}),  # at most 1004: sum up to 4
    )
    caps = [
        Cap(cost=cost, target=target)
        for cost, target in ((wide, 960), (neither, 1004), (long, 998))
    ]
    for pair in ([0, 1], [0, 2], [1, 2]):
        find_feasible(SMALL, [caps[i] for i in pair], rng())
    with pytest.raises(TargetError, match=r"narrowness and .* both and .* meets all at once"):
        find_feasible(SMALL, caps, rng())


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_target_is_a_number_above_zero(limit: float) -> None:
    with pytest.raises(TargetError, match=r"target .* MMACs; a target must be above 0"):
        Cap(cost=MACS["tiny"], target=limit)


def test_a_search_without_caps_is_refused() -> None:
    with pytest.raises(TargetError, match="without a target") as caught:
        find_feasible(SMALL, [], rng())
    assert caught.value.settings == TARGETS


def test_a_fingerprint_tells_costs_limits_and_spaces_apart() -> None:
    cost = MacsCost(SMALL)
    prints = {
        fingerprint(SMALL, [Cap(cost=cost, target=2.0)]),
        fingerprint(SMALL, [Cap(cost=cost, target=2.1)]),
        fingerprint(SMALL, [Cap(cost=OddCost(SMALL), target=2.0)]),
        fingerprint(
            SMALL.with_classes(11), [Cap(cost=MacsCost(SMALL.with_classes(11)), target=2.0)]
        ),
    }
    assert len(prints) == 4
    again = fingerprint(SMALL, [Cap(cost=MacsCost(SMALL), target=2.0)])
    assert again in prints
