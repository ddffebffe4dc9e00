"""The phone path against Debian's genuine adbd: runners that are missing, foreign or broken."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from adbd.settings import FAST, ONCE, TOOLS, keys_of, make_models, needs_adbd

from devices import Rejected, TimedModel
from elasticvit.errors import RunnerMissing

pytest_plugins = ["adbd.fixtures"]
pytestmark = needs_adbd


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
    with (
        open_phone(phone) as device,
        pytest.raises(RunnerMissing, match="fails on every model") as caught,
    ):
        list(device.measure(broken, ONCE))
    assert caught.value.settings == ("runner",)


def test_a_runner_for_another_cpu(phone, open_phone, folder):
    foreign = folder / "arm64"
    foreign.write_bytes(b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0\xb7\0" + b"\0" * 100)
    with (
        pytest.raises(RunnerMissing, match="built for this phone"),
        open_phone(phone, runner=foreign),
    ):
        pass


def test_a_program_that_is_no_runner(phone, open_phone):
    with (
        pytest.raises(RunnerMissing, match="no flags `graph` and `num_runs`"),
        open_phone(phone, runner="/bin/true"),
    ):
        pass


@pytest.mark.parametrize("runner", [None, "/nowhere/benchmark_model"])
def test_no_runner_names_the_official_one_and_the_setting(phone, open_phone, runner, monkeypatch):
    monkeypatch.setattr("devices.phone.native_bundle.find_compiler", lambda machine: None)
    with (
        pytest.raises(RunnerMissing, match=r"https://\S+/benchmark_model ") as caught,
        open_phone(phone, runner=runner),
    ):
        pass
    assert caught.value.settings == ("runner",)
