"""Keeps the output of converters off the terminal, and says in one line why they failed."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import TextIO

from elasticvit.errors import EvitError, ExportError
from elasticvit.files import file_error, writing

_STDOUT, _STDERR = 1, 2
_LONGEST = 300  # characters of a cause
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}


@contextlib.contextmanager
def converting(what: str) -> Iterator[None]:
    """Run a converter with everything that it writes, C++ libraries included, held back.

    The process's standard output and error point to a file meanwhile, so nothing else may
    write to the terminal inside.

    Args:
        what: Name of the conversion in the error.

    Raises:
        ExportError: The converter raised; the message gives the cause in one line.
        FileError: There is no room for temporary files, or no permission.
    """
    with contextlib.ExitStack() as stack:
        with writing("a temporary file"):
            log = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))
        try:
            with (
                _into(log.fileno()),
                contextlib.redirect_stdout(log),
                contextlib.redirect_stderr(log),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                yield
        except EvitError:
            raise
        except Exception as error:  # the converters raise anything
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise file_error(error.filename or tempfile.gettempdir(), error) from error
            cause = cause_of(error) if str(error).strip() else _last_line(log) or cause_of(error)
            raise ExportError(f"{what} failed: {cause}") from error


def cause_of(error: BaseException) -> str:
    """The first line of an error that says something, with the error's type if it is not ours."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind = type(error).__name__
    if not lines:
        return kind
    text = lines[0] if isinstance(error, EvitError) else f"{kind}: {lines[0]}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _last_line(log: TextIO) -> str:
    """The last line that a converter wrote; empty if there is none."""
    with contextlib.suppress(OSError, ValueError):
        log.flush()
        log.seek(0)
        lines = [line.strip() for line in log if line.strip()]
        return lines[-1][:_LONGEST] if lines else ""
    return ""


@contextlib.contextmanager
def _into(target: int) -> Iterator[None]:
    """Point the process's standard output and error to another file descriptor; one that is
    closed stays closed."""
    _flush()
    saved = []
    for number in (_STDOUT, _STDERR):
        with contextlib.suppress(OSError):
            saved.append((number, os.dup(number)))
    try:
        for number, _ in saved:
            os.dup2(target, number)
        yield
    finally:
        _flush()
        for number, copy in saved:
            os.dup2(copy, number)
            os.close(copy)


def _flush() -> None:
    """Flush what Python holds back for the terminal; what fails there is found out elsewhere."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, full, or None
            stream.flush()
