"""The phone path against Debian's genuine adbd: the profiler is cut off, killed, interrupted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from adbd.settings import ONCE, TOOLS, make_models, needs_adbd

from elasticvit.space import TINY
from export.kernel_models import kernel_model
from lut.frames import DRIFT_ROUND
from lut.keys import SUBNET
from lut.plan import PlanConfig, ProfilePlan
from lut.sample import other_heads
from lut.store import Store

pytest_plugins = ["adbd.fixtures"]
pytestmark = needs_adbd
ROOT = Path(__file__).resolve().parent.parent
FOLDER = "/data/local/tmp/elasticvit"


PROFILER = """
    import sys
    from pathlib import Path
    sys.path[:0] = [{root!r}, {tests!r}]
    import numpy as np
    from adbd.harness import STAND_IN
    from adbd.settings import FAST, FAST_LINK, ONCE
    from devices.phone.device import PhoneDevice
    from devices.catalog import load_catalog
    from elasticvit.space import TINY
    from lut.plan import PlanConfig
    from lut.profile import ProfileConfig, profile
    from lut.store import Store

    config = ProfileConfig(budget_s=1e6, timing=ONCE, plan=PlanConfig(**{plan!r}))
    with (
        Store({store!r}) as store,
        PhoneDevice("pixel6", entry=load_catalog()["pixel6"], address={address!r},
                  runner=STAND_IN, hygiene=FAST, link=FAST_LINK, keys=[Path({key!r})]) as device,
    ):
        profile(device, TINY, store, config, rng=np.random.default_rng(),
                progress=lambda at: print(at.key, flush=True))
"""
PLAN = {"subnets": 1, "max_subnets": 1, "held_out_kernels": 0, "held_out_subnets": 0}
HEADS = len(other_heads(TINY))  # timed by every profile, besides the kernels of its plan


@pytest.fixture
def profiler(phone, folder, key):
    """Starts a profile of so many kernels, and of the subnet that a profile cannot be without,
    as a process of its own."""

    def start(count: int) -> subprocess.Popen[str]:
        script = folder / "profiler.py"
        values = {
            "root": str(ROOT),
            "tests": str(ROOT / "tests"),
            "store": str(folder / "lut.sqlite"),
            "address": phone.address,
            "key": str(key),
            "plan": PLAN | {"kernels": count - HEADS, "max_kernels": count - HEADS},
        }
        script.write_text(textwrap.dedent(PROFILER).format(**values))
        return subprocess.Popen(
            [sys.executable, str(script)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )

    return start


@pytest.mark.parametrize("phone", TOOLS, indirect=True)
def test_after_a_kill_the_next_start_ends_the_old_runner_and_cleans_up(phone, profiler, open_phone):
    phone.slow_runner(5.0)
    process = profiler(20)
    deadline = time.monotonic() + 20
    while not any("--graph" in line for line in phone.processes()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    process.stdout.close()
    assert list(phone.path(f"{FOLDER}/models").iterdir())
    phone.slow_runner(0)
    with open_phone(phone) as device:
        assert not any("--graph" in line for line in phone.processes())
        assert not list(phone.path(f"{FOLDER}/models").iterdir())
        assert len(list(device.measure(make_models(3), ONCE))) == 3
    said = phone.path("/data/local/tmp/cmd.log").read_text().split()
    assert said[2::3] == ["true", "false", "true", "false"]  # the power mode was given back


def test_ctrl_c_cleans_the_phone(phone, profiler):
    phone.slow_runner(0.05)
    process = profiler(200)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.wait(20)
    process.stdout.close()
    assert not any("--graph" in line for line in phone.processes())
    assert not list(phone.path(f"{FOLDER}/models").iterdir())


def test_two_hundred_kernels_three_cuts_and_a_kill_make_two_hundred_measurements(
    phone, profiler, folder
):
    """The promise of the phone path: nothing twice, nothing lost.

    The profiling loop, the kernels' models, the table, adbd, the cuts and the kill are real; the
    runner is the stand-in, whose latency follows from a model's bytes, so that a row shows which
    model it is of. The rule: of every model and round there is exactly one row. Rounds from
    `DRIFT_ROUND` on are further timings of the reference subnet, not of the kernels.
    """
    rng = random.Random(20261122)
    moments = sorted(rng.sample(range(10, 150), 3))
    kill_at = rng.randrange(60, 140)
    seen, killed, cuts = 0, False, list(moments)
    while True:
        process = profiler(200)
        for _ in process.stdout:
            seen += 1
            if cuts and seen >= cuts[0]:
                cuts.pop(0)
                # some bytes later, in the middle of a push or of a run
                if rng.random() < 0.5:
                    phone.front.cut_after(from_phone=rng.randrange(1, 4000))
                else:
                    phone.front.cut_after(to_phone=rng.randrange(1, 200_000))
            if seen >= kill_at and not killed:
                process.kill()
                killed = True
        process.stdout.close()
        code = process.wait()
        if code != -signal.SIGKILL:
            break
    assert code == 0
    assert killed
    assert phone.front.cuts == 3
    with Store(folder / "lut.sqlite") as store:
        frame = store.measurements("pixel6")
    assert not frame.duplicated(["key", "round"]).any()
    kernels = frame[frame["kind"] != SUBNET]
    assert len(kernels) == 200
    config = PlanConfig(kernels=200 - HEADS, max_kernels=200 - HEADS, **PLAN)
    jobs = {job.key: job for job in ProfilePlan.of(TINY, config).jobs(1, 1)}
    expected = {key: job.kernels for key, job in jobs.items() if not job.whole}
    assert set(kernels["key"]) == set(expected)
    assert set(kernels["round"]) == {0}
    assert set(frame[frame["kind"] == SUBNET]["round"]) <= {0, *range(DRIFT_ROUND, 2 * DRIFT_ROUND)}
    for row in kernels.itertuples():
        size = len(kernel_model(expected[row.key]))
        assert row.median_ms == pytest.approx((10 + size // 64 + 1) / 1e3), row.key
