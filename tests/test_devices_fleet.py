"""Several devices at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from devices.fleet import run_fleet
from elasticvit.errors import DeviceUnreachable

ROOT = Path(__file__).resolve().parent.parent


class _Device:
    def __init__(self, name: str, *, opens: bool = True) -> None:
        self.name, self.opens, self.closed = name, opens, False

    def __enter__(self):
        if not self.opens:
            raise DeviceUnreachable(f"{self.name} is gone")
        return self

    def __exit__(self, *_):
        self.closed = True


def test_a_fleet_works_at_once_and_one_failure_does_not_stop_the_others():
    meet = threading.Barrier(2, timeout=5)
    fleet = {"a": _Device("a"), "b": _Device("b", opens=False), "c": _Device("c")}

    def work(name, device, check):
        meet.wait()  # passes only when both run at the same time
        return name.upper()

    outcomes = run_fleet(fleet, work)
    assert list(outcomes) == ["a", "b", "c"]
    assert (outcomes["a"].result, outcomes["c"].result) == ("A", "C")
    assert isinstance(outcomes["b"].error, DeviceUnreachable)
    assert fleet["a"].closed
    assert fleet["c"].closed


INTERRUPTED = """
import time
from devices.fleet import run_fleet
from devices.pauses import pause

class Device:
    def __enter__(self):
        return self
    def __exit__(self, *_):
        time.sleep(0.3)
        print("closed", flush=True)

def timing(name, device, check):
    print("begun", flush=True)
    while True:
        check()
        time.sleep(0.01)

def cooling(name, device, check):
    print("begun", flush=True)
    pause(1000)

try:
    run_fleet({"a": Device()}, WORK)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("work", ["timing", "cooling"])
def test_ctrl_c_closes_the_devices_before_the_process_ends(work: str) -> None:
    code = INTERRUPTED.replace("WORK", work)
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.2)  # the main thread waits by now
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert said == "closed\ninterrupted\n"
