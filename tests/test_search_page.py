"""The report of a search: every figure in it, nothing from elsewhere, texts escaped."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from search_pages import EVIL, content, latency, proxy
from strategies import space_and_batch

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost, PlacedCost
from elasticvit.errors import ArchError
from elasticvit.kernels import walk
from elasticvit.published import PUBLISHED
from elasticvit.searching.nearest import gene_distances, nearest_published
from elasticvit.searching.pareto import on_front
from elasticvit.searching.report_winner import by_stage
from elasticvit.searching.search_page import SearchPage, render, write_search_page
from elasticvit.searching.winner import Agreement
from elasticvit.space import MOBILE, TINY
from elasticvit.svg import LEFT, RIGHT, WIDTH, Axis
from elasticvit.svg_curves import Curve, curves
from elasticvit.svg_marks import Mark, upright_lines

MANY = content((12.0, 20.0), 240, ("pixel6", "board"), True)


class Page(HTMLParser):
    """A page by its parts.

    Attributes:
        text: All texts, parted by blanks.
        links: What it points to.
        tags: Names of its elements.
        rows: Texts of the cells of each row of its tables.
        ids: Names that links may point to.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.links, self.tags, self.ids = "", list[str](), list[str](), set[str]()
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(v) for k, v in attrs if k in ("src", "href", "xlink:href", "style")]
        self.ids |= {str(v) for k, v in attrs if k == "id"}
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"
        if self.in_cell:
            self.rows[-1][-1] += data


def svgs(html: str, label: str) -> list[ET.Element]:
    """The charts whose text alternative begins with a label."""
    found = [ET.fromstring(text) for text in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]
    return [svg for svg in found if svg.attrib["aria-label"].startswith(label)]


def titles(svg: ET.Element, tag: str) -> list[str]:
    """Texts under the pointer of the elements of a kind."""
    return [title.text or "" for shape in svg.iter(tag) for title in shape.iter("title")]


def test_a_page_is_one_file_that_needs_no_other(tmp_path: Path) -> None:
    html = write_search_page(tmp_path, MANY).read_text()
    page = Page(html)
    own = [link for link in page.links if not link.startswith(("#", "background:"))]
    assert own == []
    assert {link[1:] for link in page.links if link.startswith("#w")} <= page.ids
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert "url(" not in html
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_every_winner_stands_with_its_figures() -> None:
    page = Page(render(MANY))
    for winner, goal in zip(MANY.winners, MANY.goals, strict=True):
        (row,) = [row for row in page.rows if row[0] == f"at most {goal}" and len(row) > 2]
        assert row[1] == ", ".join(f"{cap.predicted:.4g} ms" for cap in winner.caps)
        assert row[2] == ", ".join(f"{cap.upper:.4g}" for cap in winner.caps)
        assert row[3:] == [
            f"{winner.macs_m:.4g}",
            f"{winner.accuracy:.2f} ± {winner.error:.2f} %",
            "74.18 %",
            f"{winner.confidence:.0%} sure",
        ]
        assert str(winner.arch) in page.text
        assert str(winner.runner_up) in page.text
    facts = dict(row for row in page.rows if len(row) == 2)
    assert facts["evaluated"] == f"{len(MANY.archs)} architectures"
    assert facts["weights"] == "the supernet of runs/20260101-110000"
    assert "each on 200 images; finalists on up to 5,000" in facts["accuracies"]
    assert facts["time"] == "21 min"


def test_the_front_is_drawn_for_each_capped_cost_with_what_is_under_the_pointer() -> None:
    html = render(MANY)
    for name in ("pixel6", "board"):
        (chart,) = svgs(html, f"accuracy, % over predicted latency on {name}")
        cost = next(cost for cost in MANY.capped_costs if cost.name.endswith(name))
        dots = titles(chart, "circle")
        points = MANY.result.front
        prices = cost.price(ArchBatch.of([point.arch for point in points]))
        scores = np.array([point.accuracy for point in points])
        on = np.flatnonzero(on_front(np.stack([prices, -scores], axis=1)))
        for row in on:
            error = MANY.again[points[row].arch]
            figures = f"{points[row].arch}\n{points[row].accuracy:.2f} ± {error:.2f} %"
            assert any(
                text.startswith(figures) and f"{cost.name} {prices[row]:.4g} ms" in text
                for text in dots
            )
        assert len(dots) == len(MANY.archs) + len(on)
        stars = titles(chart, "polygon")
        assert [str(w.arch) in s for w, s in zip(MANY.winners, stars, strict=True)] == [True, True]
        assert all("(upper bound " in star and "multiply-accumulates" in star for star in stars)
        texts = [element.text for element in chart.iter("text")]
        assert {f"{cap.target:g} ms" for _, _, cap in MANY.caps_of(cost)} <= set(texts)


def test_the_best_under_each_target_rises_with_the_evaluations() -> None:
    (chart,) = svgs(render(MANY), "accuracy, % over evaluations")
    dots = titles(chart, "circle")
    for goal in MANY.goals:
        under = np.flatnonzero(goal.loads(MANY.archs) <= 1)
        best = under[np.argmax(MANY.accuracy[under])]
        text = f"evaluation {best + 1:,}: {MANY.accuracy[best]:.2f} %\n{MANY.archs[int(best)]}"
        assert text in dots
    heights = [
        [float(point.split(",")[1]) for point in line.attrib["points"].split()]
        for line in chart.iter("polyline")
    ]
    assert len(heights) == 2
    assert all(line == sorted(line, reverse=True) for line in heights)


def test_what_was_timed_stands_beside_what_was_predicted() -> None:
    html = render(MANY)
    rows = Page(html).rows
    for one in (one for winner in MANY.winners for one in winner.measured):
        span = f"{one.measured_ms:.4g} ({one.low_ms:.4g} to {one.high_ms:.4g})"
        kept = "yes" if one.kept else "no"
        figures = [one.device, f"{one.predicted_ms:.4g}", span, "9", f"{one.target_ms:g}", kept]
        assert any(row[0].startswith(str(one.arch)) and row[1:] == figures for row in rows)
    assert len(svgs(html, "measured, ms over predicted, ms")) == 2
    assert "none of the finalists that were timed keeps 12 ms on pixel6" in html
    assert not svgs(render(content()), "measured, ms")


def test_the_accuracy_predictor_is_judged_and_called_poor_where_it_is() -> None:
    html = render(MANY)
    assert "judged then is 0.63 over" in html
    assert "hardly better than chance" not in html
    (chart,) = svgs(html, "judged accuracy, % over expected accuracy, %")
    assert len(titles(chart, "circle")) == len(MANY.judged)
    result = replace(MANY.result, agreement=Agreement(tau=0.11, archs=40))
    poor = Page(render(replace(MANY, result=result)))
    assert "ranked the 40 architectures" in poor.text
    assert "tau 0.11" in poor.text
    assert "hardly better than chance" in poor.text
    assert "Kendall" not in render(content())


def test_a_winner_is_drawn_stage_by_stage_with_where_its_cost_comes_from() -> None:
    page = content()
    html, winner = render(page), page.winners[0]
    (drawing,) = svgs(html, "Stages")
    depths = [winner.arch.stem.depth, *(s.depth for s in (*winner.arch.conv, *winner.arch.attn))]
    assert len(list(drawing.iter("rect"))) == sum(depths)
    rows = {row[0]: row for row in Page(html).rows if len(row) == 8}
    cost = page.capped_costs[0]
    parts = by_stage(cost, winner.arch)
    assert parts["whole subnet"] == {"of no kernel": pytest.approx(0.4)}
    for stage, values in parts.items():
        assert rows[stage][6].startswith(f"{sum(values.values()):.3g} (")
    assert rows["sum"][6:] == [f"{winner.caps[0].predicted:.4g}", f"{winner.macs_m:.4g}"]
    attn = winner.arch.attn[1]
    genes = [str(attn.width), str(attn.depth), str(attn.mlp_ratio), f"V {attn.v_scale}"]
    assert rows["attn2"][2:6] == genes
    bars = svgs(html, "attn2: downsampling ")
    assert len(bars) == 1


def test_what_changed_from_the_nearest_published_architecture() -> None:
    page = content()
    arch = page.winners[0].arch
    found = nearest_published(arch, MOBILE)
    assert found is not None
    name, other = found
    html = Page(render(page))
    assert f"What changed from {name}" in html.text
    rows = {row[0]: row for row in html.rows if len(row) == 4}
    for stage, before, after in zip(("conv1", "conv2"), other.conv, arch.conv, strict=True):
        changed = [gene for gene in vars(before) if vars(before)[gene] != vars(after)[gene]]
        told = rows[stage][3]
        assert all(f"{gene} {vars(before)[gene]} → {vars(after)[gene]}" in told for gene in changed)
        assert changed or told == "same"
    macs = MacsCost(MOBILE).price(ArchBatch.of([other, arch]))
    assert rows["multiply-accumulates, MMACs"][1:3] == [f"{value:.4g}" for value in macs]
    assert nearest_published(TINY.smallest, TINY) is None


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_a_published_architecture_is_nearest_to_itself(name: str) -> None:
    assert nearest_published(PUBLISHED[name], MOBILE) == (name, PUBLISHED[name])


@given(case=space_and_batch)
def test_distances_of_genes_are_distances(case) -> None:
    space, batch = case
    one = gene_distances(batch[0], batch, space)
    assert one[0] == 0
    assert ((one > 0) == (batch.genes != batch.genes[0]).any(axis=1)).all()
    other = [gene_distances(arch, batch.take(slice(0, 1)), space)[0] for arch in batch]
    np.testing.assert_allclose(one, other)


@given(case=space_and_batch)
@settings(max_examples=20, deadline=None)
def test_the_cost_of_the_places_is_that_of_the_whole(case) -> None:
    space, batch = case
    cost = MacsCost(space)
    assert isinstance(cost, PlacedCost)
    for arch, price in zip(list(batch)[:3], cost.price(batch), strict=False):
        places = cost.by_place(arch)
        assert [place for place, _ in places] == [place for place, _ in walk(arch, space.layout)]
        assert sum(value for _, value in places) == pytest.approx(price)


def test_places_of_an_architecture_outside_the_space_are_refused() -> None:
    with pytest.raises(ArchError):
        latency("pixel6", 0.05).by_place(TINY.smallest)


def test_scores_are_called_scores_and_texts_are_escaped() -> None:
    html = render(proxy())
    page = Page(html)
    assert "proxy <i>macs</i>: scores, no accuracies; nothing is trained" in page.text
    assert EVIL in page.text
    assert not {"script", "i", "b"} & (set(page.tags) - {"i"})
    assert "<i>macs" not in html
    assert "standard error" not in page.text
    assert "The time was up" in page.text
    assert "accuracy" not in [row[0] for row in page.rows if row]
    best = proxy().winners[0]
    (row,) = [row for row in page.rows if row[0] == "at most 900 MMACs" and len(row) > 2]
    assert row[3:] == [f"{best.macs_m:.4g}", f"{best.accuracy:.2f}"]


def test_long_searches_have_short_reports() -> None:
    assert len(render(content(count=4000))) < 8 * len(render(content()))


def test_a_few_bad_ones_do_not_squeeze_the_chart() -> None:
    page = content()
    accuracy = page.accuracy.copy()
    accuracy[:3] = 0.5
    text = Page(render(replace(page, accuracy=accuracy))).text
    assert f"3 of the {len(accuracy)} evaluated architectures lie below the chart" in text
    assert "the lowest at 0.50 %" in text


def test_a_cap_far_away_is_told_and_not_drawn() -> None:
    far = content((20.0, 900.0))
    html = render(far)
    assert "To the right of the chart: the cap of 900 ms." in html


def inside(html: str) -> bool:
    """Whether all points of lines and all circles lie within their charts."""
    for svg in svgs(html, ""):
        _, _, width, height = map(float, svg.attrib["viewBox"].split())
        at = [
            tuple(map(float, point.split(",")))
            for shape in svg.iter()
            for point in shape.attrib.get("points", "").split()
        ]
        at += [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in svg.iter("circle")]
        if not all(0 <= x <= width and 0 <= y <= height for x, y in at):
            return False
    return True


@pytest.mark.parametrize("page", [MANY, content(), proxy()], ids=["many", "one", "proxy"])
def test_everything_drawn_lies_within_its_chart(page: SearchPage) -> None:
    assert inside(render(page))


@given(values=st.lists(st.floats(1, 100), min_size=1, max_size=6, unique=True))
def test_names_of_marks_do_not_lie_on_each_other(values: list[float]) -> None:
    axis = Axis.around([1.0, 100.0], LEFT, WIDTH - RIGHT, False)
    marks = [Mark(at=value, label=f"{value:.3g} ms") for value in values]
    names = [ET.fromstring(part) for part in upright_lines(marks, axis) if "<text" in part]
    boxes = []
    for name in names:
        half = 6.0 * len(name.text or "") / 2
        x, y = float(name.attrib["x"]), float(name.attrib["y"])
        assert half - 0.1 <= x + 0.5 * len(name.text or "") <= WIDTH + 0.1
        boxes.append((x - half, x + half, y))
    for i, (a1, a2, y1) in enumerate(boxes):
        for b1, b2, y2 in boxes[i + 1 :]:
            assert y1 != y2 or a2 <= b1 or b2 <= a1


def test_stairs_hold_their_height_until_the_next_point() -> None:
    curve = Curve(label="a", points=[(0, 0), (1, 1)], colour="#000000", stairs=True)
    (line,) = ET.fromstring(curves([curve], "x", "y").split("</svg>")[0] + "</svg>").iter(
        "polyline"
    )
    corners = [point.split(",") for point in line.attrib["points"].split()]
    assert len(corners) == 3
    assert corners[0][1] == corners[1][1]
    assert corners[1][0] == corners[2][0]
