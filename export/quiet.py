"""Keeps converters' chatter off the terminal, and shows its end when they fail."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from elasticvit.errors import ExportError

_LINES_SHOWN = 5


@contextlib.contextmanager
def converting(what: str) -> Iterator[None]:
    """Run a converter with everything that it writes, C++ libraries included, held back.

    The process's standard output and error point to a file meanwhile, so nothing else may
    write to the terminal inside.

    Args:
        what: names the conversion in the error.

    Raises:
        ExportError: the converter raised; the error and its last lines are shown.
    """
    with tempfile.TemporaryFile() as log:
        sys.stdout.flush()
        sys.stderr.flush()
        saved = os.dup(1), os.dup(2)
        failure: Exception | None = None
        try:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Exception as error:  # the converters raise anything; all of it is shown
            failure = error
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, number)
                os.close(copy)
        if isinstance(failure, ExportError):
            raise failure
        if failure is not None:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()[-_LINES_SHOWN:]
            message = str(failure).strip().splitlines() or [type(failure).__name__]
            raise ExportError("\n".join([f"{what} failed: {message[-1]}", *lines])) from failure
