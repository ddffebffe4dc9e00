"""Evit's own runner, as this computer sees it: the command that it is given, and what it prints."""

from __future__ import annotations

import statistics
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.phone.native_runner import batch_script, read_samples
from devices.phone.runner import RunnerOutputError
from devices.phone.script import ScriptSpec

TOKEN = "@evit-test "
RESULT = "evit_result delegated=1 interrupted=2 samples_ns={}\n"


def test_every_run_is_read_in_order():
    read = read_samples("INFO: x\n" + RESULT.format("3000,1000,2500") + "evit_peak kib=7\n")
    assert read.samples_us == (3.0, 1.0, 2.5)
    assert (read.latency_us, read.statistic, read.count) == (2.5, "run", 3)
    assert (read.interrupted_runs, read.peak_bytes) == (2, 7 * 1024)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Segmentation fault",
        RESULT.format(""),
        RESULT.format("12,0,13"),
        RESULT.format("12,-3"),
        RESULT.format("12") * 2,
        RESULT.format("12").replace("\n", " and more\n"),
        "evit_error cannot load the model",
    ],
)
def test_what_is_no_result_is_refused(text):
    with pytest.raises(RunnerOutputError):
        read_samples(text)


@given(st.text(max_size=200) | st.from_regex(r"evit_result [a-z0-9=, ]{0,60}", fullmatch=True))
def test_any_text_is_read_or_refused(text):
    try:
        read = read_samples(text)
    except RunnerOutputError:
        return
    assert min(read.samples_us) <= read.latency_us <= max(read.samples_us)


@given(st.lists(st.integers(1, 10**15), min_size=1, max_size=50))
def test_samples_survive_the_way(samples_ns):
    read = read_samples(RESULT.format(",".join(map(str, samples_ns))))
    assert [round(us * 1e3) for us in read.samples_us] == samples_ns
    assert read.latency_us == pytest.approx(statistics.median(samples_ns) / 1e3)


def test_a_group_is_one_command_that_a_shell_takes_apart_as_it_was_meant():
    spec = ScriptSpec(
        runner="printf",
        arguments=["%s\\n"],
        mask=None,
        cores=(4, 5),
        zones=("/zone with space",),
        timeout_s=None,
        token=TOKEN,
    )
    said = subprocess.run(["sh", "-c", batch_script(spec, ["/a b", "/$c"], 7)], capture_output=True)
    clock = "--clock=/sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"
    assert said.stdout.decode().splitlines() == [
        *("--token=@evit-test", "--timeout_secs=7", "--sensor=/zone with space/temp"),
        *(clock.format(4), clock.format(5), "--graph=/a b", "--graph=/$c"),
    ]
