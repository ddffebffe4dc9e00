"""The pictures of a comparison: accuracy over latency, and latencies as bars."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from elasticvit.flows.compare_result import Compared
from elasticvit.svg import (
    BAR,
    BOTTOM,
    COLOURS,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    frame,
    picture,
)
from elasticvit.svg_marks import LETTER, error_bar

DOT = 5.0  # radius in pixels
NAME_ROW = 15  # pixels that a name needs from the next one
LONGEST_NAME = 28  # letters of a name in a picture


def colours(models: Sequence[Compared]) -> dict[str, str]:
    """A colour for each model, by its name."""
    return {one.name: COLOURS[i % len(COLOURS)] for i, one in enumerate(models)}


def accuracy_chart(judged: Sequence[Compared], colour: dict[str, str]) -> str:
    """Accuracy over latency; models that another one beats in both are rings.

    Args:
        judged: Models whose latency and accuracy are known, at least one.
        colour: Colour of each model, by its name.
    """
    points = []
    for one in judged:
        assert one.timing is not None
        assert one.candidate.accuracy is not None
        points.append((one, one.timing, one.candidate.accuracy))
    x_axis = Axis.around(
        [ms for _, t, _ in points for ms in (t.low_ms, t.high_ms)], LEFT, WIDTH - RIGHT, False
    )
    ends = [(a.percent - a.error, a.percent + a.error) for _, _, a in points]
    y_axis = Axis.around([y for pair in ends for y in pair], HEIGHT - BOTTOM, TOP, False)
    parts = frame(x_axis, y_axis, "latency, ms", "accuracy, %")
    taken: list[tuple[float, float, float]] = []  # left, right and height of the names so far
    dots, names = [], []
    for (one, timing, accuracy), (low, high) in zip(points, ends, strict=True):
        x, y, ink = x_axis.at(timing.ms), y_axis.at(accuracy.percent), colour[one.name]
        parts.append(error_bar(x, y_axis.at(low), y_axis.at(high), ink))
        left, right = x_axis.at(timing.low_ms), x_axis.at(timing.high_ms)
        parts.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="{ink}"/>')
        beaten = any(
            other.ms < timing.ms and better.percent > accuracy.percent
            for _, other, better in points
        )
        look = f'fill="var(--paper)" stroke="{ink}" stroke-width="2"' if beaten else f'fill="{ink}"'
        dots.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{DOT}" {look}>'
            f"<title>{escape(f'{one.name}: {timing.ms:.4g} ms, {accuracy.percent:.2f} %')}</title>"
            "</circle>"
        )
        names.append(_beside(short(one.name), x, y, taken))
    text = ", ".join(
        f"{one.name} {timing.ms:.4g} ms and {accuracy.percent:.2f} %"
        for one, timing, accuracy in points
    )
    return picture([*parts, *dots, *names], f"Accuracy over latency: {text}")


def _beside(name: str, x: float, y: float, taken: list[tuple[float, float, float]]) -> str:
    """A name to the right of a dot, or to its left where there is no room, away from others."""
    width = LETTER * len(name)
    fits = x + 2 * DOT + width < WIDTH - RIGHT
    left = x + 2 * DOT if fits else max(x - 2 * DOT - width, LEFT)
    for shift in (0, -1, 1, -2, 2, -3, 3):
        at = y + 4 + shift * NAME_ROW
        free = all(
            right < left or start > left + width or abs(height - at) >= NAME_ROW
            for start, right, height in taken
        )
        if free and TOP + NAME_ROW / 2 < at < HEIGHT - BOTTOM:
            break
    taken.append((left, left + width, at))
    where, anchor = (left, "start") if fits or left == LEFT else (left + width, "end")
    return (
        f'<text x="{where:.1f}" y="{at:.1f}" text-anchor="{anchor}" class="halo">'
        f"{escape(name)}</text>"
    )


def latency_bars(models: Sequence[Compared], colour: dict[str, str]) -> str:
    """A bar a model from 0 to its latency, with its 95 % interval, between name and figure."""
    timed = [(one, one.timing) for one in models if one.timing is not None]
    longest = max((timing.high_ms for _, timing in timed), default=0.0)
    if not longest:
        return "<p>nothing was timed</p>"
    rows = []
    for one, timing in timed:
        low, middle, high = (
            ms / longest * (WIDTH - 2) for ms in (timing.low_ms, timing.ms, timing.high_ms)
        )
        text = f"{timing.ms:.4g} ms, 95 % interval {timing.low_ms:.4g} to {timing.high_ms:.4g}"
        rows.append(
            f'<span class="name">{escape(one.name)}</span>'
            f'<svg viewBox="0 0 {WIDTH} {BAR}" preserveAspectRatio="none" role="img" '
            f'aria-label="{escape(f"{one.name}: {text}")}">'
            f'<rect x="0" y="2" width="{middle:.2f}" height="{BAR - 4}" fill="{colour[one.name]}" '
            f'fill-opacity=".8"><title>{escape(text)}</title></rect>'
            f'<path d="M{low:.2f} {BAR / 2}H{high:.2f}M{low:.2f} 5v{BAR - 10}M{high:.2f} '
            f'5v{BAR - 10}" stroke="var(--ink)" fill="none" vector-effect="non-scaling-stroke"/>'
            f"</svg><span>{timing.ms:.4g} ms</span>"
        )
    return f'<div class="bars">{"".join(rows)}</div>'


def short(name: str) -> str:
    """A name as a picture has room for it."""
    return name if len(name) <= LONGEST_NAME else f"…{name[1 - LONGEST_NAME :]}"
