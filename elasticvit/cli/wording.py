"""Durations, counts and foreign text as people read them; every command words them here."""

from __future__ import annotations

import math
from collections.abc import Sequence

PLURALS = {"class": "classes", "search": "searches", "batch": "batches"}
PLURALS |= {"fresh process": "fresh processes"}


def duration(seconds: float) -> str:
    """A duration rounded for people, such as `0.17 s`, `34 s`, `12 min`, `3.5 h` or `4.2 days`."""
    if not math.isfinite(seconds):
        return "an unknown time"
    seconds = max(seconds, 0.0)
    if seconds < 0.01:
        return f"{1e3 * seconds:.2g} ms"
    if seconds < 0.995:
        return f"{seconds:.2g} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def elapsed(seconds: float) -> str:
    """The time since something began, to the second for the first 90 minutes: `34 s`,
    `12 min 05 s`, `3.5 h`. Two that are ten seconds apart differ."""
    if not 90 <= seconds < 90 * 60:
        return duration(seconds)
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 epoch`, `10 epochs`, `3 classes`."""
    return f"{number} {noun if number == 1 else PLURALS.get(noun, f'{noun}s')}"


def file_size(size: float) -> str:
    """A size in bytes, rounded for people: `512 bytes`, `2.08 MB`, `9.1 GB`."""
    if size < 1e3:
        return f"{size:.0f} bytes"
    unit, factor = next((u, f) for u, f in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if size >= f)
    value = size / factor
    return f"{value:.2f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def printable(text: str) -> str:
    """A text without characters that move the cursor or colour a terminal; lines are kept."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def listed(numbers: Sequence[float], before_last: str = "or") -> str:
    """Numbers as a text, such as the targets of several goals: `10, 15 or 20`."""
    *most, last = (f"{number:g}" for number in numbers)
    return f"{', '.join(most)} {before_last} {last}" if most else last
