"""Several devices at once: one thread each, one store.

Each device is opened, used and closed in its own thread, as its contract wants. A device that
fails does not stop the others; a Ctrl-C stops all of them, each closing its device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from devices.pauses import Stopped, stopped_by
from devices.protocol import Device

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """Outcome of the work on one device.

    Attributes:
        result: What the work returned; None if it failed.
        error: The exception that ended the work; None if it did not fail.
    """

    result: T | None = None
    error: Exception | None = None


def run_fleet(
    devices: Mapping[str, Device],
    work: Callable[[str, Device, Callable[[], None]], T],
) -> dict[str, Outcome[T]]:
    """Open every device in a thread of its own and work on it.

    Args:
        devices: Devices by name, not entered.
        work: Function that is called with the name, the open device, and a function to call now
            and then, which raises `Stopped` when the fleet is being stopped.

    Returns:
        Outcomes by name, in the order of `devices`.
    """
    stop = threading.Event()
    ended = {name: threading.Event() for name in devices}
    outcomes: dict[str, Outcome[T]] = {}

    def check() -> None:
        if stop.is_set():
            raise Stopped

    def run(name: str, device: Device) -> None:
        outcomes[name] = Outcome(error=Stopped(name))
        try:
            with stopped_by(stop), device as opened:
                outcomes[name] = Outcome(result=work(name, opened, check))
        except Exception as error:
            outcomes[name] = Outcome(error=error)
        finally:
            ended[name].set()

    threads = [
        threading.Thread(target=run, args=pair, name=f"device {pair[0]}")
        for pair in devices.items()
    ]
    for thread in threads:
        thread.start()
    # Ctrl-C within `Thread.join` makes Python take the thread for ended (bpo-45274)
    try:
        _wait(ended.values())
    except BaseException:
        stop.set()
        _wait(ended.values())
        raise
    return {name: outcomes[name] for name in devices}


def _wait(events: Iterable[threading.Event]) -> None:
    for event in events:
        event.wait()
