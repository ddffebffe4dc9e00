"""Every HTML page that the project writes, opened in headless Chromium; and the checker itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pages import Browser, browser_program, open_browser, page_problems
from search_pages import content, proxy
from test_predictors_report import DATA, WIDE_DATA
from test_training_report import EARLY, FULL

from elasticvit.searching.search_page import render as render_search
from elasticvit.training.report import render as render_training
from predictors.report import render

# a page that the project writes: its name and what makes it
PAGES: dict[str, Callable[[], str]] = {
    "profile": lambda: render(DATA),
    "profile with long names": lambda: render(WIDE_DATA),
    "training": lambda: render_training(FULL),
    "training that has just begun": lambda: render_training(EARLY),
    "search": lambda: render_search(content()),
    "search with several goals": lambda: render_search(
        content((12.0, 20.0), 240, ("pixel6", "board"), True)
    ),
    "search by a proxy": lambda: render_search(proxy()),
}
GOOD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Good</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"></head><body>'
    '<svg width="100" height="50" role="img" aria-label="a box"><rect width="9" height="9"/></svg>'
    "{}</body></html>"
)
DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="
BROKEN = {
    "an exception": ("<script>nothing.here</script>", "throws ReferenceError"),
    "an error on the console": ("<script>console.error('ouch')</script>", "ouch"),
    "a late error": ("<script>setTimeout(() => nothing.here, 20)</script>", "throws"),
    "a style sheet": ('<link rel="stylesheet" href="http://example.invalid/a.css">', "a.css"),
    "an image elsewhere": ('<img alt="a" src="https://example.invalid/a.png">', "a.png"),
    "a file beside it": ('<img alt="a" src="beside.png">', "beside.png"),
    "a request": ("<script>fetch('http://example.invalid/x').catch(e => 0)</script>", "/x"),
    "a wide box": ('<div style="width: 1500px">a</div>', "1280 pixels: is 15"),
    "a long word": (f"<p>{'x' * 100}</p>", "400 pixels: is "),
    "a picture without a text": ("<svg></svg>", "text alternative: <svg>"),
    "a role without a text": ('<svg role="img"></svg>', "text alternative"),
    "a text without a role": ('<svg aria-label="a"></svg>', "text alternative"),
    "an image without a text": (f'<img src="{DOT}">', "text alternative: <img"),
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = browser_program()
    if program is None:
        pytest.skip("no Chromium: neither chromium nor google-chrome is installed")
    with open_browser(program, tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_project_has_no_problems(name: str, browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGES[name](), encoding="utf-8")
    assert page_problems(browser, page) == []


def test_a_good_page_has_no_problems(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(GOOD.format(f'<img alt="a dot" src="{DOT}"><a href="#x">x</a>'))
    assert page_problems(browser, page) == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_page_is_told_apart(name: str, browser: Browser, tmp_path: Path) -> None:
    part, words = BROKEN[name]
    page = tmp_path / "page.html"
    page.write_text(GOOD.format(part))
    assert words in "\n".join(page_problems(browser, page))


def test_a_page_without_a_viewport_is_told_apart(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(GOOD.format("").replace("viewport", "other"))
    (problem,) = page_problems(browser, page)
    assert problem == "at 400 pixels: has no viewport of the device's width: 980 pixels"
