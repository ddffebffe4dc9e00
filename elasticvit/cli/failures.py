"""How a command fails: one message for what was foreseen, three lines for what was not."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from elasticvit.cli.output import OutputClosed, drop_output, output_error
from elasticvit.cli.wording import printable
from elasticvit.errors import EvitError
from elasticvit.version import __version__

UNFORESEEN, BAD_INPUT, INTERRUPTED = 1, 2, 130  # exit codes
LIBRARIES = ("torch", "ai-edge-litert", "litert-torch", "numpy", "onnxruntime")
LONGEST = 300  # characters of an error's first line that are shown
LONGEST_MESSAGE = 1200  # characters of a foreseen error's message
ALLOCATION = (
    "can't allocate memory",
    "could not create a primitive",
    "out of memory",
    "bad_alloc",
    "Unable to allocate",
)


def report_failure(
    error: BaseException,
    *,
    interrupted: str,
    advice: Callable[[EvitError], list[str]],
    memory_advice: list[str],
    doing: str,
    verbose: bool,
) -> int:
    """Say on standard error what ended a command.

    Args:
        error: What ended it.
        interrupted: What to say about Ctrl-C: what is kept, and what the same command does.
        advice: Lines that follow the message of an error that was foreseen.
        memory_advice: Lines on what to lower if memory does not suffice.
        doing: What the command was doing; empty if that is not known.
        verbose: Whether to show the trace as well.

    Returns:
        The exit code.
    """
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, OutputClosed):
        drop_output()
        return error.exit_code
    if isinstance(error, EvitError):
        _say(
            f"error: {_without_middle(str(error))}",
            *advice(error),
            *(_causes(error) if verbose else []),
        )
        return error.exit_code
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        _say(f"interrupted; {interrupted}")
        return INTERRUPTED
    if _is_out_of_memory(error):
        _say(
            f"error: not enough memory{f' while {doing}' if doing else ''}: {_first_line(error)}; "
            "close other programs, or ask for less with the options below, then try again",
            *memory_advice,
            *(_trace(error) if verbose else []),
        )
        return BAD_INPUT
    if verbose:
        _say(*_trace(error))
    _say(*_unforeseen(error, doing))
    return UNFORESEEN


def report_output_failure(error: OSError) -> int:
    """Say on standard error that standard output cannot be written; returns the exit code."""
    failure = output_error(error)
    if not isinstance(failure, OutputClosed):
        _say(f"error: {failure}")
    drop_output()
    return failure.exit_code


def drop_if_unwritable() -> None:
    """Throw away what standard output holds if it cannot be written."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        drop_output()


def _say(*lines: str) -> None:
    try:
        click.echo("\n".join(printable(line) for line in lines), err=True)
    except (OSError, ValueError):  # standard error is closed: the exit code has to do
        return


def _first_line(error: BaseException) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


def _without_middle(message: str) -> str:
    """A message whose value is endless, without its middle: the end says what to do next."""
    if len(message) <= LONGEST_MESSAGE:
        return message
    return f"{message[: LONGEST_MESSAGE // 2]} ... {message[-LONGEST_MESSAGE // 2 :]}"


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory did not suffice; torch says so in errors of its own."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in ALLOCATION)


def _trace(error: BaseException) -> list[str]:
    return "".join(traceback.format_exception(error)).rstrip().splitlines()


def _causes(error: BaseException) -> list[str]:
    """The errors behind an error, one line each."""
    lines, cause = [], error.__cause__
    while cause is not None:
        lines.append(f"  caused by {type(cause).__name__}: {_first_line(cause)}")
        cause = cause.__cause__
    return lines


def _unforeseen(error: BaseException, doing: str) -> list[str]:
    """What happened, where the trace is, and where to report it."""
    happened = f"error: {type(error).__name__}: {_first_line(error)}"
    text = "\n".join([*_circumstances(doing), "", *_trace(error), ""])
    try:
        path = _write_trace(text)
    except OSError as failure:
        return [
            happened,
            f"the trace below could not be written to a file: {failure.strerror or failure}",
            "this is a fault of elasticvit: report it to its maintainers, with the trace",
            text.rstrip(),
        ]
    return [
        happened,
        f"the full trace is in {path}",
        "this is a fault of elasticvit: report it to its maintainers, with that file",
    ]


def _write_trace(text: str) -> Path:
    name = f"elasticvit-trace-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    path = Path(tempfile.gettempdir()) / name
    with path.open("x", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)
    return path


def _circumstances(doing: str) -> list[str]:
    """The command line, what it was doing, and the versions of what took part."""
    lines = [
        f"command: {shlex.join(sys.argv)}",
        f"folder: {Path.cwd()}",
        f"doing: {doing or 'not known'}",
        f"elasticvit {__version__}, Python {platform.python_version()}, {platform.platform()}",
    ]
    for name in LIBRARIES:
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return lines
