"""How a search goes on until a finalist keeps its caps as measured."""

from dataclasses import dataclass

import numpy as np
from small_search import SMALL

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import MacsCost
from elasticvit.searching.caps import Cap
from elasticvit.searching.goal import Goal
from elasticvit.searching.verified import Verified, choose, promising, unverified
from elasticvit.searching.winner import Measured

ARCHS = SMALL.sample(40, np.random.default_rng(0)).unique()
MACS = MacsCost(SMALL)


class Slower:
    """Multiply-accumulates times a factor, as milliseconds."""

    unit, name = "ms", "latency on fake"

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def price(self, batch: ArchBatch) -> FloatArray:
        return self.factor * MACS.price(batch)

    def upper(self, batch: ArchBatch) -> None:
        return None


@dataclass(frozen=True)
class Finalists:
    archs: ArchBatch


TARGET = float(np.median(MACS.price(ARCHS)))
GOAL = Goal((Cap(cost=Slower(1.0), target=TARGET, device="fake"),))


def rank(goal: Goal) -> Finalists | None:
    """At most four, the costliest first."""
    kept = ARCHS.take(goal.loads(ARCHS) <= 1)
    order = np.argsort(-MACS.price(kept))[:4]
    return Finalists(kept.take(order)) if len(kept) else None


class FakeVerify:
    """Measures every finalist as `true` times its multiply-accumulates, and corrects the costs by
    half of what is missing each time."""

    def __init__(self, true: float) -> None:
        self.true, self.factor, self.calls = true, 1.0, 0

    def one(self, arch: Arch) -> Measured:
        ms = self.true * float(MACS.price(ArchBatch.of([arch]))[0])
        return Measured(
            arch=arch,
            device="fake",
            source="fake:fake",
            target_ms=TARGET,
            predicted_ms=ms,
            measured_ms=ms,
            low_ms=ms,
            high_ms=ms,
            rounds=1,
            kept=ms <= TARGET,
        )

    def __call__(self, goal: Goal, ranked: ArchBatch) -> Verified:
        self.calls += 1
        self.factor = (self.factor + self.true) / 2
        measured = [self.one(arch) for arch in ranked]
        good = [row for row, one in enumerate(measured) if one.kept]
        row = good[0] if good else int(np.argmin([one.measured_ms for one in measured]))
        return Verified(
            row=row,
            measured=measured,
            kept=bool(good),
            excess=measured[row].measured_ms / TARGET,
            passed=frozenset(range(len(ranked))) - set(good),
            goal=Goal((Cap(cost=Slower(self.factor), target=TARGET, device="fake"),)),
        )


def test_the_best_finalist_wins_where_nothing_is_timed() -> None:
    choice = choose(GOAL, rank, unverified)
    assert choice.verified.row == 0
    assert choice.verified.kept is None
    assert choice.verified.goal is GOAL
    assert choice.verified.runner_up(4) == 1


def test_finalists_are_ranked_anew_by_corrected_costs_until_one_keeps_its_cap() -> None:
    verify = FakeVerify(2.0)
    choice = choose(GOAL, rank, verify)
    chosen = choice.ranking.archs[choice.verified.row]
    assert choice.verified.kept
    assert verify.calls > 1
    assert verify.one(chosen).kept
    missed = [one for one in choice.verified.measured if not one.kept]
    assert len(missed) >= 4  # those of the first ranking are on record, each once
    archs = [one.arch for one in choice.verified.measured]
    assert len(archs) == len(set(archs))


def test_without_any_that_keeps_it_the_nearest_of_all_is_named() -> None:
    verify = FakeVerify(1000.0)
    choice = choose(GOAL, rank, verify)
    assert choice.verified.kept is False
    assert verify.calls <= 4
    chosen = choice.ranking.archs[choice.verified.row]
    lowest = min(choice.verified.measured, key=lambda one: one.measured_ms)
    assert verify.one(chosen).measured_ms == lowest.measured_ms


def test_the_runner_up_is_not_one_that_missed() -> None:
    verified = Verified(row=1, passed=frozenset({0, 2}), goal=GOAL)
    assert verified.runner_up(5) == 3
    assert verified.runner_up(3) is None


def test_what_is_shown_keeps_a_goal_by_what_is_known() -> None:
    choice = choose(GOAL, rank, FakeVerify(2.0))
    shown = promising([choice.verified], ARCHS)
    over = MACS.price(ARCHS) * choice.verified.goal.caps[0].cost.factor > TARGET
    kept = {one.arch for one in choice.verified.measured if one.kept}
    for arch, good, too_slow in zip(ARCHS, shown, over, strict=True):
        assert good == (arch in kept or not too_slow)
