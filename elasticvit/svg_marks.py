"""Marks on a chart: lines across it with their names, error bars, stars, and clouds of dots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from elasticvit.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis

LETTER = 6.5  # pixels that a letter takes at most in the mean
ROW = 14  # height of a row of names
STAR = 7.5  # pixels from the middle of a star to its tips


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A value on an axis that is marked by a line across the chart.

    Attributes:
        at: The value.
        label: Its name, written at the end of the line.
        colour: Colour of the line.
    """

    at: float
    label: str
    colour: str = "var(--ink)"


def upright_lines(marks: Sequence[Mark], x_axis: Axis) -> list[str]:
    """Dashed lines at values of the horizontal axis, their names at the upper end; names that
    would lie on each other stand in rows."""
    parts: list[str] = []
    ends: list[float] = []  # of the names in each row, in pixels
    for mark in sorted(marks, key=lambda mark: mark.at):
        x, half = x_axis.at(mark.at), LETTER * len(mark.label) / 2
        middle = min(max(x, half), WIDTH - half)
        row = next((i for i, end in enumerate(ends) if end < middle - half), len(ends))
        ends[row : row + 1] = [middle + half]
        parts += [
            f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" '
            f'stroke="{mark.colour}" stroke-dasharray="5 3"/>',
            _name(middle, TOP - 3 + ROW * row, "middle", mark.label),
        ]
    return parts


def level_lines(marks: Sequence[Mark], y_axis: Axis) -> list[str]:
    """Dashed lines at values of the vertical axis, their names above the right end."""
    parts: list[str] = []
    lowest = math.inf  # pixels that the names so far reach up to
    for mark in sorted(marks, key=lambda mark: mark.at):
        y = y_axis.at(mark.at)
        at = max(min(y - 4, lowest - ROW), TOP + ROW - 3)
        lowest = at
        parts += [
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" '
            f'stroke="{mark.colour}" stroke-dasharray="5 3"/>',
            _name(WIDTH - RIGHT - 4, at, "end", mark.label),
        ]
    return parts


def _name(x: float, y: float, anchor: str, text: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="halo">{escape(text)}</text>'
    )


def error_bar(x: float, low: float, high: float, colour: str) -> str:
    """An upright bar with its ends, in pixels."""
    return (
        f'<path d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 3:.1f} {low:.1f}h6M{x - 3:.1f} {high:.1f}h6" '
        f'stroke="{colour}" fill="none" stroke-width="1"/>'
    )


def reach_bar(x: float, end: float, y: float, colour: str) -> str:
    """A bar from a point to the right, with its end, in pixels."""
    return (
        f'<path d="M{x:.1f} {y:.1f}H{end:.1f}m0 -4v8" stroke="{colour}" fill="none" '
        'stroke-width="1.4"/>'
    )


def star(x: float, y: float, colour: str, text: str) -> str:
    """A star with a text under the pointer."""
    tips = []
    for i in range(10):
        radius, turn = STAR * (0.45 if i % 2 else 1.0), math.pi * i / 5
        tips.append(f"{x + radius * math.sin(turn):.1f},{y - radius * math.cos(turn):.1f}")
    return (
        f'<polygon points="{" ".join(tips)}" fill="{colour}" stroke="var(--paper)" '
        f'stroke-width="1"><title>{escape(text)}</title></polygon>'
    )


def cloud(points: Sequence[tuple[float, float]], colour: str) -> str:
    """Many dots as one shape without texts, in whole pixels; those that fall together are one."""
    places = dict.fromkeys((round(x), round(y)) for x, y in points)
    path = "".join(f"M{x} {y}h0" for x, y in places)
    return (
        f'<path d="{path}" stroke="{colour}" stroke-width="4" stroke-linecap="round" '
        'stroke-opacity="0.4" fill="none"/>'
    )
