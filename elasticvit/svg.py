"""Plain SVG charts for reports that open offline: scatter, line and stacked bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#3567b0", "#c8553d", "#3d8f5f", "#8a63b0", "#b8892b", "#4f9aa8", "#7a7a7a")
WIDTH, HEIGHT = 460, 340
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 44
BAR = 20  # height of a bar in pixels
# of the page that shows the charts, whose colours of text, ground and lines are these variables
CHART_STYLE = """
svg { max-width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--ink); }
.grid { stroke: var(--faint); stroke-width: .6; } .box { fill: none; stroke: var(--ink); }
.rule { stroke: var(--ink); stroke-width: .8; }
.halo { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
.bars { display: grid; grid-template-columns: fit-content(40%) 1fr max-content;
  gap: .5em .8em; align-items: center; margin: .6em 0; }
.bars svg { width: 100%; height: 20px; }
@media (max-width: 600px) {
  .bars { grid-template-columns: 1fr max-content; row-gap: .1em; }
  .bars .name { grid-column: 1 / 3; }
}
.legend span { display: inline-block; margin-right: 1.2em; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
"""


@dataclass(frozen=True)
class Dots:
    """A set of points that share a colour.

    Attributes:
        label: Name of the set in the legend.
        points: Points as (x, y, text shown under the pointer).
        hollow: Whether the points are drawn as rings.
    """

    label: str
    points: Sequence[tuple[float, float, str]]
    hollow: bool = False


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels from `start` to `end`, by the logarithm or evenly."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    @classmethod
    def around(cls, values: Sequence[float], start: float, end: float, log: bool) -> Axis:
        """An axis that holds all values, with some room at its ends."""
        low, high = min(values), max(values)
        if log:
            low, high = low / 1.15, high * 1.15
        else:
            room = 0.08 * (high - low) or max(abs(high), 1.0) * 0.1
            low, high = low - room, high + room
        return cls(low, high, start, end, log)

    def at(self, value: float) -> float:
        """Pixels of a value."""
        a, b, v = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return self.start + (v - a) / (b - a) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values within the axis."""
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
        log: Both axes logarithmic.
        equal: Draw the line of equal values, and those 10 % to either side.
    """
    xs = [x for g in groups for x, _, _ in g.points]
    ys = [y for g in groups for _, y, _ in g.points]
    if not xs:
        return "<p>nothing was measured for this chart</p>"
    if equal:
        xs = ys = [*xs, *ys]
    x_axis = Axis.around(xs, LEFT, WIDTH - RIGHT, log)
    y_axis = Axis.around(ys, HEIGHT - BOTTOM, TOP, log)
    parts = frame(x_axis, y_axis, x_label, y_label)
    if equal:
        low, high = x_axis.low, x_axis.high
        for factor, dashes in ((1.0, ""), (0.9, "3 4"), (1.1, "3 4")):
            # from edge to edge of the frame
            ends = [max(low, low / factor), min(high, high / factor)]
            (x1, y1), (x2, y2) = ((x_axis.at(x), y_axis.at(x * factor)) for x in ends)
            style = f' stroke-dasharray="{dashes}"' if dashes else ""
            parts.append(
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                f'class="rule"{style}/>'
            )
    for i, group in enumerate(groups):
        colour = COLOURS[i % len(COLOURS)]
        look = f'fill="none" stroke="{colour}"' if group.hollow else f'fill="{colour}"'
        parts += [
            f'<circle cx="{x_axis.at(x):.1f}" cy="{y_axis.at(y):.1f}" r="3.2" {look} '
            f'fill-opacity="0.75"><title>{escape(text)}</title></circle>'
            for x, y, text in group.points
        ]
    counts = ", ".join(f"{len(g.points)} {g.label}" for g in groups)
    return picture(parts, f"Scatter plot of {y_label} over {x_label}: {counts}") + legend(
        [g.label for g in groups]
    )


def lines(series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> str:
    """Points in order, joined; a colour a series."""
    points = [point for group in series.values() for point in group]
    if min((len(group) for group in series.values()), default=0) < 2:
        return "<p>too few timings for this chart</p>"
    x_axis = Axis.around([x for x, _ in points], LEFT, WIDTH - RIGHT, False)
    y_axis = Axis.around([*(y for _, y in points), 0.0], HEIGHT - BOTTOM, TOP, False)
    parts = frame(x_axis, y_axis, x_label, y_label)
    for colour, group in zip(COLOURS, series.values(), strict=False):
        path = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in group)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        parts += [
            f'<circle cx="{x_axis.at(x):.1f}" cy="{y_axis.at(y):.1f}" r="2.4" fill="{colour}"/>'
            for x, y in group
        ]
    return picture(parts, f"Line chart of {y_label} over {x_label}: {', '.join(series)}") + legend(
        list(series)
    )


def stacked_bars(rows: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """One horizontal bar a row, made of named parts, between the row's name and its sum."""
    names = list(dict.fromkeys(part for parts in rows.values() for part in parts))
    longest = max((sum(parts.values()) for parts in rows.values()), default=0.0)
    if not longest:
        return "<p>nothing to show</p>"
    content = "".join(
        f'<span class="name">{escape(name)}</span>{_bar(name, parts, names, longest, unit)}'
        f"<span>{sum(parts.values()):.3g} {escape(unit)}</span>"
        for name, parts in rows.items()
    )
    return f'<div class="bars">{content}</div>{legend(names)}'


def _bar(
    name: str, parts: Mapping[str, float], names: Sequence[str], longest: float, unit: str
) -> str:
    """The bar of one row; `longest` is the sum of parts that fills the width."""
    x, rects = 0.0, []
    for part, value in parts.items():
        width = value / longest * WIDTH
        rects.append(
            f'<rect x="{x:.2f}" y="0" width="{width:.2f}" height="{BAR}" '
            f'fill="{COLOURS[names.index(part) % len(COLOURS)]}">'
            f"<title>{escape(part)}: {value:.3g} {escape(unit)}</title></rect>"
        )
        x += width
    text = ", ".join(f"{part} {value:.3g} {unit}" for part, value in parts.items())
    return (
        f'<svg viewBox="0 0 {WIDTH} {BAR}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(f"{name}: {text}")}">{"".join(rects)}</svg>'
    )


def frame(x_axis: Axis, y_axis: Axis, x_label: str, y_label: str) -> list[str]:
    """The parts of a chart besides what it shows: box, grid, numbers and labels."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for tick in x_axis.ticks():
        x = x_axis.at(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" class="grid"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_number(tick)}</text>'
        )
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" class="grid"/>')
        parts.append(
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
        )
    middle = (TOP + bottom) / 2
    parts += [
        f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}" class="box"/>',
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(x_label)}</text>",
        f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
        f"{escape(y_label)}</text>",
    ]
    return parts


def picture(parts: Sequence[str], text: str) -> str:
    """A chart with its text alternative."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(text)}">{"".join(parts)}</svg>'
    )


def _number(tick: float) -> str:
    """A value at an axis: up to three digits, thousands apart."""
    return f"{tick:,.0f}" if abs(tick) >= 1000 else f"{tick:.3g}"


def legend(names: Sequence[str], colours: Sequence[str] = COLOURS) -> str:
    """Names with their colours."""
    items = "".join(
        f'<span><i style="background:{colours[i % len(colours)]}"></i>{escape(name)}</span>'
        for i, name in enumerate(names)
    )
    return f'<div class="legend">{items}</div>'
