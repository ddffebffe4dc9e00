"""The profiling loop: resumable without loss or repetition, within its budget, honest."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devices import TimingConfig
from devices.fake import FakeDevice
from devices.host import HostDevice
from devices.protocol import TimedModel
from elasticvit.errors import DeviceUnreachable, SettingError, StoreError
from elasticvit.events import Progress
from elasticvit.kernels import Kernel, lower
from elasticvit.space import TINY
from lut.dataset import Dataset
from lut.held_out import HeldOutSplit
from lut.keys import SubnetKey, kind_of
from lut.plan import PlanConfig, ProfilePlan
from lut.profile import ProfileConfig, ProfileProgress, profile
from lut.profile_summary import ProfileSummary
from lut.store import Store

PLAN = PlanConfig(
    kernels=12,
    subnets=3,
    held_out_kernels=6,
    held_out_subnets=4,
    held_out_rounds=4,
    max_kernels=24,
    max_subnets=6,
)
CONFIG = ProfileConfig(budget_s=1e6, timing=TimingConfig(rounds=3, max_runs=20), plan=PLAN)
HEADS = 12  # of 2, 100 and 1000 classes at the four corners of sizes and widths
# in 3 rounds 24 kernels, the heads and 6 subnets, in 4 what is held out, 6 kernels and 4 subnets;
# the small half of the subnets, 3 and 3 of them, in twice as many
PLANNED = (24 + HEADS + 3 + 2 * 3) * 3 + (6 + 1 + 2 * 3) * 4


def build(kernels: Sequence[Kernel]) -> bytes:
    """Stands for the model builder where the fake device computes latencies by key."""
    return "; ".join(k.key for k in kernels).encode()


def computed_us(model: TimedModel) -> float:
    kernels = [Kernel.from_key(key) for key in model.data.decode().split("; ")]
    return sum(5 + k.macs / 2e4 for k in kernels)


def device(**options) -> FakeDevice:
    return FakeDevice(computed_us, **options)


def run(
    store: Store, on: FakeDevice | HostDevice | None = None, config: ProfileConfig = CONFIG, **more
) -> ProfileSummary:
    more = {"build": build, "rng": np.random.default_rng(0)} | more
    with on or device() as opened:
        return profile(opened, TINY, store, config, **more)


def planned_rounds(store: Store, device: str = "fake") -> Counter[tuple[str, int]]:
    """How often each round of each planned model was timed; further rounds of the reference,
    which show drift, are left out."""
    plan = ProfilePlan.of(TINY, PLAN)
    rounds = {job.key: job.rounds for job in plan.jobs(plan.levels, 3)}
    frame = store.measurements(device)
    assert set(frame["key"]) <= set(rounds)
    return Counter(
        (key, number)
        for key, number in zip(frame["key"], frame["round"], strict=True)
        if number < rounds[key]
    )


def test_a_profile_measures_its_plan(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        summary = run(store)
        counted = planned_rounds(store)
    assert summary.complete
    assert len(counted) == PLANNED
    assert set(counted.values()) == {1}
    assert sum(summary.fitted.values()) == 30 + HEADS
    assert summary.fitted["subnet"] == 6
    assert sum(summary.held_out.values()) == 10
    assert summary.series.source == "fake:fake"
    assert not summary.rejected


@pytest.mark.parametrize("seed", range(2))
def test_a_profile_that_breaks_again_and_again_measures_everything_once(tmp_path, seed) -> None:
    rng = np.random.default_rng(seed)
    path = tmp_path / "lut.sqlite"
    ends = 0
    for _ in range(200):
        kind = ("crash_after", "unreachable_after")[int(rng.integers(2))]
        with Store(path) as store:
            try:
                summary = run(store, device(**{kind: int(rng.integers(1, 20))}), rng=rng)
            except (RuntimeError, DeviceUnreachable):
                ends += 1
                continue
        if summary.complete:
            break
    with Store(path) as store:
        counted = planned_rounds(store)
    assert ends > 0
    assert len(counted) == PLANNED
    assert set(counted.values()) == {1}


def test_a_second_run_measures_nothing_of_the_plan_again(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        run(store)
        before = len(store.measurements("fake"))
        summary = run(store)
        assert summary.complete
        assert len(store.measurements("fake")) - before == summary.timed <= 3
        assert set(planned_rounds(store).values()) == {1}


def test_more_budget_deepens_the_same_table(tmp_path) -> None:
    small = replace(CONFIG, plan=replace(PLAN, max_kernels=12, max_subnets=3))
    with Store(tmp_path / "lut.sqlite") as store:
        run(store, config=small)
        shallow = set(store.latencies("fake")["key"])
        run(store)
        assert shallow < set(store.latencies("fake")["key"])
        counted = planned_rounds(store)
    assert len(counted) == PLANNED
    assert set(counted.values()) == {1}


def test_the_budget_ends_a_profile_and_the_next_one_goes_on(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        first = run(store, config=replace(CONFIG, budget_s=0.0))
        assert not first.complete
        # what no predictor can do without: one round of what the first level fits with
        needed = [job for job in ProfilePlan.of(TINY, PLAN).jobs(1, 3) if not job.held_out]
        assert planned_rounds(store) == Counter({(job.key, 0): 1 for job in needed})
        assert first.timed == len(needed)
        assert run(store).complete
        assert len(planned_rounds(store)) == PLANNED


def test_a_profile_that_is_ended_from_outside_keeps_what_it_has(tmp_path) -> None:
    def stop_soon(at: ProfileProgress) -> None:
        if at.done == 20:
            raise KeyboardInterrupt

    with Store(tmp_path / "lut.sqlite") as store:
        with pytest.raises(KeyboardInterrupt):
            run(store, progress=stop_soon)
        assert len(store.measurements("fake")) == 20
        assert run(store).complete
        assert set(planned_rounds(store).values()) == {1}


@pytest.mark.parametrize("budget_s", [-1.0, float("nan")])
def test_a_budget_that_makes_no_sense_is_refused(budget_s: float) -> None:
    with pytest.raises(SettingError, match="it must be at least 0") as caught:
        ProfileConfig(budget_s=budget_s)
    assert caught.value.settings == ("budget_minutes",)


def test_two_profiles_of_one_device_into_one_table_are_refused(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as one, Store(tmp_path / "lut.sqlite") as two:
        with one.exclusive("fake"), pytest.raises(StoreError, match=rf"process {os.getpid()}"):
            run(two)
        assert run(two).complete


def test_progress_is_reported_after_every_timing(tmp_path) -> None:
    seen: list[ProfileProgress] = []
    with Store(tmp_path / "lut.sqlite") as store:
        summary = run(store, progress=seen.append)
    assert [p.done for p in seen] == list(range(1, summary.timed + 1))
    assert seen[-1].done == seen[-1].total
    assert all(p.left_s >= 0 for p in seen)
    assert all(kind_of(p.key) for p in seen)
    assert {p.device for p in seen} == {"fake"}
    assert all(isinstance(p, Progress) for p in seen)


def test_rejected_models_are_reported_and_never_tried_again(tmp_path) -> None:
    bad = ProfilePlan.of(TINY, PLAN).jobs(1, 3)[4]
    with Store(tmp_path / "lut.sqlite") as store:
        first = run(store, device(reject={bad.key: "no such operator"}))
        assert first.rejected == {bad.key: "no such operator"}
        assert first.complete
        second = run(store, device(reject={bad.key: "no such operator"}))
        assert second.rejected == first.rejected
        with device() as opened:
            assert len(store.rejected(opened.info)) == 1
        assert bad.key not in set(store.latencies("fake")["key"])


def test_a_device_that_times_nothing_is_refused(tmp_path) -> None:
    plan = ProfilePlan.of(TINY, PLAN)
    keys = {job.key: "not on my watch" for job in plan.jobs(plan.levels, 3)}
    with (
        Store(tmp_path / "lut.sqlite") as store,
        pytest.raises(StoreError, match="fake: not on my watch"),
    ):
        run(store, device(reject=keys))


def test_every_model_is_timed_early_and_late(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        run(store)
        frame = store.measurements("fake")
    place = frame.assign(at=np.arange(len(frame)) / len(frame)).groupby("key")["at"]
    assert (place.min() < 0.45).all()
    assert (place.max() > 0.55).all()


def test_orders_differ_between_rounds(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        run(store)
        frame = store.measurements("fake")
    orders = [frame.loc[frame["round"] == r, "key"].tolist() for r in (0, 1, 2)]
    common = set(orders[0]) & set(orders[1]) & set(orders[2])
    orders = [[key for key in order if key in common] for order in orders]
    assert orders[0] != orders[1] != orders[2]


def test_what_is_held_out_stays_held_out_whatever_seed_comes_later(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        run(store)
        run(store, config=replace(CONFIG, plan=replace(PLAN, seed=99)))
        data = Dataset.of(store, "fake", TINY)
        assert store.noted("fake", "split_seed") == [0]
    split = HeldOutSplit(seed=0)
    assert not any(split.held_out(k.key) for k in data.fit_kernels)
    assert len(data.held_kernels) == 6
    assert len(data.held_subnets) == 4
    assert not set(data.fit_subnets) & set(data.held_subnets)


def test_the_data_set_holds_what_was_measured(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        run(store)
        data = Dataset.of(store, "fake", TINY)
        other = Dataset.of(store, "fake", TINY.with_classes(3))
    for kernel, ms in {**data.fit_kernels, **data.held_kernels}.items():
        assert ms == pytest.approx(computed_us(TimedModel("", build((kernel,)))) / 1e3)
    for arch, ms in {**data.fit_subnets, **data.held_subnets}.items():
        whole = TimedModel("", build(lower(arch, TINY.layout)))
        assert ms == pytest.approx(computed_us(whole) / 1e3)
    assert not other.fit_subnets  # of another classifier
    assert other.fit_kernels == data.fit_kernels


def test_the_reference_is_timed_throughout(tmp_path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        summary = run(store)
        frame = store.measurements("fake")
    reference = ProfilePlan.of(TINY, PLAN).reference.key
    (places,) = np.nonzero((frame["key"] == reference).to_numpy())
    assert summary.drift is not None
    assert summary.drift.count == len(places) >= 8
    assert np.diff([0, *places, len(frame)]).max() <= 45


PROFILER = """
import sys, numpy as np
from lut.profile import profile
from lut.store import Store
from elasticvit.space import TINY
from tests.test_lut_profile import CONFIG, build, device
with Store(sys.argv[1]) as store, device(name=sys.argv[2]) as opened:
    profile(opened, TINY, store, CONFIG, rng=np.random.default_rng(0), build=build,
            progress=lambda at: print(at.done, flush=True))
"""


def profiler(path: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROFILER, str(path), name],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_profilers_of_two_devices_killed_at_any_instant_share_a_table(tmp_path) -> None:
    path = tmp_path / "lut.sqlite"
    both = [profiler(path, name) for name in ("phone1", "phone2")]
    for process, last in zip(both, (7, 61), strict=True):
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= last:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
    for name in ("phone1", "phone2"):
        process = profiler(path, name)
        process.communicate(timeout=60)
        assert process.returncode == 0
    with Store(path) as store:
        for name in ("phone1", "phone2"):
            counted = planned_rounds(store, name)
            assert len(counted) == PLANNED
            assert set(counted.values()) == {1}


def test_this_computer_is_profiled(tmp_path) -> None:
    plan = replace(PLAN, max_kernels=6, max_subnets=1, held_out_kernels=1, held_out_subnets=1)
    timing = TimingConfig(rounds=2, min_runs=2, warmup_runs=1, min_ms=0.5)
    config = ProfileConfig(timing=timing, plan=plan)
    with Store(tmp_path / "lut.sqlite") as store:
        summary = run(store, HostDevice(), config=config, build=None)
        frame = store.latencies("host")
    assert summary.complete
    assert not summary.rejected
    assert summary.series.source.startswith("host:")
    assert len(frame) == 9 + HEADS
    assert (frame["latency_ms"] > 1e-4).all()
    subnets = frame[frame["kind"] == "subnet"]
    assert {SubnetKey.parse(key).classes for key in subnets["key"]} == {10}
    kernels = frame[frame["kind"] != "subnet"]
    assert subnets["latency_ms"].max() > kernels["latency_ms"].median()
