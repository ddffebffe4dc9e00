"""Pauses that end at once where the work on a device is stopped from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_STOP: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


class Stopped(Exception):
    """The work on a device was stopped from outside."""


@contextmanager
def stopped_by(event: threading.Event) -> Iterator[None]:
    """Within the context the pauses of this thread end when an event is set."""
    token = _STOP.set(event)
    try:
        yield
    finally:
        _STOP.reset(token)


def pause(seconds: float) -> None:
    """Wait.

    Raises:
        Stopped: The work of this thread is being stopped.
    """
    stop = _STOP.get()
    if stop is None:
        time.sleep(seconds)
    elif stop.wait(seconds):
        raise Stopped
