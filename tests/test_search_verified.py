"""How a search goes on until a finalist keeps its caps as measured."""

from dataclasses import dataclass

import numpy as np
import pytest
from small_search import SMALL

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cli.report import Report
from elasticvit.cli.verify_report import print_verdict
from elasticvit.cost import MacsCost
from elasticvit.flows.search_verify import Verifier, _Round
from elasticvit.searching.caps import Cap
from elasticvit.searching.ending import longest_judged
from elasticvit.searching.goal import Goal
from elasticvit.searching.verified import Verified, choose, promising, unverified
from elasticvit.searching.winner import Measured, Winner

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


def record(device: str, arch: Arch, ms: float) -> Measured:
    """What was predicted as measured."""
    return Measured(
        arch=arch,
        device=device,
        source=f"fake:{device}",
        target_ms=TARGET,
        predicted_ms=ms,
        measured_ms=ms,
        low_ms=ms,
        high_ms=ms,
        rounds=1,
        kept=ms <= TARGET,
    )


class FakeVerify:
    """Measures every finalist as `true` times its multiply-accumulates, and corrects the costs by
    half of what is missing each time."""

    def __init__(self, true: float) -> None:
        self.true, self.factor, self.calls = true, 1.0, 0

    def one(self, arch: Arch) -> Measured:
        return record("fake", arch, self.true * float(MACS.price(ArchBatch.of([arch]))[0]))

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
    kept = {one.arch: one.kept for one in choice.verified.measured}
    for arch, good, too_slow in zip(ARCHS, shown, over, strict=True):
        assert good == kept.get(arch, not too_slow)


def on(device: str, arch: Arch, *, kept: bool) -> Measured:
    return record(device, arch, TARGET if kept else 2 * TARGET)


def caps(**factors: float) -> Goal:
    """One cap a device, by how many times the multiply-accumulates it is predicted to take."""
    costs = ((device, Slower(factor)) for device, factor in factors.items())
    return Goal(tuple(Cap(cost=cost, target=TARGET, device=device) for device, cost in costs))


def test_what_misses_on_one_of_several_devices_is_not_shown() -> None:
    cheap = ARCHS.take(np.argsort(MACS.price(ARCHS))[:3])
    measured = [
        *(on(device, cheap[0], kept=True) for device in ("a", "b")),
        *(on(device, cheap[1], kept=device == "a") for device in ("a", "b")),
    ]
    verified = Verified(row=0, measured=measured, goal=caps(a=1.0, b=1.0))
    assert promising([verified], cheap).tolist() == [True, False, True]
    # one that was timed on a alone is shown if b is predicted to keep its cap
    alone = [on("a", cheap[0], kept=True)]
    known = Verified(row=0, measured=[on("a", cheap[2], kept=True)], goal=caps(a=1e6))
    for factor, shown in ((1.0, True), (1e6, False)):
        one = Verified(row=0, measured=alone, goal=caps(a=1.0, b=factor))
        assert promising([one, known], cheap).tolist() == [shown, shown, True]


class Timings:
    """What a device's timer holds."""

    learnt = False

    def __init__(self) -> None:
        self.measured: dict[tuple[Arch, float], Measured] = {}
        self.refused: set[Arch] = set()


def verdict(goal: Goal, archs: ArchBatch, timers: dict[str, Timings]) -> Verified:
    verifier = Verifier(count=1, timers=timers, workspace=None, events=lambda event: None)  # type: ignore[arg-type]
    return _Round(verifier, goal, archs)._verdict()


def test_a_finalist_that_was_timed_and_keeps_its_cap_wins_over_a_faster_worse_one() -> None:
    archs = ARCHS.take(np.argsort(MACS.price(ARCHS))[:3])
    timer = Timings()
    for row in (1, 2):
        timer.measured[archs[row], TARGET] = on("a", archs[row], kept=True)
    found = verdict(caps(a=1.0), archs, {"a": timer})
    assert (found.row, found.kept) == (1, True)


def test_what_one_device_cannot_run_does_not_come_nearest() -> None:
    archs = ARCHS.take(np.argsort(MACS.price(ARCHS))[:2])
    first, second = Timings(), Timings()
    first.measured[archs[0], TARGET] = on("a", archs[0], kept=True)
    second.refused.add(archs[0])
    first.measured[archs[1], TARGET] = on("a", archs[1], kept=False)
    second.measured[archs[1], TARGET] = on("b", archs[1], kept=False)
    found = verdict(caps(a=1.0, b=1.0), archs, {"a": first, "b": second})
    assert (found.row, found.kept) == (1, False)


def test_an_architecture_has_the_figure_of_the_most_images() -> None:
    archs = ARCHS.take(np.array([0, 1, 0, 2, 1]))
    rows = longest_judged(archs, np.array([256, 4096, 4096, 256, 256]))
    assert sorted(rows.tolist()) == [1, 2, 3]


@pytest.mark.parametrize(("missed", "told"), [("first", True), ("last", False)])
def test_only_better_finalists_are_said_to_have_missed(
    missed: str, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    won, other = on("a", ARCHS[0], kept=True), on("a", ARCHS[1], kept=False)
    winner = Winner(
        arch=ARCHS[0],
        caps=(),
        macs_m=1.0,
        predicted_ms=None,
        upper_ms=None,
        accuracy=50.0,
        error=1.0,
        measured=(other, won) if missed == "first" else (won, other),
    )
    with Report(False) as report:
        print_verdict(report, winner)
    assert ("1 better finalist missed the target" in capsys.readouterr().out) is told
