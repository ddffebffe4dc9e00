"""Settings and models that the tests on genuine adbd share."""

from __future__ import annotations

import os
import shutil
from collections import Counter

import pytest
from adbd.arm64 import why_no_arm64
from adbd.harness import why_not

from devices import Measurement, Rejected, TimedModel, TimingConfig
from devices.adb.connection import LinkConfig
from devices.phone.hygiene import Hygiene

REASON = why_not()
needs_adbd = pytest.mark.skipif(REASON is not None, reason=REASON or "")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a rooted test phone needs root here")
NO_ARM64 = why_no_arm64()
needs_arm64 = pytest.mark.skipif(NO_ARM64 is not None, reason=NO_ARM64 or "")
android_tools = pytest.param(
    True,
    id="mksh and toybox",
    marks=pytest.mark.skipif(
        shutil.which("mksh") is None or shutil.which("toybox") is None,
        reason="mksh and toybox are not installed (tests/adbd/setup.sh installs them)",
    ),
)
TOOLS = [pytest.param(False, id="dash and GNU"), android_tools]
FAST_LINK = LinkConfig(connect_s=2.0, dialog_s=1.0, command_s=10.0, patience_s=15.0)
FAST = Hygiene(poll_s=0.1, cool_down_s=1.0, gate_every_s=0.0, runner_timeout_s=2)
ONCE = TimingConfig(warmup_runs=1, min_runs=3, min_ms=0.1, rounds=1)


def make_models(count: int, size: int = 2000, step: int = 120) -> list[TimedModel]:
    """Models for the stand-in: its latencies follow their sizes."""
    return [
        TimedModel(f"model {i}", (f"{i:05d}\n" * ((size + step * i) // 6)).encode())
        for i in range(count)
    ]


def keys_of(results: list[Measurement | Rejected]) -> Counter[tuple[str, int]]:
    """How often each round of each model was timed; nothing may have been rejected."""
    assert all(isinstance(r, Measurement) for r in results)
    return Counter((r.key, r.round) for r in results)
