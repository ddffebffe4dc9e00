"""Keeps the output of converters off the terminal, and shows its last lines if they fail."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from elasticvit.errors import ExportError

_LINES_SHOWN = 5
_STDOUT, _STDERR = 1, 2


@contextlib.contextmanager
def converting(what: str) -> Iterator[None]:
    """Run a converter with everything that it writes, C++ libraries included, held back.

    The process's standard output and error point to a file meanwhile, so nothing else may
    write to the terminal inside.

    Args:
        what: Name of the conversion in the error.

    Raises:
        ExportError: The converter raised; its error and the last lines of its output are shown.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        try:
            with _into(log.fileno()), contextlib.redirect_stdout(log):
                with contextlib.redirect_stderr(log), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    yield
                log.flush()
        except ExportError:
            raise
        except Exception as error:  # the converters raise anything; all of it is shown
            log.flush()
            log.seek(0)
            lines = log.read().strip().splitlines()[-_LINES_SHOWN:]
            message = str(error).strip().splitlines() or [type(error).__name__]
            raise ExportError("\n".join([f"{what} failed: {message[-1]}", *lines])) from error


@contextlib.contextmanager
def _into(target: int) -> Iterator[None]:
    """Point the process's standard output and error to another file descriptor."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [(number, os.dup(number)) for number in (_STDOUT, _STDERR)]
    try:
        for number, _ in saved:
            os.dup2(target, number)
        yield
    finally:
        for number, copy in saved:
            os.dup2(copy, number)
            os.close(copy)
