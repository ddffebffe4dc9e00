"""What every sampler promises, held by each: seeds, bands, states."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_small import MICRO, config, sampler

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.errors import CheckpointError
from elasticvit.space import TINY
from elasticvit.training.levels import levels_for
from elasticvit.training.sampling.build import sampled_levels
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.sampling.state import SamplerState

KINDS: dict[str, dict[str, Any]] = {
    "adjacent": {},
    "one smallest": {"hss": 1},
    "bank": {"bank": True},
    "preference": {"preference": True},
    "bank and preference": {"bank": True, "preference": True},
    "growing": {"bank": True, "preference": True, "grow": 0.7},
    "cheap levels more often": {"bank": True, "level_bias": 0.8},
    "uniform": {"sampling": "uniform"},
    "sandwich": {"sampling": "sandwich"},
}
COST = MacsCost(MICRO)
kinds = pytest.mark.parametrize("kind", KINDS)


def make(kind: str, seed: int = 0) -> Sampler:
    return sampler(seed, config(**KINDS[kind]))


def walked(job: Sampler, steps: range, total: int = 60) -> list[Draw]:
    """Draws of some steps of a training whose losses follow from the architectures alone."""
    draws = []
    for step in steps:
        draws.append(job.draw(step / total))
        job.learn(draws[-1], [1 + sum(arch.genes) % 7 / 7 for arch in draws[-1].archs])
    return draws


@kinds
def test_the_same_seed_draws_the_same_and_another_does_not(kind: str) -> None:
    one, two, other = (walked(make(kind, seed), range(60)) for seed in (7, 7, 8))
    assert one == two
    assert one != other


@kinds
@given(seed=st.integers(0, 2**32 - 1), shares=st.lists(st.floats(0, 1), min_size=5, max_size=40))
@settings(max_examples=5, deadline=None)
def test_every_draw_is_of_the_space_and_its_band(kind: str, seed: int, shares: list[float]) -> None:
    job = make(kind, seed)
    for share in sorted(shares):
        draw = job.draw(share)
        job.learn(draw, [2.0] * len(draw.archs))
        low, high = job.levels.band(draw.level)
        assert len(draw.archs) == len(draw.chosen)
        assert len(draw.archs) + len(draw.students) == 4
        for arch in (*draw.archs, *draw.students):
            MICRO.check(arch)
        for price in COST.price(ArchBatch.of(draw.archs)):
            assert low - 1e-9 <= price <= high + 1e-9
        assert job.levels.smallest[draw.level] in draw.students


@kinds
def test_a_state_through_json_goes_on_where_it_stood(kind: str) -> None:
    job = make(kind, 1)
    walked(job, range(30))
    text = json.dumps(msgspec.to_builtins(job.state()))
    again = make(kind, 99)
    again.restore(msgspec.json.decode(text, type=SamplerState))
    assert again.state() == job.state()
    assert walked(again, range(30, 60)) == walked(job, range(30, 60))
    assert again.state() == job.state()


@kinds
def test_a_look_at_a_level_moves_neither_walk_nor_banks(kind: str) -> None:
    job = make(kind)
    walked(job, range(20))
    before = job.state()
    draw = job.draw_at(len(job.levels) - 1)
    assert draw.level == len(job.levels) - 1
    assert set(draw.chosen) <= {"uniform", "fixed"}
    assert (job.state().level, job.state().banks) == (before.level, before.banks)


@kinds
def test_a_state_of_other_levels_is_refused(kind: str) -> None:
    job = make(kind)
    with pytest.raises(CheckpointError, match="complexity levels"):
        job.restore(msgspec.structs.replace(job.state(), values=(1.0, 2.0)))


def test_there_are_three_smallest_subnets_or_one() -> None:
    cost = MacsCost(TINY)
    levels = levels_for(TINY, cost, np.random.default_rng(0))
    three, one = (sampled_levels(levels, TINY, cost, config(hss=hss)) for hss in (3, 1))
    assert (three.values, three.bound) == (one.values, one.bound)
    assert len(set(three.smallest)) == 3
    assert set(one.smallest) == {TINY.smallest}


def test_techniques_do_not_change_the_walk() -> None:
    """So that runs with and without them can be compared step by step."""
    plain, banked = (
        [draw.level for draw in walked(make(kind, 5), range(60))] for kind in ("adjacent", "bank")
    )
    assert plain == banked


def test_banks_and_preference_are_used_once_there_is_enough_to_go_by() -> None:
    draws = walked(make("bank and preference"), range(60))
    chosen = [how for draw in draws for how in draw.chosen]
    assert set(chosen[:3]) == {"uniform"}
    late = chosen[-60:]
    assert late.count("bank") > late.count("preference") > 0
    assert "uniform" not in late


def test_the_sandwich_is_that_of_bignas() -> None:
    """Largest, smallest and two random subnets, without levels, banks and preference."""
    settings = config(sampling="sandwich", hss=1, bank=False, preference=False)
    job = sampler(3, settings)
    draws = [job.draw(i / 50) for i in range(50)]
    assert all(draw.archs == (MICRO.largest,) for draw in draws)
    assert all(draw.students[0] == MICRO.smallest for draw in draws)
    assert all(len(draw.students) == 3 for draw in draws)
    random = ArchBatch.of([arch for draw in draws for arch in draw.students[1:]])
    for column, choices in enumerate(MICRO.choices):
        assert set(np.unique(random.genes[:, column])) == set(choices)
    assert job.banks is None
