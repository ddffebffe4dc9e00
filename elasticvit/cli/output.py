"""Where a command prints: a standard stream that says when it was written to last, and fails in
one message.

A closed pipe (`evit-train | head -1`) ends a command silently, as it ends other Unix programs; a
stream that cannot be written otherwise, such as a file on a full disk, is an `OutputError`.
"""

from __future__ import annotations

import os
import sys
import time
from typing import IO, Any

from elasticvit.errors import EvitError

CLOSED = 141  # exit code of a shell for a program that SIGPIPE ended


class OutputError(EvitError):
    """A standard stream that cannot be written."""


class OutputClosed(EvitError):
    """Nobody reads the standard stream any more: the command ends, and says nothing."""

    exit_code = CLOSED


class Stream:
    """A standard stream, such as `sys.stdout`; whatever it lacks is asked of the stream itself.

    Args:
        file: The stream.

    Attributes:
        written_s: Monotonic time of the last writing.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file, self.written_s = file, time.monotonic()

    def write(self, text: str) -> int:
        """Write; what the stream's encoding lacks is written with backslashes.

        Raises:
            OutputClosed: The reader has gone.
            OutputError: The stream cannot be written.
        """
        self.written_s = time.monotonic()
        try:
            try:
                return self._file.write(text)
            except UnicodeEncodeError:
                code = getattr(self._file, "encoding", None) or "ascii"
                return self._file.write(text.encode(code, "backslashreplace").decode(code))
        except OSError as error:
            raise output_error(error) from error

    def flush(self) -> None:
        """Hand over what was written; raises as `write` does."""
        try:
            self._file.flush()
        except OSError as error:
            raise output_error(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def output_error(error: OSError) -> EvitError:
    """What an `OSError` of a standard stream becomes."""
    if isinstance(error, BrokenPipeError):
        return OutputClosed("the reader of the output has gone")
    return OutputError(
        f"standard output cannot be written: {error.strerror or error}; send it elsewhere, and run "
        "the same command again"
    )


def open_missing() -> None:
    """Give a process that was started without standard output or standard error (`>&-`) the null
    device for it, so that no file that is opened later takes its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (open until the end)


def drop_output() -> None:
    """Throw away what standard output still holds, so that nothing fails when Python ends."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):  # the stream has no descriptor, as in a test
        return
