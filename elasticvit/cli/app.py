"""What the four commands share: options, errors, exit codes and the closing lines."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console

from elasticvit.errors import EvitError, NextStep
from elasticvit.version import __version__

INTERRUPTED = 130


class EvitCommand(click.Command):
    """A command whose errors are one message each: exit code 2, and 130 for Ctrl-C."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        kwargs.setdefault("prog_name", self.name)
        try:
            super().main(*args, **kwargs)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except EvitError as error:
            click.echo("\n".join([f"error: {error}", *self.advice(error)]), err=True)
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            click.echo(
                "interrupted; what was finished is kept, and the same command goes on from there",
                err=True,
            )
            sys.exit(INTERRUPTED)
        sys.exit(0)

    def advice(self, error: EvitError) -> list[str]:
        """Help of the options in an error's `settings`, and the command of its `next_step`."""
        options = {p.name: p for p in self.params if isinstance(p, click.Option)}
        lines = [
            f"  {max(option.opts, key=len)}: {option.help}"
            for name in error.settings
            if (option := options.get(name)) is not None
        ]
        if error.next_step is not None:
            lines.append(f"  run: {command_line(error.next_step)}")
        return lines


def command_line(step: NextStep) -> str:
    """The command that runs a flow, as it is typed."""
    words = [f"evit-{step.flow}"]
    for name, value in step.settings.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return shlex.join(words)


def evit_command(name: str, help: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command with the options that all four have (`--workspace`, `--json`)."""

    def wrap(function: Callable[..., Any]) -> click.Command:
        for option in (
            click.version_option(__version__, prog_name=name),
            click.option(
                "--json",
                "as_json",
                is_flag=True,
                help="Print the result as one JSON line; tables go to standard error.",
            ),
            click.option(
                "--workspace",
                type=click.Path(file_okay=False),
                default=None,
                help="Workspace folder that all commands share.  [default: .evit]",
            ),
        ):
            function = option(function)
        settings = {"help_option_names": ["-h", "--help"], "show_default": True}
        return click.command(name, cls=EvitCommand, help=help, context_settings=settings)(function)

    return wrap


class Report:
    """Output of a command: tables for people, and one JSON line under `--json`.

    With `--json` everything for people goes to standard error, so that the JSON line is the
    last, and the only, line of standard output.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=as_json, highlight=False)

    def close(self, result: dict[str, Any], next_step: str | None = None) -> None:
        """The closing lines: what to run next, and the result."""
        if next_step is not None:
            self.console.print(f"next: [bold]{next_step}[/bold]")
        if self.as_json:
            click.echo(json.dumps(result, allow_nan=False))


def duration(seconds: float) -> str:
    """A duration in seconds, minutes or hours, rounded for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
