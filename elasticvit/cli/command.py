"""A flow with its settings as the command that a user types: in one line, with the workspace."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from elasticvit.errors import NextStep


def command_line(step: NextStep, *, workspace: str | None = None) -> str:
    """The command that runs a flow, as it is typed.

    Args:
        step: The flow and its settings. A mapping becomes an option with `NAME=VALUE` for each
            item, a list an option for each item where the option may be repeated; what only the
            library can be given is left out.
        workspace: Workspace folder; None for the one that the command under way was given.
    """
    options = {option.name: option for option in _options(step.flow)}
    words = [f"evit-{step.flow}"]
    for name, value in step.settings.items():
        words += _words(options[name], value) if name in options else []
    if workspace is None:
        context = click.get_current_context(silent=True)
        workspace = None if context is None else context.params.get("workspace")
    if workspace is not None:
        words += ["--workspace", workspace]
    return shlex.join(words)


def _options(flow: str) -> list[click.Option]:
    """The options of a flow's command; its module is looked up by name, since it uses this one."""
    command: click.Command = import_module(f"elasticvit.cli.{flow}").main
    return [option for option in command.params if isinstance(option, click.Option)]


def _words(option: click.Option, value: Any) -> list[str]:
    """An option with its value, as words of a command line."""
    name = max(option.opts, key=len)
    if option.is_flag:
        return [name] if value else []
    if not option.multiple:
        return [name, _text(value)]
    if isinstance(value, Mapping):
        value = [f"{key}={_text(one)}" for key, one in value.items()]
    items = list(value) if isinstance(value, list | tuple) else [value]
    return [word for item in items or ["none"] for word in (name, _text(item))]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    return f"{value!r}".removesuffix(".0") if isinstance(value, float) else str(value)
