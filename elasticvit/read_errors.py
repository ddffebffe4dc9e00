"""What is said of a value that breaks a rule: its field, its value in short, the rule in words.

msgspec names a value by a path such as `$.rows[0].width`; here it becomes a list of keys and
indices, by which the value is found again in the plain values that were read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LONGEST_PATH = 4096  # characters
SHOWN = 60  # characters of a value that a message shows
PATH_MARK = re.compile(r"^(?P<rule>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
STEP = re.compile(r"\.(?P<name>[^.\[\]]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
ANY_KEY = "[...]"  # a key of a dictionary that msgspec does not name
TYPE_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "object": "a table of named values",
    "array": "a list",
    "null": "nothing",
}
Steps = list[str | int]  # a path: keys and indices


def parse_message(message: str) -> tuple[str, Steps]:
    """The rule and the path in a message of msgspec's, such as
    ``Expected `int`, got `str` - at `$.rows[0].width` ``."""
    found = PATH_MARK.match(message)
    rule, path = (found["rule"], found["path"] or "") if found else (message, "")
    steps: Steps = []
    for step in STEP.finditer(path.removeprefix("$")):
        if step["name"] is not None:
            steps.append(step["name"])
        else:
            steps.append(int(step["index"]) if step["index"] else ANY_KEY)
    return rule, steps


def describe(rule: str, steps: Steps, data: Any) -> str:
    """What msgspec says of a value, in our words: field, value and rule."""
    for pattern, verdict in (("missing required", "missing"), ("contains unknown", "unknown")):
        found = re.fullmatch(rf"Object {pattern} field `(.+)`", rule)
        if found:
            return f"{path_text([*steps, found[1]])} is {verdict}"
    rule = re.sub(r", got `[^`]*`$", "", rule)
    rule = re.sub(r"`([a-z |]+)`", _type_names, rule)
    value = value_at(data, steps)
    return f"{path_text(steps) or 'the whole'} is {shown(value)}; {rule[:1].lower()}{rule[1:]}"


def _type_names(found: re.Match[str]) -> str:
    names = found[1].split(" | ")
    return " or ".join(TYPE_NAMES.get(name, name) for name in names)


def path_text(steps: Steps) -> str:
    """A path as people write it, such as `rows[0].width`."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps]
    return "".join(parts).removeprefix(".")


def value_at(data: Any, steps: Steps) -> Any:
    """The part of plain values at a path, as far as it goes."""
    for step in steps:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            break
    return data


def replaced(data: Any, steps: Steps, value: Any) -> Any:
    """Plain values with another part at a path; what lies beside the path is shared."""
    if not steps:
        return value
    copy: Any = dict(data) if isinstance(data, Mapping) else list(data)
    copy[steps[0]] = replaced(data[steps[0]], steps[1:], value)
    return copy


def shown(value: Any) -> str:
    """A value as a message shows it: in short."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def shown_path(path: Path | str) -> str:
    """A path as a message shows it: whole unless no file system would take it."""
    text = str(path)
    return text if len(text) <= LONGEST_PATH else f"{text[:SHOWN]}..."


def not_finite(data: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Iterate over the numbers in plain values that are not finite, each with its field."""
    if isinstance(data, float) and not math.isfinite(data):
        yield path, data
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from not_finite(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, list | tuple):
        for index, value in enumerate(data):
            yield from not_finite(value, f"{path}[{index}]")
