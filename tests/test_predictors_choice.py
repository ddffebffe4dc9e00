"""Choosing kernels where the regressors are uncertain, within a profile and on its own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from devices import TimingConfig
from devices.fake import FakeDevice
from devices.protocol import TimedModel
from elasticvit.cost import reachable_kernels
from elasticvit.kernels import Kernel
from elasticvit.space import TINY
from lut.choice import NOTE
from lut.dataset import Dataset
from lut.held_out import HeldOutSplit
from lut.plan import PlanConfig
from lut.profile import ProfileConfig, profile
from lut.profile_summary import ProfileSummary
from lut.sample import kernel_sequences, other_heads
from lut.store import Store
from predictors.choice import UncertaintyChoice
from predictors.kernel_regressors import KernelRegressors

REACHABLE = reachable_kernels(TINY)
FIT, HELD = kernel_sequences(TINY, HeldOutSplit(seed=0))


def ms(kernel: Kernel) -> float:
    """A latency with a step that only measuring near it can tell."""
    step = 1.4 if kernel.dims.get("cin", 0) >= 40 else 1.0
    return step * (0.01 + kernel.macs / 2e7)


def known(kernels: Sequence[Kernel]) -> dict[Kernel, float]:
    return {k: ms(k) for k in kernels}


def test_the_most_uncertain_of_each_kind_come_first_and_none_twice() -> None:
    measured = known(FIT[:60])
    rest = FIT[60:]
    chosen = UncertaintyChoice().choose(measured, rest, 24, np.random.default_rng(0))
    assert len(set(chosen)) == 24
    assert set(chosen) <= set(rest)
    assert Counter(k.kind for k in chosen) == Counter(k.kind for k in rest[:24])
    before, after = KernelRegressors.fit(measured), KernelRegressors.fit(measured | known(chosen))
    for kind in {k.kind for k in chosen}:
        (first, *_), group = (
            [k for k in chosen if k.kind == kind],
            [k for k in rest if k.kind == kind],
        )
        deviation = before.deviation(group).max()
        assert before.deviation([first])[0] == pytest.approx(deviation)
        # chosen one by one they spread; the most uncertain of the first model are neighbours
        assert after.deviation(group).max() < deviation


def test_a_kind_that_was_never_measured_is_chosen_from() -> None:
    measured = known([k for k in FIT[:80] if k.kind != "ffn"])
    rest = [k for k in FIT if k not in measured]
    chosen = UncertaintyChoice().choose(measured, rest, 12, np.random.default_rng(0))
    assert {k.kind for k in chosen} == {k.kind for k in rest[:12]} >= {"ffn"}


def test_all_candidates_are_given_when_there_are_no_more() -> None:
    chosen = UncertaintyChoice().choose(known(FIT[:60]), FIT[60:64], 12, np.random.default_rng(0))
    assert set(chosen) == set(FIT[60:64])


def test_the_expected_error_is_about_that_of_unseen_kernels() -> None:
    measured = known(FIT[:120])
    expected = UncertaintyChoice().error_pct(measured, REACHABLE)
    model = KernelRegressors.fit(measured)
    unseen = [*FIT[120:], *HELD]
    true = np.array([ms(k) for k in unseen])
    error = 100 * np.sqrt(((model.ms(unseen) / true - 1) ** 2).mean())
    assert expected is not None
    assert 0.4 * error < expected < 3 * error


def test_heads_of_other_classes_do_not_change_the_expected_error() -> None:
    measured = known(FIT[:120])
    more = measured | {h: 40 * ms(h) for h in other_heads(TINY)}  # hard to predict
    choice = UncertaintyChoice()
    assert choice.error_pct(more, REACHABLE) == choice.error_pct(measured, REACHABLE)


def test_nothing_is_expected_where_a_kind_is_not_known() -> None:
    few = known([k for k in FIT[:80] if k.kind != "attention"])
    assert UncertaintyChoice().error_pct(few, REACHABLE) is None


PLAN = PlanConfig(kernels=60, subnets=2, held_out_kernels=4, held_out_subnets=2, max_subnets=20)


def run(store: Store, goal_pct: float, stop_after: int | None = None) -> ProfileSummary:
    def latency_us(model: TimedModel) -> float:
        return sum(1e3 * ms(Kernel.from_key(k)) for k in model.data.decode().split("; "))

    def build(kernels: Sequence[Kernel]) -> bytes:
        return "; ".join(k.key for k in kernels).encode()

    def progress(at: object) -> None:
        if stop_after is not None and getattr(at, "done", 0) >= stop_after:
            raise KeyboardInterrupt

    timing = TimingConfig(rounds=2, max_runs=10)
    config = ProfileConfig(budget_s=1e6, timing=timing, plan=replace(PLAN, max_kernels=160))
    with FakeDevice(latency_us) as device:
        rng = np.random.default_rng(0)
        chooser = UncertaintyChoice(error_goal_pct=goal_pct)
        return profile(
            device, TINY, store, config, rng=rng, progress=progress, build=build, chooser=chooser
        )


def test_a_profile_measures_what_it_chose_and_never_what_is_held_out(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        summary = run(store, 0.0)
        data = Dataset.of(store, "fake", TINY)
        noted = [key for note in store.noted("fake", NOTE, "fp32") for key in note]
    assert summary.complete
    fitted = {k.key for k in data.fit_kernels} - {k.key for k in other_heads(TINY)}
    assert len(fitted) == 160
    assert len(data.fit_kernels) - len(fitted) == len(other_heads(TINY))
    assert len(noted) == len(set(noted)) == 100
    assert fitted == {k.key for k in FIT[:60]} | set(noted)
    assert not any(HeldOutSplit(seed=0).held_out(key) for key in noted)


def test_a_profile_stops_adding_kernels_when_the_rest_is_known(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        summary = run(store, 50.0)
    assert summary.complete
    kernels = sum(n for kind, n in summary.fitted.items() if kind != "subnet")
    assert kernels == 60 + len(other_heads(TINY))
    assert summary.fitted["subnet"] == 20  # whole subnets teach what kernels cannot


def test_a_killed_profile_goes_on_with_what_it_had_chosen(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        for stop in (90, 60, 25):
            with pytest.raises(KeyboardInterrupt):
                run(store, 0.0, stop)
        before = store.noted("fake", NOTE, "fp32")
        assert before
        assert run(store, 0.0).complete
        assert store.noted("fake", NOTE, "fp32")[: len(before)] == before
        counts = store.measurements("fake").query("round < 2").groupby(["key", "round"]).size()
    assert counts.max() == 1
    with Store(tmp_path / "other.sqlite") as other:
        run(other, 0.0)
        assert len(other.latencies("fake")) == len(counts.unstack())
