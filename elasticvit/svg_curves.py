"""SVG charts of what changes over time: many curves in one frame, and shares as stacked areas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

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
    """

    label: str
    points: Sequence[tuple[float, float]]
    colour: str
    line: bool = True
    dots: bool = False
    dashed: bool = False
    texts: Sequence[str] = ()


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
) -> str:
    """Curves in one frame, with a legend.

    Args:
        shown: The curves; those without points are left out.
        x_label, y_label: Labels of the axes.
        log_x: Whether the horizontal axis is logarithmic.
        from_zero: Whether the vertical axis holds 0.
        level: A height that is marked by a line.
    """
    shown = [curve for curve in shown if curve.points]
    if not shown:
        return NOTHING
    ys = [y for curve in shown for _, y in curve.points]
    ys += [0.0] * from_zero + ([] if level is None else [level])
    xs = [x for curve in shown for x, _ in curve.points]
    x_axis = Axis.around(xs, LEFT, WIDTH - RIGHT, log_x)
    y_axis = Axis.around(ys, HEIGHT - BOTTOM, TOP, False)
    parts = frame(x_axis, y_axis, x_label, y_label)
    if level is not None:
        y = y_axis.at(level)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" class="rule" '
            'stroke-dasharray="3 4"/>'
        )
    for curve in shown:
        at = [(x_axis.at(x), y_axis.at(y)) for x, y in curve.points]
        if curve.line:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
            dashes = ' stroke-dasharray="5 3"' if curve.dashed else ""
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{curve.colour}" '
                f'stroke-width="1.6"{dashes}/>'
            )
        if curve.dots or len(at) == 1:
            texts = curve.texts or [f"{curve.label}: {x:.4g}, {y:.4g}" for x, y in curve.points]
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{curve.colour}" '
                f'fill-opacity="0.75"><title>{escape(text)}</title></circle>'
                for (x, y), text in zip(at, texts, strict=True)
            ]
    names = [curve.label for curve in shown]
    text = f"{y_label} over {x_label}: {', '.join(names)}"
    return picture(parts, text) + legend(names, [curve.colour for curve in shown])


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
