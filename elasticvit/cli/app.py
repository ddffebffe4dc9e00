"""What all commands share: their options, what they do about errors, and their exit codes."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from elasticvit.cli.command import command_line
from elasticvit.cli.failures import (
    drop_if_unwritable,
    report_failure,
    report_output_failure,
)
from elasticvit.cli.output import open_missing
from elasticvit.cli.report import Report
from elasticvit.errors import EvitError
from elasticvit.version import __version__

NEED_MEMORY = ("batch_size", "space", "population", "images", "threads")  # options


class EvitCommand(click.Command):
    """A command whose errors are one message each.

    Exit codes: 0, 1 for what nobody foresaw, 2 for what the user can mend, 130 for Ctrl-C, and 141
    if nobody reads the output any more.

    Attributes:
        interrupted: What is said about Ctrl-C: what is kept, and what the same command does.
    """

    interrupted = ""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        open_missing()
        kwargs["standalone_mode"] = False
        kwargs.setdefault("prog_name", self.name)
        try:
            code = super().main(*args, **kwargs)
            sys.stdout.flush()
        except OSError as error:  # the work itself meets its own in `invoke`
            code = report_output_failure(error)
        except (Exception, KeyboardInterrupt) as error:
            code = self._failed(error)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            self._refuse_empty(ctx)
            return super().invoke(ctx)
        except click.exceptions.Exit:
            raise
        except (Exception, KeyboardInterrupt) as error:
            raise click.exceptions.Exit(self._failed(error, ctx.obj)) from error

    def _refuse_empty(self, ctx: click.Context) -> None:
        """Refuse empty texts, such as `--data "$FOLDER"` where the variable is not set."""
        for param in self.params:
            value = ctx.params.get(param.name or "")
            if "" in (value if isinstance(value, tuple) else (value,)):
                raise click.BadParameter(
                    "it is empty; name something, or leave it out", ctx=ctx, param=param
                )

    def _failed(self, error: BaseException, report: Report | None = None) -> int:
        code = report_failure(
            error,
            interrupted=self.interrupted,
            advice=self.advice,
            memory_advice=self._help_of(NEED_MEMORY),
            doing="" if report is None else report.activity.doing,
            verbose=report is not None and report.verbose,
        )
        drop_if_unwritable()
        return code

    def advice(self, error: EvitError) -> list[str]:
        """Help of the options in an error's `settings`, and the command of its `next_step`."""
        lines = self._help_of(error.settings)
        if error.next_step is not None:
            lines.append(f"  run: {command_line(error.next_step)}")
        return lines

    def _help_of(self, settings: tuple[str, ...]) -> list[str]:
        options = {p.name: p for p in self.params if isinstance(p, click.Option)}
        return [
            f"  {max(option.opts, key=len)}: {option.help}"
            for name in settings
            if (option := options.get(name)) is not None
        ]


def evit_command(
    name: str, help: str, interrupted: str
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command with the options that all have.

    The function is called with a `Report` that follows `--json`, `--verbose` and `--quiet`, with
    `workspace`, and with its own options.

    Args:
        name: Name of the command.
        help: Its help.
        interrupted: What is said about Ctrl-C: what is kept, and what the same command does.
    """

    def wrap(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def reported(as_json: bool, verbose: bool, quiet: bool, **options: Any) -> None:
            if verbose and quiet:
                raise click.UsageError("--verbose and --quiet exclude each other; name one")
            level = logging.INFO if verbose else logging.ERROR  # of the libraries that we use
            logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
            with Report(as_json, verbose=verbose, quiet=quiet) as report:
                click.get_current_context().obj = report
                function(report=report, **options)

        command: Callable[..., Any] = reported
        for option in _common_options(name):
            command = option(command)
        settings = {"help_option_names": ["-h", "--help"], "show_default": True}
        made = click.command(name, cls=EvitCommand, help=help, context_settings=settings)(command)
        made.interrupted = interrupted
        return made

    return wrap


def _common_options(name: str) -> list[Callable[[Callable[..., Any]], Callable[..., Any]]]:
    return [
        click.version_option(__version__, prog_name=name),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            help="Print only warnings, errors and the path of the result.",
        ),
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            help="Print log records of all libraries, how long each phase took, and the causes "
            "and traces of errors.",
        ),
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
    ]
