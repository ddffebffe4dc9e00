"""What a command prints, and how much of it: everything, details as well, or results alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from elasticvit.cli.activity import Activity
from elasticvit.cli.output import Stream
from elasticvit.cli.whole_table import WholeTable
from elasticvit.events import Event, Notice, Phase


class Report:
    """Output of a command: tables for people, and one JSON line if that is asked for; a context
    manager that ends the live lines.

    Text is printed as it is: brackets are no markup, whoever wrote them. With a JSON line
    everything for people goes to standard error, so that it is the only line of standard output.
    Warnings go to standard error in any case.

    Args:
        as_json: Whether to print the result as one JSON line.
        verbose: Whether to print details: how long each phase took.
        quiet: Whether to print nothing but warnings and the result's place.
    """

    def __init__(self, as_json: bool, *, verbose: bool = False, quiet: bool = False) -> None:
        self.as_json, self.verbose, self.quiet = as_json, verbose, quiet
        self._out = Stream(sys.stdout)
        people = Stream(sys.stderr) if as_json else self._out
        self.console = _console(people, quiet)
        self._warnings = _console(Stream(sys.stderr), False)
        self.activity = Activity(self.console, people, shown=not quiet, verbose=verbose)

    def say(self, what: RenderableType, *, style: str | None = None, wrap: bool = True) -> None:
        """Print a text or a table for people, unless the command is to be quiet.

        Args:
            wrap: Whether long lines are broken; not, for what is to be copied.
        """
        if isinstance(what, Table):
            self.console.print(WholeTable(what), style=style, crop=False)
        else:
            self.console.print(what, style=style, soft_wrap=not wrap)

    def warn(self, text: str) -> None:
        """Print a warning to standard error."""
        self._warnings.print(Text.assemble(("warning: ", "yellow"), text))

    def show(self, event: Event) -> None:
        """Show the events that every flow has: notices and phases; others are left out."""
        match event:
            case Notice(warning=True):
                self.warn(event.text)
            case Notice():
                self.say(event.text)
            case Phase():
                self.activity.phase(event.text)

    def place(self, path: Path | str, label: str = "written to") -> None:
        """Say where a result lies: the path alone if the command is to be quiet."""
        if not self.quiet:
            self.console.print(f"{label} {path}", soft_wrap=True)
        elif not self.as_json:
            self._line(str(path))

    def close(self, result: dict[str, Any], next_step: str | None = None) -> None:
        """The closing lines: what to run next, and the result."""
        self.activity.end()
        if next_step is not None:
            self.say(Text.assemble("next: ", (next_step, "bold")), wrap=False)
        if self.as_json:
            context = click.get_current_context(silent=True)
            named = {} if context is None else {"command": context.command.name}
            self._line(json.dumps(named | result, allow_nan=False))

    def silence(self) -> None:
        """Print nothing at all from now on, since another process prints the same."""
        self.as_json, self.console.quiet, self._warnings.quiet = False, True, True
        self.quiet = True
        self.activity.silence()

    def _line(self, text: str) -> None:
        self._out.write(f"{text}\n")
        self._out.flush()

    def __enter__(self) -> Report:
        self.activity.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.activity.__exit__(*error)


def _console(stream: Stream, quiet: bool) -> Console:
    return Console(file=stream, highlight=False, markup=False, emoji=False, quiet=quiet)  # type: ignore[arg-type]
