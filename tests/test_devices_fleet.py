"""Several devices at once."""

from __future__ import annotations

import threading
import time

import pytest

from devices.fleet import Stopped, run_fleet
from elasticvit.errors import DeviceUnreachable


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


def test_a_stopped_fleet_closes_its_devices(monkeypatch):
    device = _Device("a")
    join, calls = threading.Thread.join, []

    def interrupted(thread, timeout=None):
        calls.append(thread)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", interrupted)

    def work(name, device, check):
        for _ in range(1000):
            check()
            time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        run_fleet({"a": device}, work)
    assert device.closed
    assert issubclass(Stopped, Exception)
