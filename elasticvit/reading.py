"""The one way to read what comes in: a file or plain values become a typed, checked value.

A `Format` says what a kind of file is called, which type it is read into, and what to do about a
damaged one. The type is a dataclass or a `msgspec.Struct` whose annotations are the rules: types,
ranges (`Count`, `Positive`, ...), and whatever its `__post_init__` refuses. Numbers that are not
finite are refused everywhere. The error names file, field, value, rule and what to do next.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import numpy as np
import tomlkit
from msgspec import Meta
from tomlkit.exceptions import TOMLKitError

from elasticvit.errors import EvitError, NextStep
from elasticvit.read_errors import (
    ANY_KEY,
    Steps,
    describe,
    not_finite,
    parse_message,
    replaced,
    value_at,
)
from elasticvit.read_errors import shown as shown
from elasticvit.read_errors import shown_path as shown_path
from elasticvit.version import __version__

T = TypeVar("T")
SEAL = "sha256"  # field of a file that holds the checksum of all others
MOST_BYTES = 256_000_000  # of a text file that is read into memory at once

CHUNK = 1 << 20  # bytes whose nesting is counted at a time
OPENING, CLOSING = np.frombuffer(b"[{", np.uint8), np.frombuffer(b"]}", np.uint8)
MOST_NESTED = 500  # brackets, those in texts included

Count = Annotated[int, Meta(ge=0, le=2**53)]  # a whole number from 0
Whole = Annotated[int, Meta(ge=1, le=2**53)]  # a whole number from 1
Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Share = Annotated[float, Meta(ge=0, le=1)]
Cosine = Annotated[float, Meta(ge=-1, le=1)]
Hooks = Mapping[type, Callable[[Any], Any]]


@dataclass(frozen=True, kw_only=True)
class Format(Generic[T]):
    """A kind of file, or of plain values within a file.

    Attributes:
        kind: Type that it is read into.
        what: What it is called, with its article, such as `a search state`.
        error: Type of the error that a damaged one raises.
        mend: What to do about a damaged one, as an imperative, such as `search again`.
        next_step: Flow that makes a new one.
        settings: Settings of the flow that name another one.
        schema: Latest version that is read; None if the files carry none.
        sealed: Whether the files carry a checksum of themselves (`seal`), for figures that would
            be believed when they are damaged. One without is read, too.
        hooks: How to make values of types that neither JSON nor TOML has: for each such type a
            function of the plain value, which raises `ValueError` or `TypeError`.
    """

    kind: type[T]
    what: str
    error: type[EvitError]
    mend: str
    next_step: NextStep | None = None
    settings: Sequence[str] = ()
    schema: int | None = None
    sealed: bool = False
    hooks: Hooks = field(default_factory=dict)

    def read_json(self, path: Path) -> T:
        """The value that a JSON file holds.

        Raises:
            EvitError: The file is missing, unreadable or damaged, or another version wrote it; of
                the type `error`.
        """
        return self.parse_json(self.read_bytes(path), str(path))

    def read_toml(self, path: Path) -> T:
        """The value that a TOML file holds; raises as `read_json` does."""
        return self.parse_toml(self.read_bytes(path), str(path))

    def read_bytes(self, path: Path) -> bytes:
        """The bytes of a file of a sensible size; raises as `read_json` does."""
        try:
            facts = path.stat()
            if not stat.S_ISREG(facts.st_mode):
                raise self.failure(f"{path} is no file; it should be {self.what}")
            if facts.st_size > MOST_BYTES:
                raise self.failure(
                    f"{path} has {facts.st_size:,} bytes; {self.what} has at most {MOST_BYTES:,}"
                )
            return path.read_bytes()
        except FileNotFoundError as error:
            raise self.failure(
                f"there is no {shown_path(path)}, which should be {self.what}"
            ) from error
        except OSError as error:
            raise self.failure(
                f"{shown_path(path)} cannot be read: {error.strerror or error}"
            ) from error
        except ValueError as error:  # a null character in the path
            raise self.failure(f"{shown_path(path)!r} is not a path of a file: {error}") from error

    def parse_json(self, text: bytes | str, where: str) -> T:
        """The value that a JSON text holds; see `parse`."""
        try:
            data = decode_json(text)
        except ValueError as error:  # of the JSON, or of text that is not UTF-8
            raise self.failure(f"{where} is not {self.what}: {error}") from error
        except RecursionError as error:
            raise self.failure(f"{where} is not {self.what}: nested too deeply") from error
        return self.parse(data, where)

    def parse_toml(self, text: bytes | str, where: str) -> T:
        """The value that a TOML text holds; see `parse`."""
        try:
            text = text.decode() if isinstance(text, bytes) else text
            data = tomlkit.parse(text).unwrap()
        except UnicodeDecodeError as error:
            raise self.failure(f"{where} is not {self.what}: it is not UTF-8 text") from error
        except (TOMLKitError, RecursionError, ValueError) as error:
            raise self.failure(f"{where} is not {self.what}: {error}") from error
        return self.parse(data, where)

    def parse(self, data: Any, where: str) -> T:
        """The value that plain values (mappings, lists, texts, numbers) describe.

        Args:
            data: Plain values.
            where: What a message calls them: a file, or a part of one.

        Raises:
            EvitError: A field is missing or breaks a rule, or another version wrote them; of the
                type `error`, with file, field, value and rule.
        """
        if self.schema is not None:
            self._check_schema(data, where)
        unbounded = next(not_finite(data), None)
        if unbounded is not None:
            raise self.failure(
                f"{where}: {unbounded[0] or 'the value'} is {unbounded[1]}; it must be finite"
            )
        try:
            value = self._converted(data)
        except msgspec.ValidationError as error:
            rule, path = self._blamed(str(error), data)
            raise self.failure(f"{where}: {describe(rule, path, data)}") from error
        except RecursionError as error:
            raise self.failure(f"{where} is not {self.what}: nested too deeply") from error
        if self.sealed and SEAL in data and seal(data) != data:
            raise self.failure(f"{where} was changed or damaged: its checksum does not match")
        return value

    def _converted(self, data: Any) -> T:
        value: T = msgspec.convert(data, self.kind, dec_hook=self._hook)
        return value

    def _blamed(self, message: str, data: Any) -> tuple[str, Steps]:
        """The rule that msgspec says is broken, and the path of the value that breaks it.

        msgspec does not name the keys of dictionaries; the one to blame is found by leaving out
        all others.
        """
        rule, steps = parse_message(message)
        while ANY_KEY in steps:
            at = steps.index(ANY_KEY)
            known = steps[:at]
            table = value_at(data, known)
            for key in table if isinstance(table, Mapping) else ():
                alone = replaced(data, known, {key: table[key]})
                try:
                    self._converted(alone)
                except msgspec.ValidationError as error:
                    rule, found = parse_message(str(error))
                    steps, data = [*known, key, *found[at + 1 :]], alone
                    break
            else:
                return rule, known
        return rule, steps

    def failure(self, message: str) -> EvitError:
        """The error of a damaged file: the message, and what to do about it."""
        return self.error(
            f"{message}; {self.mend}", settings=self.settings, next_step=self.next_step
        )

    def _check_schema(self, data: Any, where: str) -> None:
        found = data.get("schema") if isinstance(data, Mapping) else None
        number = found if isinstance(found, int) and not isinstance(found, bool) else 0
        if number > (self.schema or 0):
            raise self.error(
                f"{where} has schema {shown(found)}, written by a later version; elasticvit "
                f"{__version__} reads {self.what} up to schema {self.schema}: update elasticvit",
                settings=self.settings,
            )
        if not isinstance(data, Mapping) or number < 1:
            what = "holds" if isinstance(data, Mapping) else "is"
            value = f"schema {shown(found)}" if isinstance(data, Mapping) else shown(data)
            raise self.failure(f"{where} {what} {value}; {self.what} has schema {self.schema}")

    def _hook(self, kind: type, value: Any) -> Any:
        if kind in self.hooks:
            return self.hooks[kind](value)
        if isinstance(value, kind):
            return value
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")


def seal(data: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with a checksum of themselves, which replaces an earlier one."""
    rest = {key: value for key, value in data.items() if key != SEAL}
    text = json.dumps(rest, sort_keys=True)
    return {**rest, SEAL: hashlib.sha256(text.encode()).hexdigest()}


def decode_json(text: bytes | str) -> Any:
    """The plain values of a JSON text.

    Nesting is limited before anything is read: a library that raised the interpreter's limit of
    recursion would let the reader run over the end of the stack.

    Raises:
        ValueError: It is not JSON, not UTF-8, nested too deeply, or holds NaN or an infinity.
    """
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    depth = deepest = 0
    for start in range(0, len(raw), CHUNK):
        part = np.frombuffer(raw[start : start + CHUNK], dtype=np.uint8)
        steps = np.isin(part, OPENING).astype(np.int64) - np.isin(part, CLOSING)
        levels = depth + np.cumsum(steps)
        depth, deepest = int(levels[-1]), max(deepest, int(levels.max()))
    if deepest > MOST_NESTED:
        raise ValueError("nested too deeply")
    return json.loads(raw.decode(), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> Any:
    """Refuse what JSON does not have, but Python's reader takes: NaN and the infinities."""
    raise ValueError(f"{name} is no number")
