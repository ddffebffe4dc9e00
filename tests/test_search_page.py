"""The report of a search: every figure in it, nothing from elsewhere."""

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from elasticvit.cost import MacsCost
from elasticvit.searching.caps import Cap
from elasticvit.searching.goal import Goal, Goals
from elasticvit.searching.result import SearchResult
from elasticvit.searching.search_page import SearchPage, render, write_search_page
from elasticvit.searching.summary import front_of, summarise_archs, summarise_caps
from elasticvit.searching.winner import Agreement, Measured, Winner
from elasticvit.space import MOBILE, TINY, SearchSpace


class Texts(HTMLParser):
    """All texts, and what points out of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.outside: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.outside += [str(v) for k, v in attrs if k in ("src", "href") and v is not None]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def shown(space: SearchSpace, source: str = "supernet", data: str = "digits") -> SearchPage:
    archs = space.sample(60, np.random.default_rng(0)).unique()
    macs = MacsCost(space)
    cost = macs.price(archs)
    accuracy = 50 + 5 * np.log(cost)
    goals = Goals(
        tuple(
            Goal((Cap(cost=macs, target=float(target)),))
            for target in np.quantile(cost, [0.3, 0.8])
        )
    )
    winners = []
    for goal in goals:
        under = np.flatnonzero(goal.loads(archs) <= 1)
        batch = archs.take(under[[int(np.argmax(accuracy[under]))]])
        timed = Measured(
            arch=batch[0],
            device="fake",
            source="fake:fake",
            target_ms=3.0,
            predicted_ms=2.5,
            measured_ms=2.75,
            low_ms=2.7,
            high_ms=2.8,
            rounds=8,
            kept=True,
        )
        winners.append(
            Winner(
                arch=batch[0],
                caps=summarise_caps(goal.caps, batch),
                macs_m=float(macs.price(batch)[0]),
                predicted_ms=None,
                upper_ms=None,
                accuracy=float(accuracy[under].max()),
                error=1.25,
                confidence=0.87,
                test_accuracy=61.25,
                measured=(timed,),
            )
        )
    points = summarise_archs(space, archs, accuracy, None, goals[0].caps)
    first = winners[0]
    result = SearchResult(
        space=space.name,
        data=data,
        classes=10,
        arch=first.arch,
        predicted_ms=None,
        upper_ms=None,
        macs_m=first.macs_m,
        accuracy=first.accuracy,
        test_accuracy=first.test_accuracy,
        search_images=100,
        test_images=200,
        front=front_of(points),
        caps=first.caps,
        winners=tuple(winners),
        agreement=Agreement(tau=0.11, archs=40),
        accuracy_source=source,
        run="runs/x",
        seed=0,
        evaluations=len(archs),
        complete=True,
    )
    return SearchPage(
        result=result,
        space=space,
        goals=goals,
        archs=archs,
        accuracy=accuracy,
        foreseen=accuracy[:40] - 1,
        judged=accuracy[:40],
    )


@pytest.mark.parametrize("space", [TINY, MOBILE], ids=lambda space: space.name)
def test_the_page_holds_the_figures_and_needs_no_other_file(
    tmp_path: Path, space: SearchSpace
) -> None:
    data = shown(space)
    path = write_search_page(tmp_path, data)
    found = Texts()
    found.feed(path.read_text())
    text = " ".join(found.texts)
    assert found.outside == []
    assert "script" not in found.tags
    for winner in data.result.winners:
        assert str(winner.arch) in text
        assert f"{winner.accuracy:.2f} ± 1.25" in text
        assert f"{winner.caps[0].target:g} MMACs" in text
    assert "87%" in text
    assert "61.25" in text
    assert "2.75 (2.7 to 2.8)" in text
    assert "Kendall's tau" in text
    assert "hardly better than chance" in text
    assert ("Nearest published architecture" in text) == (space is MOBILE)
    assert found.tags.count("svg") >= 4


def test_scores_are_called_scores_and_texts_are_escaped() -> None:
    page = render(shown(TINY, source="proxy macs"))
    assert "proxy macs: scores, no accuracies; nothing is trained" in page
    assert "standard error" not in page
    odd = render(shown(TINY, data="<script>alert(1)</script>"))
    assert "<script>" not in odd
    assert "&lt;script&gt;" in odd
