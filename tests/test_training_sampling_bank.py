"""Memory banks, the schedules and the path preference rule."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import archs, batches
from training_small import MICRO, config, sampler

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.space import TINY
from elasticvit.training.sampling.bank import Bank, Entry, bank_sizes
from elasticvit.training.sampling.banked import BankSampler, exploitation
from elasticvit.training.sampling.preferring import depth_over_width
from elasticvit.training.sampling.walk import LevelWalk, highest_level, mean_over_rest, visits

losses = st.floats(0, 50)


def entry(arch: Arch, loss: float, judged: int = 0) -> Entry:
    return Entry(arch=arch, loss=loss, judged=judged)


@given(
    pool=batches(TINY, 30),
    offers=st.lists(st.tuples(st.integers(0, 29), losses), max_size=60),
    size=st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_a_bank_keeps_each_subnet_once_and_gives_up_the_worst(
    pool: ArchBatch, offers: list[tuple[int, float]], size: int
) -> None:
    bank = Bank(size)
    for row, loss in offers:
        arch = pool[row % len(pool)]
        before = {e.arch: e.loss for e in bank}
        entered = bank.offer(entry(arch, loss))
        after = {e.arch: e.loss for e in bank}
        assert len(after) == len(bank) <= size
        if arch in before or len(before) < size:
            assert entered
            assert after == {**before, arch: loss}
        elif loss < max(before.values()):
            (left,) = before.keys() - after.keys()
            assert before[left] == max(before.values())
            assert after[arch] == loss
        else:
            assert not entered
            assert after == before
        assert bank.ready == (len(after) > size / 2)
        assert after[bank.best] == min(after.values())
        assert bank.draw(np.random.default_rng(0)) in after


def test_a_bank_is_drawn_from_by_the_softmax_of_its_negative_losses() -> None:
    bank, archs_ = Bank(3), TINY.sample(3, np.random.default_rng(0)).unique()
    for arch, loss in zip(archs_, (1.0, 2.0, 3.0), strict=True):
        bank.offer(entry(arch, loss))
    rng = np.random.default_rng(1)
    drawn = [bank.draw(rng) for _ in range(4000)]
    expected = np.exp([-1.0, -2.0, -3.0]) / np.exp([-1.0, -2.0, -3.0]).sum()
    shares = [drawn.count(arch) / 4000 for arch in archs_]
    assert shares == pytest.approx(expected, abs=0.03)


def test_losses_of_any_size_can_be_drawn_by() -> None:
    bank = Bank(2)
    for arch, loss in zip(TINY.sample(2, np.random.default_rng(0)), (1e6, 2e6), strict=True):
        bank.offer(entry(arch, loss))
    assert bank.draw(np.random.default_rng(0)) == bank.best


@given(arch=archs(TINY), bad=st.sampled_from([float("nan"), float("inf")]))
@settings(max_examples=5, deadline=None)
def test_a_subnet_whose_loss_is_no_number_is_forgotten(arch: Arch, bad: float) -> None:
    bank = Bank(2)
    bank.offer(entry(arch, 1.0))
    bank.judge(arch, 0.5, 7)
    assert list(bank) == [entry(arch, 0.5, 7)]
    bank.judge(arch, bad, 8)
    assert not len(bank)


def test_the_papers_banks_hold_150_and_50() -> None:
    steps = 600 * 1_281_167 // 768
    assert bank_sizes(8, 3 * steps) == (150,) * 4 + (50,) * 4


@given(levels=st.integers(1, 20), draws=st.integers(0, 10**7))
def test_a_bank_of_a_short_training_can_be_filled(levels: int, draws: int) -> None:
    sizes = bank_sizes(levels, draws)
    assert len(sizes) == levels
    assert list(sizes) == sorted(sizes, reverse=True)
    assert all(4 <= size <= max(4, 0.05 * draws / levels + 0.5) for size in sizes)


@given(share=st.floats(0, 1), more=st.floats(0, 1))
def test_exploitation_rises_at_every_sixth(share: float, more: float) -> None:
    assert 0.2 <= exploitation(share) <= 1
    assert exploitation(min(1.0, share + more)) >= exploitation(share)


def test_exploitation_is_the_papers() -> None:
    assert [exploitation(epoch / 600) for epoch in (0, 99, 100, 299, 300, 500, 599)] == (
        pytest.approx([0.2, 0.2, 0.35, 0.5, 0.65, 0.95, 0.95])
    )


@given(share=st.floats(0, 1), more=st.floats(0, 1), grow=st.floats(0, 1), count=st.integers(1, 12))
def test_levels_are_let_in_one_after_another(
    share: float, more: float, grow: float, count: int
) -> None:
    highest = highest_level(share, grow, count)
    assert 0 <= highest < count
    assert highest_level(min(1.0, share + more), grow, count) >= highest
    assert highest_level(grow, grow, count) == count - 1
    assert grow == 0 or highest_level(0.0, grow, count) == 0


@given(seed=st.integers(0, 2**32 - 1), grow=st.floats(0.05, 1), bias=st.floats(0, 2))
@settings(max_examples=20, deadline=None)
def test_a_growing_walk_is_adjacent_and_stays_below_what_is_let_in(
    seed: int, grow: float, bias: float
) -> None:
    shares = visits([4.0, 7.0, 13.0, 22.0, 38.0, 67.0], bias)
    walk, last = LevelWalk(shares, np.random.default_rng(seed), grow), None
    for step in range(300):
        level = walk.step(step / 300)
        assert level <= highest_level(step / 300, grow, 6)
        assert last is None or abs(level - last) <= 1
        last = level


@pytest.mark.parametrize("bias", [0.0, 0.8])
@pytest.mark.parametrize(("grow", "done"), [(0.0, 0.0), (0.6, 0.0), (0.6, 0.3), (0.6, 0.8), (1, 0)])
def test_the_rest_of_a_growing_walk_is_forecast(grow: float, done: float, bias: float) -> None:
    seconds, met = [1.0, 2.0, 4.0, 9.0], []
    shares = visits([10.0, 20.0, 40.0, 90.0], bias)
    for seed in range(5):
        walk = LevelWalk(shares, np.random.default_rng(seed), grow)
        met += [seconds[walk.step(i / 12_000)] for i in range(12_000)][int(done * 12_000) :]
    assert mean_over_rest(seconds, shares, grow, done) == pytest.approx(np.mean(met), rel=0.1)


@pytest.mark.parametrize("bias", [0.0, 0.5, 1.0])
def test_a_biased_walk_visits_levels_by_their_cost(bias: float) -> None:
    costs = [4.1, 7.2, 13.0, 22.0, 38.0, 67.0]
    walk = LevelWalk(visits(costs, bias), np.random.default_rng(1))
    met = np.bincount([walk.step(0.0) for _ in range(60_000)], minlength=6) / 60_000
    expected = np.array(costs) ** -bias
    assert met == pytest.approx(expected / expected.sum(), abs=0.025)


def test_only_explored_subnets_are_offered() -> None:
    job = sampler(0, config(bank=True))
    draw = job.draw()
    assert job.banks is not None
    bank = job.banks[draw.level]
    job.learn(replace(draw, chosen=("bank", "uniform", "preference")), [0.1, 0.2, float("nan")])
    assert [(e.arch, e.loss) for e in bank] == [(draw.archs[1], 0.2)]


def test_what_has_left_its_band_is_forgotten_with_a_resume() -> None:
    """After another profile of a device has changed the costs a little."""
    job = sampler(0, config(bank=True))
    for step in range(40):
        draw = job.draw(step / 40)
        job.learn(draw, [1.0] * 3)

    class Dearer:
        unit, name, macs = "MMACs", "macs", MacsCost(MICRO)

        def price(self, batch: ArchBatch) -> np.ndarray:
            return self.macs.price(batch) + job.levels.bound

    again = sampler(1, config(bank=True))
    assert isinstance(again, BankSampler)
    again.cost = Dearer()  # type: ignore[assignment]
    again.restore(job.state())
    kept, before = ({e.arch for bank in s.banks or () for e in bank} for s in (again, job))
    assert kept < before
    for level, bank in enumerate(again.banks):
        low, high = again.levels.band(level)
        assert all(low <= Dearer().price(ArchBatch.of([e.arch]))[0] <= high for e in bank)


@given(batch=batches(TINY, 4), anchor=archs(TINY))
@settings(max_examples=20, deadline=None)
def test_depth_over_width_is_the_difference_of_two_costs(batch: ArchBatch, anchor: Arch) -> None:
    cost = MacsCost(TINY)

    def price(arch: Arch, gene: str) -> float:
        stages = [
            replace(own, **{gene: getattr(other, gene)})
            for own, other in zip(arch.attn, anchor.attn, strict=True)
        ]
        return float(cost.price(ArchBatch.of([replace(arch, attn=tuple(stages))]))[0])

    expected = [price(arch, "width") - price(arch, "depth") for arch in batch]
    assert depth_over_width(batch, anchor, cost) == pytest.approx(expected)


def test_preference_picks_wide_subnets_rather_than_deep_ones() -> None:
    cost, anchor = MacsCost(MICRO), MICRO.smallest
    means = []
    for preference in (False, True):
        job = sampler(2, config(preference=preference))
        drawn = [arch for _ in range(100) for arch in job.draw().archs]
        means.append(depth_over_width(ArchBatch.of(drawn), anchor, cost).mean())
    assert means[1] < means[0]
