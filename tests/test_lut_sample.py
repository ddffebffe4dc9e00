"""What is measured and what is held out."""

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import seeds, space_and_arch

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.errors import PredictorError, SettingError
from elasticvit.kernels import KINDS, lower
from elasticvit.space import MOBILE, PRESETS, TINY, SearchSpace
from lut.held_out import HeldOutSplit
from lut.keys import subnet_key
from lut.plan import PlanConfig, ProfilePlan
from lut.sample import (
    HEAD_CLASSES,
    fill,
    graded_sample,
    kernel_sequences,
    other_heads,
    reachable_kernels,
    subnet_sequences,
    van_der_corput,
)
from predictors.kernel_regressors import KernelRegressors

SPACES = list(PRESETS.values())


@settings(max_examples=30, deadline=None)
@given(space_and_arch)
def test_every_kernel_of_an_architecture_is_reachable(case) -> None:
    space, arch = case
    assert set(lower(arch, space.layout)) <= set(reachable_kernels(space))


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_the_kernels_are_parted_without_loss(space: SearchSpace) -> None:
    split = HeldOutSplit(seed=3)
    fit, held = kernel_sequences(space, split)
    assert sorted((*fit, *held), key=lambda k: k.key) == sorted(
        reachable_kernels(space), key=lambda k: k.key
    )
    assert not set(fit) & set(held)
    assert all(split.held_out(k.key) for k in held)
    assert not any(split.held_out(k.key) for k in fit)
    assert 0.08 < len(held) / len(fit) < 0.2
    assert {k.kind for k in fit} == set(KINDS)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_another_seed_holds_out_others(seed: int) -> None:
    keys = [f"ffn size={i} width=16 mlp_ratio=2" for i in range(400)]
    one, two = HeldOutSplit(seed=seed), HeldOutSplit(seed=seed + 1)
    assert [k for k in keys if one.held_out(k)] != [k for k in keys if two.held_out(k)]
    assert [k for k in keys if one.held_out(k)] == [k for k in keys if one.held_out(k)]


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_first_level_spans_all_that_the_space_can_contain(
    space: SearchSpace, seed: int
) -> None:
    plan = ProfilePlan.of(space, PlanConfig(seed=seed, max_subnets=3, held_out_subnets=0))
    first = [job.kernels[0] for job in plan.jobs(1, 3) if not job.whole and not job.held_out]
    model = KernelRegressors.fit({k: 1.0 + k.macs / 1e6 for k in first})
    assert not (model.octaves_outside(reachable_kernels(space)) > 0).any()
    with pytest.raises(PredictorError):
        KernelRegressors.fit(dict.fromkeys(first[:1], 1.0))


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_the_first_level_prices_the_space_at_any_usual_number_of_classes(
    space: SearchSpace,
) -> None:
    plan = ProfilePlan.of(space, PlanConfig(max_subnets=3, held_out_subnets=0))
    first = {job.kernels[0] for job in plan.jobs(1, 3) if not job.whole and not job.held_out}
    model = KernelRegressors.fit({k: 1.0 + k.macs / 1e6 for k in first})
    for classes in (2, 3, 37, 100, 500, 1000, 1500):
        heads = [k for k in reachable_kernels(space.with_classes(classes)) if k.kind == "head"]
        assert model.covered(heads).all()
    assert set(other_heads(space)) <= first
    # they come on top of the space's own kernels, and keep none of them waiting
    assert len(first) == plan.config.kernels + len(other_heads(space))


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_other_heads_are_the_corners_at_the_classes_that_the_space_has_not(
    space: SearchSpace,
) -> None:
    heads = other_heads(space)
    classes = set(HEAD_CLASSES) - {space.layout.classes}
    assert len(heads) == len(set(heads)) == 4 * len(classes)
    assert {h.classes for h in heads} == classes
    own = [k for k in reachable_kernels(space) if k.kind == "head"]
    assert not set(heads) & set(own)
    for dimension in ("size", "width"):
        values = [k.dims[dimension] for k in own]
        assert {h.dims[dimension] for h in heads} == {min(values), max(values)}


def test_a_plan_of_chosen_kernels_has_nothing_else_to_fit_with() -> None:
    chosen = tuple(reachable_kernels(TINY)[:5])
    plan = ProfilePlan.of(TINY, PlanConfig(chosen=chosen, max_subnets=0))
    assert [job.kernels for job in plan.jobs(plan.levels, 3)] == [(k,) for k in chosen]


@pytest.mark.parametrize(
    ("numbers", "match"),
    [
        ({"seed": -1}, "seed of a profile is -1; it must be at least 0"),
        ({"kernels": 0}, "kernels of a profile is 0; it must be at least 1"),
        ({"max_subnets": -2}, "max_subnets"),
        ({"held_out_rounds": 0}, "at least 2"),
        ({"held_out_rounds": 3}, "is 3; it must be even"),
        ({"chosen": ()}, "choose at least one"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(numbers, match: str) -> None:
    with pytest.raises(SettingError, match=match):
        PlanConfig(**numbers)


def test_filling_covers_better_than_chance() -> None:
    kernels = [k for k in reachable_kernels(MOBILE) if k.kind == "downsample"]
    points = np.log([list(k.dims.values()) for k in kernels])
    points = (points - points.min(axis=0)) / np.maximum(np.ptp(points, axis=0), 1e-9)
    where = dict(zip(kernels, points, strict=True))

    def hole(chosen) -> float:
        near = np.array([where[k] for k in chosen])
        return float(np.min(np.linalg.norm(points[:, None] - near, axis=2), axis=1).max())

    rng = np.random.default_rng(0)
    by_chance = [hole([kernels[i] for i in rng.permutation(len(kernels))[:40]]) for _ in range(10)]
    assert hole(fill(kernels)[:40]) < 0.8 * min(by_chance)


def test_filling_begins_with_the_smallest_and_the_largest() -> None:
    kernels = [k for k in reachable_kernels(TINY) if k.kind == "mbconv"]
    order = fill(kernels)
    macs = [k.macs for k in kernels]
    assert (order[0].macs, order[1].macs) == (min(macs), max(macs))
    assert sorted(order) == sorted(kernels)


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_subnets_cover_all_complexities_in_both_roles(space: SearchSpace) -> None:
    split = HeldOutSplit(seed=0)
    sequences = subnet_sequences(space, split, 24)
    ends = MacsCost(space).price(ArchBatch.of([space.smallest, space.largest]))
    for archs, held in ((sequences.fit, False), (sequences.held_out, True)):
        batch = ArchBatch.of(archs)
        assert space.valid(batch).all()
        assert len(batch.unique()) == len(archs) == 24
        assert all(split.held_out(subnet_key(a, space.layout)) == held for a in archs)
        place = np.sort(np.log(MacsCost(space).price(batch) / ends[0]) / np.log(ends[1] / ends[0]))
        assert place[0] < 0.15
        assert place[-1] > 0.85
        assert np.diff(place).max() < 0.15


def test_longer_sequences_begin_with_the_shorter() -> None:
    split = HeldOutSplit(seed=0)
    short, long = (subnet_sequences(TINY, split, n) for n in (7, 30))
    assert long.fit[:7] == short.fit
    assert long.held_out[:7] == short.held_out


def test_graded_samples_reach_further_than_uniform_ones() -> None:
    rng = np.random.default_rng(0)
    graded = MacsCost(MOBILE).price(graded_sample(MOBILE, 4000, rng))
    uniform = MacsCost(MOBILE).price(MOBILE.sample(4000, rng))
    assert graded.min() < 0.5 * uniform.min()
    assert graded.max() > 1.2 * uniform.max()


def test_van_der_corput() -> None:
    assert [van_der_corput(i) for i in range(1, 8)] == [
        1 / 2,
        1 / 4,
        3 / 4,
        1 / 8,
        5 / 8,
        3 / 8,
        7 / 8,
    ]


def test_a_deeper_plan_keeps_the_jobs_of_the_shallower() -> None:
    plan = ProfilePlan.of(TINY, PlanConfig(max_subnets=40))
    keys = [{job.key for job in plan.jobs(level, 3)} for level in (1, 2, 3)]
    assert keys[0] < keys[1] < keys[2]
    roles = {job.key: job.held_out for job in plan.jobs(3, 3)}
    split = HeldOutSplit(seed=plan.config.seed)
    assert all(split.held_out(key) == held for key, held in roles.items())
    deepest = plan.jobs(plan.levels, 3)
    assert len(deepest) == len(plan.jobs(plan.levels + 5, 3))
