"""SVG charts of many curves or sets of dots in one frame, and of shares as stacked areas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from elasticvit.svg import (
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    frame,
    legend,
    picture,
)
from elasticvit.svg_marks import (
    Mark,
    cloud,
    error_bar,
    level_lines,
    reach_bar,
    star,
    upright_lines,
)

# from low to high, told apart on light and on dark paper
RAMP = ("#7550b0", "#3f6fd0", "#2597a8", "#3a9a55", "#b09020", "#d07030", "#c0405a")
PALE, DARK = "#9aa5b1", "#6b747e"  # of what has no place in that order
NOTHING = "<p>There is nothing to show yet.</p>"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve, or a set of dots.

    Attributes:
        label: Name in the legend.
        points: Points (x, y).
        colour: Colour.
        line: Whether the points are joined.
        dots: Whether they are drawn, each with its text under the pointer.
        dashed: Whether the line is dashed.
        texts: Texts of the dots; by default the label and the point.
        stairs: Whether a height holds until the next point, instead of a straight line to it.
        faint: Whether the dots are pale and without outline.
        stars: Whether stars are drawn instead of dots.
        errors: Lower and upper end of an upright bar through each point.
        reach: Right end of a level bar from each point; None for none.
    """

    label: str
    points: Sequence[tuple[float, float]]
    colour: str
    line: bool = True
    dots: bool = False
    dashed: bool = False
    texts: Sequence[str] = ()
    stairs: bool = False
    faint: bool = False
    stars: bool = False
    errors: Sequence[tuple[float, float]] = ()
    reach: Sequence[float | None] = ()

    def xs(self) -> list[float]:
        """Every value that the horizontal axis must hold."""
        return [*(x for x, _ in self.points), *(x for x in self.reach if x is not None)]

    def ys(self) -> list[float]:
        """Every value that the vertical axis must hold."""
        return [*(y for _, y in self.points), *(y for ends in self.errors for y in ends)]


def ramp(count: int) -> list[str]:
    """As many colours in the order from low to high, evenly apart."""
    last = max(count - 1, 1)
    return [_between(i * (len(RAMP) - 1) / last) for i in range(count)]


def _between(position: float) -> str:
    """The colour at a position of the ramp, mixed of its two neighbours."""
    low = min(int(position), len(RAMP) - 2)
    share = position - low
    pairs = [(int(RAMP[low][i : i + 2], 16), int(RAMP[low + 1][i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in pairs)


def curves(
    shown: Sequence[Curve],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    from_zero: bool = False,
    level: float | None = None,
    upright: Sequence[Mark] = (),
    levels: Sequence[Mark] = (),
    equal: bool = False,
) -> str:
    """Curves in one frame, with a legend.

    Args:
        shown: The curves; those without points are left out.
        x_label, y_label: Labels of the axes.
        log_x: Whether the horizontal axis is logarithmic.
        from_zero: Whether the vertical axis holds 0.
        level: A height that is marked by a line.
        upright, levels: Values of the horizontal and of the vertical axis that are marked by a
            line with a name.
        equal: Whether both axes hold the same values, and the line of equal ones is drawn.
    """
    shown = [curve for curve in shown if curve.points]
    if not shown:
        return NOTHING
    ys = [y for curve in shown for y in curve.ys()]
    ys += [0.0] * from_zero + ([] if level is None else [level]) + [mark.at for mark in levels]
    xs = [x for curve in shown for x in curve.xs()] + [mark.at for mark in upright]
    if equal:
        xs = ys = [*xs, *ys]
    x_axis = Axis.around(xs, LEFT, WIDTH - RIGHT, log_x)
    y_axis = Axis.around(ys, HEIGHT - BOTTOM, TOP, False)
    parts = frame(x_axis, y_axis, x_label, y_label)
    if equal:
        parts.append(
            f'<line x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH - RIGHT}" y2="{TOP}" '
            'class="rule"/>'
        )
    if level is not None:
        y = y_axis.at(level)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="rule" '
            'stroke-dasharray="3 4"/>'
        )
    for curve in shown:
        parts += _drawn(curve, x_axis, y_axis)
    parts += [*upright_lines(upright, x_axis), *level_lines(levels, y_axis)]
    names = {curve.label: curve.colour for curve in reversed(shown) if curve.label}
    labels = list(reversed(names))
    text = f"{y_label} over {x_label}: {', '.join(labels)}"
    return picture(parts, text) + legend(labels, [names[label] for label in labels])


def _drawn(curve: Curve, x_axis: Axis, y_axis: Axis) -> list[str]:
    """The parts of one curve, what lies behind the dots first."""
    at = [(x_axis.at(x), y_axis.at(y)) for x, y in curve.points]
    parts: list[str] = []
    if curve.line:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (_stairs(at) if curve.stairs else at))
        dashes = ' stroke-dasharray="5 3"' if curve.dashed else ""
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{curve.colour}" '
            f'stroke-width="1.6"{dashes}/>'
        )
    elif not curve.dots and not curve.stars:
        parts.append(cloud(at, curve.colour))
    for (x, _), (low, high) in zip(at, curve.errors, strict=False):
        parts.append(error_bar(x, y_axis.at(low), y_axis.at(high), curve.colour))
    for (x, y), end in zip(at, curve.reach, strict=False):
        if end is not None:
            parts.append(reach_bar(x, x_axis.at(end), y, curve.colour))
    if curve.dots or curve.stars or (curve.line and len(at) == 1):
        texts = curve.texts or [f"{curve.label}: {x:.4g}, {y:.4g}" for x, y in curve.points]
        opacity = 0.4 if curve.faint else 0.75
        parts += [
            star(x, y, curve.colour, text)
            if curve.stars
            else f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{curve.colour}" '
            f'fill-opacity="{opacity}"><title>{escape(text)}</title></circle>'
            for (x, y), text in zip(at, texts, strict=True)
        ]
    return parts


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points with a corner before each but the first."""
    found = list(points[:1])
    for (_, before), (x, y) in pairwise(points):
        found += [(x, before), (x, y)]
    return found


def stacked_areas(
    xs: Sequence[float], parts: Mapping[str, Sequence[float]], x_label: str, y_label: str
) -> str:
    """Shares of a whole over time, as areas on top of each other.

    Args:
        xs: Places on the horizontal axis, at least two.
        parts: Shares at each of them, by name; together 100 at each place.
        x_label, y_label: Labels of the axes.
    """
    if len(xs) < 2:
        return NOTHING
    x_axis = Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, False)
    y_axis = Axis(0.0, 100.0, HEIGHT - BOTTOM, TOP, False)
    drawn = []
    below = [0.0] * len(xs)
    for i, values in enumerate(parts.values()):
        above = [a + b for a, b in zip(below, values, strict=True)]
        edge = [*zip(xs, above, strict=True), *reversed(list(zip(xs, below, strict=True)))]
        points = " ".join(f"{x_axis.at(x):.1f},{y_axis.at(y):.1f}" for x, y in edge)
        drawn.append(
            f'<polygon points="{points}" fill="{COLOURS[i % len(COLOURS)]}" fill-opacity="0.8"/>'
        )
        below = above
    text = f"{y_label} over {x_label}: {', '.join(parts)}"
    return picture([*drawn, *frame(x_axis, y_axis, x_label, y_label)], text) + legend(list(parts))
