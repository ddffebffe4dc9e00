"""What the four commands share: options, errors, exit codes and the closing lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console

from elasticvit.errors import EvitError
from elasticvit.space import SearchSpace
from elasticvit.version import __version__
from elasticvit.workspace import Workspace

INTERRUPTED = 130
DEFAULT_DATA = "digits"


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
            click.echo(f"error: {error}", err=True)
            sys.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            click.echo(
                "interrupted; what was finished is kept, and the same command goes on from there",
                err=True,
            )
            sys.exit(INTERRUPTED)
        sys.exit(0)


def evit_command(name: str, help: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command with the options that all four have (`--workspace`, `--json`)."""

    def wrap(function: Callable[..., Any]) -> click.Command:
        for option in (
            click.version_option(__version__, prog_name=name),
            click.option("--json", "as_json", is_flag=True, help="End with one JSON line."),
            click.option(
                "--workspace",
                type=click.Path(file_okay=False),
                default=None,
                help="Folder that the commands share.  [default: .evit]",
            ),
        ):
            function = option(function)
        settings = {"help_option_names": ["-h", "--help"], "show_default": True}
        return click.command(name, cls=EvitCommand, help=help, context_settings=settings)(function)

    return wrap


class Report:
    """What a command tells: tables for people, and one JSON line under `--json`.

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
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def bind(workspace: Workspace, space: str | None, data: str | None) -> SearchSpace:
    """The workspace's space with the classes of its data set, both chosen now if they were not.

    Args:
        space: preset or TOML file that the user named, if any; the default is `mobile`.
        data: data set that the user named, if any; the default is `digits`.
    """
    chosen = workspace.settings().get("data")
    if chosen is None or (data is not None and data != chosen):
        from elasticvit.training.data import describe

        info = describe(data or DEFAULT_DATA)
        workspace.choose_data(info.spec, info.classes)
    return workspace.choose_space(space)
