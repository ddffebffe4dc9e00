"""The HTML report and its charts."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from elasticvit.svg import Dots, lines, scatter, stacked_bars
from predictors.report import Pair, ReportData, render

PAIRS = [
    Pair(
        name=f"model <{i}>",
        group=("ffn", "attention")[i % 2],
        held_out=i % 3 == 0,
        measured_ms=0.1 * (i + 1),
        predicted_ms=0.1 * (i + 1) * (1.0 + 0.01 * (i % 5)),
        mmacs=10.0 * (i + 1),
    )
    for i in range(30)
]
DATA = ReportData(
    device="my <phone>",
    facts={"source": "adb:1 & 2"},
    errors={
        "subnets": {
            "count": 10,
            "within_5_pct": 90.0,
            "within_10_pct": 100.0,
            "rmspe_pct": 2.5,
            "bias_pct": -0.5,
        }
    },
    kernels=PAIRS,
    subnets=[replace(pair, group="") for pair in PAIRS],
    breakdown_ms={"S1": {"ffn": 1.0, "attention": 3.0}, "T1": {"ffn": 0.5, "attention": 1.0}},
    reference={"as measured": [(0.0, 5.0), (1.0, 5.5), (2.0, 5.2)]},
    notes=["One note."],
)
ARCH = "r256 24x1e1k5 40x5e6k5 56x6e6k5 104x7e6k5 | 128x6e6k5m4v4 200x7m4v4 272x6m4v4 408x6m4v4"
WIDE_DATA = replace(
    DATA,
    device="the_" + "very_long_" * 12 + "name",
    facts={
        "source": "adb:" + "0123456789abcdef" * 8,
        "fingerprint": "maker/phone/phone:14/UQ1A.240205.004/11269751:user/release-keys," * 4,
        "cores in force of each cluster": "; ".join(f"cpu{i} at {i * 300} MHz" for i in range(30)),
    },
    errors={
        **DATA.errors,
        "noise floor: subnets timed twice, calibrated": {
            "count": 1e6,
            "within_5_pct": 100.0,
            "within_10_pct": 100.0,
            "rmspe_pct": 1234.567,
            "bias_pct": -1234.567,
        },
    },
    kernels=[
        replace(p, name=ARCH, group=f"downsample_attention_{i % 12}", held_out=True)
        for i, p in enumerate(PAIRS)
    ],
    breakdown_ms={
        ARCH: {f"downsample_attention_{i}": float(i) for i in range(12)},
        "T1": {"ffn": 0.5, "attention": 1.0},
    },
    notes=[f"The reference subnet is {ARCH.replace(' ', '')}."],
)


def svgs(html: str) -> list[ET.Element]:
    return [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, flags=re.S)]


def test_a_report_is_one_page_that_needs_nothing_else() -> None:
    html = render(DATA)
    assert html.startswith("<!doctype html>")
    assert not re.search(r"(src|href)=|@import|url\((?!#)|https?://", html)
    assert len(svgs(html)) == 3 + len(DATA.breakdown_ms)


def test_a_report_says_what_was_found() -> None:
    html = render(DATA)
    for words in (
        "adb:1 &amp; 2",
        "my &lt;phone&gt;",
        "90.0 %",
        "-0.50 %",
        "One note.",
        "held out",
    ):
        assert words in html
    assert "<phone>" not in html
    rows = re.findall(r"<tr><td>(ffn|attention)</td><td>(\d+)</td>", html)
    assert sorted(rows) == [("attention", "5"), ("ffn", "5")]


def test_every_model_is_a_dot() -> None:
    subnets, kernels, *_ = svgs(render(DATA))
    dots = [len(list(svg.iter("circle"))) for svg in (subnets, kernels)]
    assert dots == [30, 10]


def test_dots_lie_inside_their_frame() -> None:
    points = [(10.0**i, 10.0 ** (i / 2), "p") for i in range(-3, 4)]
    svg = ET.fromstring(scatter([Dots("a", points)], "x", "y", log=True).split("<div")[0])
    frame = next(r for r in svg.iter("rect") if r.get("class") == "box")
    left, top, width, height = (float(frame.get(n, "")) for n in ("x", "y", "width", "height"))
    places = [(float(c.get("cx", "")), float(c.get("cy", ""))) for c in svg.iter("circle")]
    assert all(left < x < left + width and top < y < top + height for x, y in places)
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert [y for _, y in places] == sorted((y for _, y in places), reverse=True)


def test_bars_are_as_long_as_their_parts() -> None:
    rows = {"a": {"p": 1.0, "q": 3.0}, "b": {"p": 2.0, "q": 0.0}}
    bars = svgs(stacked_bars(rows, "ms"))
    assert [bar.get("aria-label") for bar in bars] == ["a: p 1 ms, q 3 ms", "b: p 2 ms, q 0 ms"]
    rects = [rect for bar in bars for rect in bar.iter("rect")]
    widths = [float(r.get("width", "")) for r in rects]
    ends = [float(r.get("x", "")) + float(r.get("width", "")) for r in rects]
    assert ends[1] == 460.0  # the longest fills the width
    assert ends[0] == float(rects[1].get("x", ""))
    assert widths[1] == pytest.approx(3 * widths[0], rel=1e-2)
    assert widths[2] == pytest.approx(2 * widths[0], rel=1e-2)
    assert widths[3] == 0.0


def test_lines_of_equal_values_end_at_the_frame() -> None:
    points = [(0.5, 0.6, "p"), (2.0, 1.9, "q")]
    for log in (False, True):
        chart = scatter([Dots("a", points)], "x", "y", log=log, equal=True).split("<div")[0]
        svg = ET.fromstring(chart)
        frame = next(r for r in svg.iter("rect") if r.get("class") == "box")
        left, top, width, height = (float(frame.get(n, "")) for n in ("x", "y", "width", "height"))
        rules = [line for line in svg.iter("line") if line.get("class") == "rule"]
        assert len(rules) == 3
        for rule in rules:
            x1, y1, x2, y2 = (float(rule.get(n, "")) for n in ("x1", "y1", "x2", "y2"))
            assert x1 == pytest.approx(left) or y1 == pytest.approx(top + height)
            assert x2 == pytest.approx(left + width) or y2 == pytest.approx(top)
            assert left <= x1 < x2 <= left + width
            assert top <= y2 < y1 <= top + height


@pytest.mark.parametrize("points", [[], [(0.0, 1.0)]])
def test_too_little_is_said(points) -> None:
    assert "too few" in lines({"a": points}, "x", "y")
    assert "nothing" in scatter([Dots("a", [])], "x", "y")
    assert "nothing" in stacked_bars({}, "ms")


def test_a_line_of_equal_values_has_a_chart() -> None:
    for end in (0.0, 1.0):
        chart = lines({"a": [(0.0, 2.0), (end, 2.0)]}, "x", "y")
        ET.fromstring(f"<div>{chart}</div>")


def test_a_report_of_very_little_still_renders() -> None:
    html = render(replace(DATA, kernels=[], subnets=[], breakdown_ms={}, reference={}, errors={}))
    assert "nothing was measured" in html
