"""Profiling exactly the kernels that were chosen from outside."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devices import TimingConfig
from devices.fake import FakeDevice
from elasticvit.cost import reachable_kernels
from elasticvit.errors import DeviceUnreachable
from elasticvit.kernels import Kernel
from elasticvit.space import TINY
from lut.dataset import Dataset
from lut.frames import DRIFT_ROUND
from lut.held_out import HeldOutSplit
from lut.plan import PlanConfig, ProfilePlan
from lut.profile import ProfileConfig, profile
from lut.profile_summary import ProfileSummary
from lut.store import Store

CHOSEN = tuple(k for k in reachable_kernels(TINY) if not HeldOutSplit(seed=0).held_out(k.key))[
    :90:9
]
PLAN = PlanConfig(chosen=CHOSEN, max_subnets=0)
CONFIG = ProfileConfig(budget_s=1e6, timing=TimingConfig(rounds=3, max_runs=20), plan=PLAN)


def run(
    path: Path, device: FakeDevice | None = None, config: ProfileConfig = CONFIG
) -> ProfileSummary:
    def build(kernels: list[Kernel]) -> bytes:
        return "; ".join(k.key for k in kernels).encode()

    with Store(path) as store, device or FakeDevice() as opened:
        return profile(opened, TINY, store, config, rng=np.random.default_rng(0), build=build)


def rounds(path: Path) -> Counter[tuple[str, int]]:
    with Store(path) as store:
        frame = store.measurements("fake")
    frame = frame[frame["round"] < DRIFT_ROUND]
    return Counter(zip(frame["key"], frame["round"], strict=True))


def test_the_chosen_kernels_are_timed_and_nothing_else_to_fit_with(tmp_path: Path) -> None:
    summary = run(tmp_path / "lut.sqlite")
    assert rounds(tmp_path / "lut.sqlite") == Counter(
        {(k.key, number): 1 for k in CHOSEN for number in range(3)}
    )
    assert summary.complete
    assert sum(summary.fitted.values()) == len(CHOSEN)
    assert summary.fitted["subnet"] == 0
    assert summary.drift is not None  # the reference is timed beside them
    with Store(tmp_path / "lut.sqlite") as store:
        data = Dataset.of(store, "fake", TINY)
    assert set(data.fit_kernels) == set(CHOSEN)
    assert not data.held_kernels


def test_a_few_subnets_go_with_the_chosen_kernels(tmp_path: Path) -> None:
    summary = run(
        tmp_path / "lut.sqlite", config=replace(CONFIG, plan=replace(PLAN, max_subnets=4))
    )
    assert summary.fitted["subnet"] == 4
    assert sum(summary.fitted.values()) == len(CHOSEN) + 4
    assert not sum(summary.held_out.values())


def test_a_profile_of_chosen_kernels_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "lut.sqlite"
    for after in (4, 9):
        with pytest.raises(DeviceUnreachable):
            run(path, FakeDevice(unreachable_after=after))
    run(path)
    more = CHOSEN + tuple(k for k in reachable_kernels(TINY) if k.kind == "head")[:2]
    run(path, config=replace(CONFIG, plan=replace(PLAN, chosen=more)))
    counted = rounds(path)
    assert set(counted.values()) == {1}
    assert len(counted) == 3 * len(more)


def test_a_whole_profile_deepens_one_of_chosen_kernels(tmp_path: Path) -> None:
    path = tmp_path / "lut.sqlite"
    run(path)
    whole = PlanConfig(
        kernels=12, subnets=3, held_out_kernels=6, held_out_subnets=4, max_kernels=24, max_subnets=6
    )
    summary = run(path, config=replace(CONFIG, plan=whole))
    planned = {job.key for job in ProfilePlan.of(TINY, whole).jobs(4, 3)}
    counted = rounds(path)
    assert set(counted.values()) == {1}
    assert {key for key, _ in counted} == planned | {k.key for k in CHOSEN}
    assert summary.fitted["subnet"] == 6
    assert sum(summary.fitted.values()) - 6 == len(
        {
            job.key
            for job in ProfilePlan.of(TINY, whole).jobs(4, 3)
            if not (job.whole or job.held_out)
        }
        | {k.key for k in CHOSEN}
    )
