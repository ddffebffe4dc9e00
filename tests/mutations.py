"""Damage to documents and files, as a hostile user, a bad disk or another program would do it.

`mutations` walks through a document (what a JSON or TOML file holds) and yields one damaged copy
at a time; `byte_mutations` does the same with the bytes of any file. Pure functions, the same
mutations in the same order every time; `sample` chooses some of them by a seed.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Path = tuple[str | int, ...]  # keys and indices that lead to a value
T = TypeVar("T")
MARKUP = "[red]x[/red] <script>alert(1)</script> \x1b[31m"
OUTSIDE = "../../x"
LONG = "x" * 100_000
UNKNOWN_KEY = "no_such_field"
MISSING = "missing"


@dataclass(frozen=True)
class Mutation:
    """One kind of damage to one value of a document.

    Attributes:
        name: What is done.
        path: Keys and indices of the value that it is done to; empty for the whole document.
        value: What stands there then; None if it is removed.
        broken: Whether the value has another type, is missing or is not finite. Otherwise it is of
            the right type, and whether it is allowed depends on the field.
        original: The undamaged document.
    """

    name: str
    path: Path
    value: Any
    broken: bool
    original: Any

    @property
    def field(self) -> str:
        """The path as text, such as `rows[0].width`."""
        parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path]
        return "".join(parts).removeprefix(".")

    @property
    def document(self) -> Any:
        """The damaged copy; what lies beside the path is shared with the original."""
        if self.name == MISSING:
            return without(self.original, self.path)
        return with_value(self.original, self.path, self.value)


def mutations(document: Any) -> Iterator[Mutation]:
    """Iterate over all damage to a document: every field, every kind.

    Of a list the first and the last element are taken. None is among the replacements, and so are
    numbers that are not finite: TOML has no form of the first, strict JSON none of the second.

    Args:
        document: Nested dictionaries, lists, texts, numbers, truth values and None.
    """
    for path in paths(document):
        value = value_at(document, path)
        for name, other, broken in replacements(value):
            if repr(other) != repr(value):
                yield Mutation(name, path, other, broken, document)
        if path and isinstance(path[-1], str):
            yield Mutation(MISSING, path, None, True, document)
        if isinstance(value, dict):
            yield Mutation("unknown field", (*path, UNKNOWN_KEY), 1, False, document)


def replacements(value: Any) -> Iterator[tuple[str, Any, bool]]:
    """What a value is replaced by: a name, the replacement, and whether it is broken."""
    yield "null", None, True
    if isinstance(value, bool):
        yield from (("text", "yes", True), ("number", 7, True), ("list", [value], True))
    elif isinstance(value, int | float):
        yield from (("text", "abc", True), ("list", [value], True), ("table", {"a": 1}, True))
        yield from (("not a number", math.nan, True), ("infinite", math.inf, True))
        yield from (("truth value", True, True), ("negative", -abs(value) - 1, False))
        yield "huge", 10**30 if isinstance(value, int) else 1e300, False
        if isinstance(value, int):
            yield "fraction", value + 0.5, True
    elif isinstance(value, str):
        yield from (("number", 5, True), ("list", [value], True), ("table", {"a": 1}, True))
        yield from (("empty", "", False), ("markup", MARKUP, False), ("outside", OUTSIDE, False))
        yield from (("long", LONG, False), ("null character", "a\0b", False))
    elif isinstance(value, list):
        yield from (("number", 5, True), ("text", "abc", True), ("table", {"a": 1}, True))
        yield from (("empty", [], False), ("doubled", [*value, *value], False))
        yield "nested", [value], True
    elif isinstance(value, dict):
        yield from (("number", 5, True), ("text", "abc", True), ("list", [1], True))
        yield "empty", {}, False


def paths(document: Any, start: Path = ()) -> Iterator[Path]:
    """Iterate over the paths of all values in a document, the whole first."""
    yield start
    if isinstance(document, dict):
        for key, value in document.items():
            yield from paths(value, (*start, key))
    elif isinstance(document, list) and document:
        for index in sorted({0, len(document) - 1}):
            yield from paths(document[index], (*start, index))


def value_at(document: Any, path: Path) -> Any:
    """The value at a path."""
    for step in path:
        document = document[step]
    return document


def with_value(document: Any, path: Path, value: Any) -> Any:
    """A copy of a document with another value at a path; what lies beside the path is shared."""
    if not path:
        return value
    made = copy.copy(document)
    made[path[0]] = with_value(document[path[0]], path[1:], value) if path[1:] else value
    return made


def without(document: Any, path: Path) -> Any:
    """A copy of a document that lacks the key at a path; what lies beside the path is shared."""
    table = {k: v for k, v in value_at(document, path[:-1]).items() if k != path[-1]}
    return with_value(document, path[:-1], table)


def byte_mutations(data: bytes, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Iterate over damaged copies of a file's bytes, each with a name."""
    rng = random.Random(seed)
    yield "empty file", b""
    for part in (1, len(data) // 3, len(data) // 2, len(data) - 1):
        yield f"cut after {part} bytes", data[:part]
    yield "random bytes", rng.randbytes(max(64, min(len(data), 4096)))
    yield "zeros", bytes(len(data))
    yield "UTF-16", data.decode("latin-1").encode("utf-16")
    yield "not UTF-8", b"\xff\xfe\xfd" + data
    yield "nested deeply", b"[" * 100_000
    yield "text", b"hello\n"
    yield "doubled", data + data
    for share in (0.1, 0.5, 0.9):
        at = min(int(len(data) * share), len(data) - 1)
        flipped = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        yield f"byte {at} changed", flipped


def sample(items: Iterable[T], count: int, seed: int) -> Sequence[T]:
    """Some of the items, in their order, chosen by a seed; all if there are not more."""
    everything = list(items)
    chosen = random.Random(seed).sample(range(len(everything)), min(count, len(everything)))
    return [everything[i] for i in sorted(chosen)]
