"""A sign of life: a line whenever a command has printed nothing for ten seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from elasticvit.cli.output import OutputClosed, OutputError, Stream

EVERY_S = 10.0


class Heartbeat:
    """Prints, from a thread of its own, what is going on; a context manager.

    Args:
        stream: Stream whose silence counts.
        line: What is going on; None if there is nothing to say.
        say: Prints a line to the stream.
        every_s: Seconds of silence before a line is printed.
    """

    def __init__(
        self,
        stream: Stream,
        line: Callable[[], str | None],
        say: Callable[[str], None],
        every_s: float | None = None,
    ) -> None:
        self._stream, self._line, self._say = stream, line, say
        self._every_s = EVERY_S if every_s is None else every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def _beat(self) -> None:
        wait_s = self._every_s
        while not self._ended.wait(wait_s):
            wait_s = self._stream.written_s + self._every_s - time.monotonic()
            if wait_s > 0:
                continue
            wait_s, text = self._every_s, self._line()
            if text is not None:
                try:
                    self._say(text)
                except (OutputClosed, OutputError):  # the command finds out when it prints itself
                    return

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
