"""The HTML report and its charts."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from lut.report import Pair, ReportData, render
from lut.svg import Dots, lines, scatter, stacked_bars

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


def svgs(html: str) -> list[ET.Element]:
    return [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, flags=re.S)]


def test_a_report_is_one_page_that_needs_nothing_else() -> None:
    html = render(DATA)
    assert html.startswith("<!doctype html>")
    assert not re.search(r"(src|href)=|@import|url\((?!#)|https?://", html)
    assert len(svgs(html)) == 4


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
    svg = ET.fromstring(stacked_bars(rows, "ms").split("<div")[0])
    widths = [float(r.get("width", "")) for r in svg.iter("rect")]
    assert widths[1] == pytest.approx(3 * widths[0], rel=1e-2)
    assert widths[2] == pytest.approx(2 * widths[0], rel=1e-2)
    assert widths[3] == 0.0


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
