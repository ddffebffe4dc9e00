"""What long work reports while it runs.

Every flow and every loop below it takes one handler and calls it with events, in the thread that
works. A handler returns quickly; what it raises ends the work (what is measured or trained stays),
which is how a caller stops a flow. Each flow adds events of its own beside the flow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of everything that is reported."""


@dataclass(frozen=True, kw_only=True)
class Notice(Event):
    """Something that a person should know.

    Attributes:
        text: One or more sentences.
        warning: Whether results may be worse than expected because of it.
    """

    text: str
    warning: bool = False


@dataclass(frozen=True, kw_only=True)
class Phase(Event):
    """A part of the work begins that may take seconds.

    Attributes:
        text: What is done now, such as `fitting the predictor of host`.
    """

    text: str


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """How far a piece of work is.

    Attributes:
        done: Units of work that are done.
        total: Units of work in all; may change while a budget is planned.
    """

    done: int
    total: int


EventHandler = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The handler that reports nothing."""
