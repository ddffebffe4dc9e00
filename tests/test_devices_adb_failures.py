"""The phone path against Debian's genuine adbd: everything that goes wrong with phones."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from adbd.front import Lock
from adbd.harness import PIXEL6, STAND_IN, Phone
from adbd.settings import FAST, FAST_LINK, ONCE, TOOLS, make_models, needs_adbd

from devices import Measurement, Rejected, TimedModel
from devices.adb_link import AdbLink, StorageFull
from devices.discovery import list_devices
from elasticvit.errors import (
    DeviceError,
    DeviceTooHot,
    DeviceUnauthorised,
    DeviceUnreachable,
    RunnerMissing,
)
from elasticvit.space import TINY
from export.kernel_models import kernel_model
from lut.keys import SUBNET
from lut.plan import Plan, PlanConfig
from lut.store import DRIFT_ROUND, Store

pytest_plugins = ["adbd.fixtures"]
pytestmark = needs_adbd
ROOT = Path(__file__).resolve().parent.parent
FOLDER = "/data/local/tmp/elasticvit"


def keys_of(results) -> Counter[tuple[str, int]]:
    assert all(isinstance(r, Measurement) for r in results)
    return Counter((r.key, r.round) for r in results)


# --- the link


def test_a_cut_in_mid_push_loses_nothing(phone, open_phone):
    models = make_models(6, size=300_000)
    with open_phone(phone) as device:
        phone.front.cut_after(to_phone=700_000)
        results = list(device.measure(models, ONCE))
        assert phone.front.cuts == 1
    assert keys_of(results) == {(m.key, 0): 1 for m in models}
    assert not list(phone.path(FOLDER).rglob("*.part"))


@pytest.mark.parametrize("phone", TOOLS, indirect=True)
def test_cuts_in_mid_run_lose_nothing_and_leave_no_second_runner(phone, open_phone):
    models = make_models(36)  # three groups; the cuts fall into the second and the third
    phone.slow_runner(0.03)
    with open_phone(phone) as device:
        results = []
        for result in device.measure(models, ONCE):
            results.append(result)
            if len(results) in (1, 13):
                phone.front.cut_after(from_phone=6000)
        assert phone.front.cuts == 2
        assert device.quality.reconnects == 2
    assert keys_of(results) == {(m.key, 0): 1 for m in models}


def test_a_phone_that_stays_away_is_said_so(phone, open_phone):
    link = replace(FAST_LINK, patience_s=0.8)
    said = []
    with open_phone(phone, link=link, notice=said.append) as device:
        results = device.measure(make_models(30), ONCE)
        next(results)
        phone.front.cut(down_s=60)
        with pytest.raises(DeviceUnreachable, match=r"did not come back within 0\.8 s"):
            list(results)
    assert any("the next profile does it" in line for line in said)
    assert device._link.config.patience_s == 0.8


def test_nobody_there(phone, open_phone, folder):
    with (
        pytest.raises(DeviceUnreachable, match="nobody"),
        open_phone(phone, address=f"unix:{folder}/nobody.sock"),
    ):
        pass


def test_bad_addresses_are_refused(phone, open_phone):
    for address in ("a b", "host:0", "host:99999", "host:x"):
        with pytest.raises(DeviceError, match="HOST:PORT"), open_phone(phone, address=address):
            pass


def test_one_profile_a_phone(phone, open_phone):
    with (
        open_phone(phone),
        pytest.raises(DeviceError, match=f"process {os.getpid()}"),
        open_phone(phone),
    ):
        pass
    with open_phone(phone):
        pass


# --- the lock screen


def test_a_known_key_is_accepted_at_once(folder, key, open_phone):
    lock = Lock(known=(key,))
    with Phone(folder / "p", lock=lock) as phone, open_phone(phone) as device:
        assert len(list(device.measure(make_models(2), ONCE))) == 2
    assert lock.asked == 0


def test_a_new_key_is_accepted_late(folder, open_phone):
    lock, said = Lock(accept_after_s=0.6), []
    link = replace(FAST_LINK, dialog_s=5.0)
    with (
        Phone(folder / "p", lock=lock) as phone,
        open_phone(phone, link=link, notice=said.append) as device,
    ):
        assert len(list(device.measure(make_models(2), ONCE))) == 2
    assert lock.asked == 1
    assert any("accept the dialog" in line for line in said)


def test_a_new_key_is_never_accepted(folder, open_phone, key, monkeypatch):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    with Phone(folder / "p", lock=Lock()) as phone:
        with pytest.raises(DeviceUnauthorised, match="accept the dialog"), open_phone(phone):
            pass
        (found,) = list_devices(addresses=[phone.address], keys=[key])
        assert (found.state, found.hint) == ("unauthorized", "accept the dialog on the phone")


# --- storage


@pytest.mark.parametrize("android_tools", TOOLS)
def test_a_small_disk_is_enough_when_models_come_and_go(folder, open_phone, android_tools):
    models = make_models(20, size=250_000, step=0)  # 5 MB together
    tools = {"android_tools": android_tools, "data_bytes": 2_500_000}
    with Phone(folder / "p", **tools) as phone, open_phone(phone) as device:
        results = list(device.measure(models, replace(ONCE, rounds=2)))
    assert keys_of(results) == {(m.key, r): 1 for m in models for r in (0, 1)}


def test_a_full_disk_is_said_so_and_leaves_nothing_half(folder, open_phone):
    with Phone(folder / "p", data_bytes=1_000_000) as phone, open_phone(phone) as device:
        with pytest.raises(StorageFull, match="no room for"):
            list(device.measure(make_models(2, size=2_000_000), ONCE))
        assert not list(phone.path(FOLDER).glob("*.part"))
        assert len(list(device.measure(make_models(2), ONCE))) == 2


# --- the runner


@pytest.mark.parametrize("phone", TOOLS, indirect=True)
@pytest.mark.parametrize(
    ("first_line", "said"),
    [
        (b"crash\n", "crashed with signal 11|`timeout` lost its exit code"),
        (b"hang\n", "no answer in time"),
        (b"garbage\n", "no timings in the runner's output"),
        (b"refuse\n", "Failed to load model"),
    ],
)
def test_a_model_that_breaks_the_runner_is_rejected(phone, open_phone, first_line, said, request):
    models = make_models(3)
    bad = TimedModel("bad", first_line + b"x" * 1000)
    with open_phone(phone) as device:
        results = list(device.measure([bad, *models], replace(ONCE, rounds=2)))
        assert device.quality.failed_runs >= FAST.attempts  # more on a computer that is busy
    (rejected,) = [r for r in results if isinstance(r, Rejected)]
    assert rejected.key == "bad"
    assert re.search(said, rejected.reason)
    # of a program that ends at once toybox's `timeout` alone may lose the exit code, and it says so
    assert "lost" not in rejected.reason or request.node.callspec.params["phone"]
    assert keys_of([r for r in results if r is not rejected]) == {
        (m.key, r): 1 for m in models for r in (0, 1)
    }


def test_one_crash_is_forgiven(phone, open_phone):
    flaky = TimedModel("flaky", b"flaky\n" * 300)
    with open_phone(phone) as device:
        results = list(device.measure([*make_models(2), flaky], ONCE))
        assert device.quality.failed_runs == 1
    assert keys_of(results)["flaky", 0] == 1


def test_a_lost_exit_code_costs_no_timing(phone, open_phone):
    """toybox's `timeout` ends with 127 when the program ended before it looked."""
    phone.script("timeout", '#!/bin/sh\nshift 3\n"$@"\nexit 127\n')
    (phone.bin / "timeout").chmod(0o755)
    bad = [TimedModel("refused", b"refuse\n"), TimedModel("crashed", b"crash\n")]
    with open_phone(phone) as device:
        results = list(device.measure([*make_models(3), *bad], ONCE))
    rejected = {r.key: r.reason for r in results if isinstance(r, Rejected)}
    lost = "the runner ended, and the phone's `timeout` lost its exit code (127)"
    assert rejected["refused"] == f"{lost} (ERROR: Failed to load model)"
    assert rejected["crashed"].startswith(lost)
    assert len(results) == 5


def test_a_runner_that_fails_on_everything_is_blamed_itself(phone, open_phone):
    broken = [TimedModel(f"m{i}", b"crash\n" + bytes([i])) for i in range(20)]
    with open_phone(phone) as device, pytest.raises(RunnerMissing, match="fails on every model"):
        list(device.measure(broken, ONCE))


def test_a_runner_for_another_cpu(phone, open_phone, folder):
    foreign = folder / "arm64"
    foreign.write_bytes(b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0\xb7\0" + b"\0" * 100)
    with (
        pytest.raises(RunnerMissing, match="built for this phone"),
        open_phone(phone, runner=foreign),
    ):
        pass


def test_a_program_that_is_no_runner(phone, open_phone):
    with pytest.raises(RunnerMissing, match="--graph"), open_phone(phone, runner="/bin/true"):
        pass


@pytest.mark.parametrize("runner", [None, "/nowhere/benchmark_model"])
def test_no_runner_names_the_official_one_and_the_next_command(
    phone, open_phone, runner, monkeypatch
):
    monkeypatch.setattr("devices.native_bundle.find_compiler", lambda machine: None)
    with (
        pytest.raises(RunnerMissing, match=r"https://\S+/benchmark_model .*--runner"),
        open_phone(phone, runner=runner),
    ):
        pass


# --- the phone


def test_another_phone_than_named_is_refused_with_both_names(folder, open_phone):
    pixel4 = PIXEL6 | {"ro.product.device": "flame", "ro.product.model": "Pixel 4"}
    with (
        Phone(folder / "p", props=pixel4) as phone,
        pytest.raises(DeviceError, match=r"Pixel 4.*flame.*not pixel6.*--device pixel4"),
        open_phone(phone),
    ):
        pass


def test_a_hot_phone_is_waited_for(phone, open_phone):
    with open_phone(phone) as device:
        phone.heat(91.0)
        cooler = threading.Timer(0.5, phone.heat, [50.0])
        cooler.start()
        results = list(device.measure(make_models(14), ONCE))
        assert device.quality.cool_downs == 1
        assert device.quality.waited_s > 0.2
        assert device.quality.hottest_c == 91.0
    assert len(results) == 14
    assert all(r.before.temperature_c == 50.0 for r in results)


@pytest.mark.parametrize("how", ["sensor", "thermal service"])
def test_a_phone_that_stays_hot_is_said_so(phone, open_phone, how):
    with open_phone(phone) as device:
        first = list(device.measure(make_models(2), ONCE))
        if how == "sensor":
            phone.heat(91.0)
        else:
            phone.thermal(3)
        with pytest.raises(DeviceTooHot, match="still hot"):
            list(device.measure(make_models(2), ONCE))
    assert len(first) == 2


def test_a_moved_reference_throws_a_group_away_and_times_it_again(phone, open_phone):
    models = make_models(36, size=20_000)
    phone.slow_runner(0.01)
    with open_phone(phone) as device:
        results = []
        for result in device.measure(models, ONCE):
            results.append(result)
            if len(results) == 20:
                phone.speed(150)
                threading.Timer(1.0, phone.speed, [100]).start()
        assert device.quality.repeated > 0
        assert device.quality.drift <= FAST.max_drift
    assert keys_of(results) == {(m.key, 0): 1 for m in models}
    for model, result in zip(
        models, sorted(results, key=lambda r: int(r.key.split()[1])), strict=True
    ):
        assert result.latency_ms * 1e3 == 10 + len(model.data) // 64 + 1  # none is a slow one


def test_a_phone_that_stays_slow_is_said_so(phone, open_phone):
    with open_phone(phone) as device:
        results = device.measure(make_models(30, size=20_000), ONCE)
        next(results)
        phone.speed(130)
        with pytest.raises(DeviceTooHot, match="10 %"):
            list(results)


# --- the profiler


PROFILER = """
    import sys
    from pathlib import Path
    sys.path[:0] = [{root!r}, {tests!r}]
    import numpy as np
    from adbd.harness import STAND_IN
    from adbd.settings import FAST, FAST_LINK, ONCE
    from devices.adb import AdbDevice
    from devices.catalog import load_catalog
    from elasticvit.space import TINY
    from lut.plan import PlanConfig
    from lut.profile import ProfileConfig, profile
    from lut.store import Store

    config = ProfileConfig(budget_s=1e6, timing=ONCE, plan=PlanConfig(**{plan!r}))
    with (
        Store({store!r}) as store,
        AdbDevice("pixel6", entry=load_catalog()["pixel6"], address={address!r},
                  runner=STAND_IN, hygiene=FAST, link=FAST_LINK, keys=[Path({key!r})]) as device,
    ):
        profile(device, TINY, store, config, rng=np.random.default_rng(),
                progress=lambda at: print(at.key, flush=True))
"""
PLAN = {"subnets": 1, "max_subnets": 1, "held_out_kernels": 0, "held_out_subnets": 0}


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
            "plan": PLAN | {"kernels": count, "max_kernels": count},
        }
        script.write_text(textwrap.dedent(PROFILER).format(**values))
        return subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)

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
    config = PlanConfig(kernels=200, max_kernels=200, **PLAN)
    jobs = {job.key: job for job in Plan.of(TINY, config).jobs(1, 1)}
    expected = {key: job.kernels for key, job in jobs.items() if not job.whole}
    assert set(kernels["key"]) == set(expected)
    assert set(kernels["round"]) == {0}
    assert set(frame[frame["kind"] == SUBNET]["round"]) <= {0, *range(DRIFT_ROUND, 2 * DRIFT_ROUND)}
    for row in kernels.itertuples():
        size = len(kernel_model(expected[row.key]))
        assert row.median_ms == pytest.approx((10 + size // 64 + 1) / 1e3), row.key


def test_old_links_are_not_used_after_a_silent_phone(phone, key):
    """A command that says nothing for too long ends the connection, and the next one works."""
    link = AdbLink(phone.address, config=FAST_LINK, keys=[key])
    link.connect()
    with pytest.raises(DeviceUnreachable):
        list(link.stream("sleep 5; echo late", 0.3))
    assert link.shell("echo fresh").stdout == "fresh\n"
    link.close()
    assert STAND_IN.exists()
