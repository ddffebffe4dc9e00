"""Numbers on the command line: lists such as 10,15,20, and numbers with names such as pixel6=30."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from elasticvit.errors import SettingError


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """A number, or several with commas between them.

    Args:
        whole: Whether they must be whole numbers.
    """

    name = "numbers"

    def __init__(self, whole: bool = False) -> None:
        self.whole = whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        kind = int if self.whole else float
        try:
            numbers = tuple(kind(part) for part in value.split(","))
        except ValueError:
            what = "a whole number" if self.whole else "a number, or numbers with commas between"
            self.fail(f"{value!r} is not {what}", param, ctx)
        if self.whole and len(numbers) > 1:
            self.fail(f"{value!r} is not one whole number", param, ctx)
        return numbers if len(numbers) > 1 else numbers[0]


class NamedNumbers(Numbers):
    """A name, an equals sign and `Numbers`, as a pair."""

    name = "name=number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        name, equals, rest = value.partition("=")
        if not (name and equals and rest):
            self.fail(f"{value!r} must have the form {self.name}, such as pixel6=30", param, ctx)
        return name, super().convert(rest, param, ctx)


def distinct(pairs: Sequence[tuple[str, Any]], setting: str) -> dict[str, Any] | None:
    """Named values by name; None if there are none.

    Raises:
        SettingError: A name occurs twice.
    """
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SettingError(f"{setting} names {twice} twice; name it once", settings=[setting])
    return dict(pairs) or None
