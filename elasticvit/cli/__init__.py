"""The commands. What this package loads itself is next to nothing, so that a Ctrl-C while a command
is still being loaded ends it in one line; what a command does about a later one is in `app`."""

from __future__ import annotations

import sys
from types import TracebackType

_usual = sys.excepthook


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error that nothing caught, as Python does, or an interruption in one line."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__  # numpy makes an ImportError of it
    if cause is None:
        _usual(kind, error, trace)
        return
    print("interrupted; nothing was begun", file=sys.stderr)
    sys.exit(130)


sys.excepthook = _report
