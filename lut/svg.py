"""Plain SVG charts for reports that open offline: scatter, line and stacked bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#3567b0", "#c8553d", "#3d8f5f", "#8a63b0", "#b8892b", "#4f9aa8", "#7a7a7a")
WIDTH, HEIGHT = 460, 340
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 44


@dataclass(frozen=True)
class Dots:
    """A set of points that share a look.

    Attributes:
        label: in the legend.
        points: (x, y, text shown under the pointer).
        hollow: drawn as rings.
    """

    label: str
    points: Sequence[tuple[float, float, str]]
    hollow: bool = False


@dataclass(frozen=True)
class _Axis:
    """Maps values to pixels from `start` to `end`, by the logarithm or evenly."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, log: bool) -> _Axis:
        low, high = min(values), max(values)
        if log:
            low, high = low / 1.15, high * 1.15
        else:
            room = 0.08 * (high - low) or max(abs(high), 1.0) * 0.1
            low, high = low - room, high + room
        return cls(low, high, start, end, log)

    def at(self, value: float) -> float:
        a, b, v = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return self.start + (v - a) / (b - a) * (self.end - self.start)

    def ticks(self) -> list[float]:
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [m * 10.0**d for d in decades for m in (1, 2, 5)]
            found = [t for t in found if self.low <= t <= self.high]
            if len(found) >= 2:
                return found
        step = 10 ** math.floor(math.log10(self.high - self.low))
        step *= next(m for m in (0.2, 0.5, 1.0, 2.0) if (self.high - self.low) / (m * step) <= 6)
        first = math.ceil(self.low / step)
        return [i * step for i in range(first, math.floor(self.high / step) + 1)]


def scatter(
    groups: Sequence[Dots], x_label: str, y_label: str, *, log: bool = False, equal: bool = False
) -> str:
    """Points with a legend.

    Args:
        log: both axes logarithmic.
        equal: draw the line of equal values, and those 10 % to either side.
    """
    xs = [x for g in groups for x, _, _ in g.points]
    ys = [y for g in groups for _, y, _ in g.points]
    if not xs:
        return "<p>nothing was measured for this chart</p>"
    if equal:
        xs = ys = [*xs, *ys]
    x_axis = _Axis.around(xs, LEFT, WIDTH - RIGHT, log)
    y_axis = _Axis.around(ys, HEIGHT - BOTTOM, TOP, log)
    parts = _frame(x_axis, y_axis, x_label, y_label)
    if equal:
        for factor, style in (
            (1.0, ""),
            (0.9, ' stroke-dasharray="3 4"'),
            (1.1, ' stroke-dasharray="3 4"'),
        ):
            low, high = x_axis.low, x_axis.high
            parts.append(
                f'<line x1="{x_axis.at(low):.1f}" y1="{y_axis.at(low * factor):.1f}" '
                f'x2="{x_axis.at(high):.1f}" y2="{y_axis.at(high * factor):.1f}" '
                f'class="rule"{style} clip-path="url(#plot)"/>'
            )
    for i, group in enumerate(groups):
        colour = COLOURS[i % len(COLOURS)]
        look = f'fill="none" stroke="{colour}"' if group.hollow else f'fill="{colour}"'
        parts += [
            f'<circle cx="{x_axis.at(x):.1f}" cy="{y_axis.at(y):.1f}" r="3.2" {look} '
            f'fill-opacity="0.75"><title>{escape(text)}</title></circle>'
            for x, y, text in group.points
        ]
    return _svg(parts) + _legend([g.label for g in groups])


def lines(series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> str:
    """Points in order, joined; a colour a series."""
    points = [point for group in series.values() for point in group]
    if min((len(group) for group in series.values()), default=0) < 2:
        return "<p>too few timings for this chart</p>"
    x_axis = _Axis.around([x for x, _ in points], LEFT, WIDTH - RIGHT, False)
    y_axis = _Axis.around([*(y for _, y in points), 0.0], HEIGHT - BOTTOM, TOP, False)
    parts = _frame(x_axis, y_axis, x_label, y_label)
    for colour, group in zip(COLOURS, series.values(), strict=False):
        path = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in group)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        parts += [
            f'<circle cx="{x_axis.at(x):.1f}" cy="{y_axis.at(y):.1f}" r="2.4" fill="{colour}"/>'
            for x, y in group
        ]
    return _svg(parts) + _legend(list(series))


def stacked_bars(rows: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """One horizontal bar a row, made of named parts."""
    names = list(dict.fromkeys(part for parts in rows.values() for part in parts))
    longest = max((sum(parts.values()) for parts in rows.values()), default=0.0)
    if not longest:
        return "<p>nothing to show</p>"
    label_width, bar, gap = 110, 20, 8
    scale = (2 * WIDTH - label_width - 90) / longest
    height = len(rows) * (bar + gap) + gap
    parts = []
    for i, (name, values) in enumerate(rows.items()):
        x, y = float(label_width), gap + i * (bar + gap)
        parts.append(
            f'<text x="{label_width - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
        )
        for part, value in values.items():
            colour = COLOURS[names.index(part) % len(COLOURS)]
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{value * scale:.1f}" height="{bar}" '
                f'fill="{colour}"><title>{escape(part)}: {value:.3g} {unit}</title></rect>'
            )
            x += value * scale
        parts.append(f'<text x="{x + 6:.1f}" y="{y + 14}">{sum(values.values()):.3g} {unit}</text>')
    return _svg(parts, 2 * WIDTH, height) + _legend(names)


def _frame(x_axis: _Axis, y_axis: _Axis, x_label: str, y_label: str) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [
        f'<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" '
        f'height="{bottom - TOP}"/></clipPath>'
    ]
    for tick in x_axis.ticks():
        x = x_axis.at(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:.3g}</text>')
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.3g}</text>')
    middle = (TOP + bottom) / 2
    parts += [
        f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}" class="box"/>',
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(x_label)}</text>",
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
        f"{escape(y_label)}</text>",
    ]
    return parts


def _svg(parts: Sequence[str], width: int = WIDTH, height: int = HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"{''.join(parts)}</svg>"
    )


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<span><i style="background:{COLOURS[i % len(COLOURS)]}"></i>{escape(name)}</span>'
        for i, name in enumerate(names)
    )
    return f'<div class="legend">{items}</div>'
