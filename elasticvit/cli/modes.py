"""Options that count in one mode of a command alone: elsewhere they are refused, not ignored."""

from __future__ import annotations

from collections.abc import Collection

import click
from click.core import ParameterSource

COMMON = {"workspace", "as_json", "verbose", "quiet"}


def only(mode: str, allowed: Collection[str], why: str) -> None:
    """Refuse what is given to the command under way besides what counts in a mode.

    Args:
        mode: The option that chooses the mode, such as `--compare`.
        allowed: Names of the parameters that count, besides those that all commands have.
        why: What the mode does, for the message: it follows `which`.

    Raises:
        click.UsageError: Something else is given.
    """
    wrong = given() - {*allowed, *COMMON}
    if wrong:
        raise click.UsageError(f"{named(wrong)}: not with {mode}, which {why}; leave that out")


def refuse(names: Collection[str], modes: str) -> None:
    """Refuse what counts in other modes alone.

    Args:
        names: Names of the parameters.
        modes: The options that choose those modes.

    Raises:
        click.UsageError: One of them is given.
    """
    wrong = given() & {*names}
    if wrong:
        raise click.UsageError(f"{named(wrong)}: for {modes} alone; leave that out")


def given() -> set[str]:
    """Names of the parameters that the command under way was given."""
    context = click.get_current_context()
    return {
        name
        for name in context.params
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }


def named(names: Collection[str]) -> str:
    """Parameters of the command under way as they are typed, in the order of its help."""
    parameters = click.get_current_context().command.params
    return ", ".join(
        max(p.opts, key=len) if isinstance(p, click.Option) else str(p.name).upper()
        for p in parameters
        if p.name in names
    )
