"""Calling evit's own runner: one command for a whole group, which prints every sample.

The runner prints the same marker lines as the script of `devices.phone.script`, so that
`read_results` parses both; between them are the samples of each model. See `native/evit_runner.c`.
"""

from __future__ import annotations

import re
import shlex
import statistics
from collections.abc import Sequence

from devices.phone.facts import CPU
from devices.phone.runner import RunnerOutputError, RunnerResult
from devices.phone.script import ScriptSpec

RESULT = re.compile(
    r"^evit_result delegated=([01]) interrupted=(\d{1,9}) samples_ns=(\d{1,18}(?:,\d{1,18})*)$",
    re.MULTILINE,
)
PEAK = re.compile(r"^evit_peak kib=(\d{1,15})$", re.MULTILINE)


def batch_script(spec: ScriptSpec, models: Sequence[str], timeout_s: int) -> str:
    """Shell script of a group: the runner, once, with all models.

    Args:
        spec: Settings of the script.
        models: Paths of the models on the phone.
        timeout_s: Longest time of one model, in seconds.
    """
    command = [spec.runner, *spec.arguments, f"--token={spec.token.strip()}"]
    command += [f"--timeout_secs={timeout_s}"]
    command += [f"--sensor={zone}/temp" for zone in spec.zones]
    command += [f"--clock={CPU}/cpu{core}/cpufreq/scaling_cur_freq" for core in spec.cores]
    command += [f"--graph={path}" for path in models]
    if spec.mask is not None:
        command = ["taskset", spec.mask, *command]
    return f"{shlex.join(command)} 2>&1 </dev/null\n"


def read_samples(text: str) -> RunnerResult:
    """Parse the runner's output about one model.

    Raises:
        RunnerOutputError: There is no line of samples, or more than one.
    """
    found = RESULT.findall(text)
    if len(found) != 1:
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "nothing")
        raise RunnerOutputError(f"no samples in the runner's output; it ended with: {last[:160]}")
    delegated, interrupted, listed = found[0]
    samples_us = tuple(int(ns) / 1e3 for ns in listed.split(","))
    if min(samples_us) <= 0:
        raise RunnerOutputError("the runner measured nothing: a run of no length")
    peak = PEAK.findall(text)
    return RunnerResult(
        latency_us=statistics.median(samples_us),
        statistic="run",
        count=len(samples_us),
        summary={"delegated": float(delegated)},
        peak_bytes=int(peak[-1]) * 1024 if peak and int(peak[-1]) else None,
        samples_us=samples_us,
        interrupted_runs=int(interrupted),
    )
