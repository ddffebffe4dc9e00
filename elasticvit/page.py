"""An HTML report that opens offline: one page with its style, tables, facts and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from elasticvit.svg import CHART_STYLE

REPORT_FILE = "report.html"  # of a profile, a training run and a search

STYLE = f"""
:root {{ color-scheme: light dark; --ink: #1d2126; --paper: #fff; --faint: #d9dde2; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e4e6e9; --paper: #17191c; --faint: #3a3f45; }}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 980px; margin: 2em auto; padding: 0 1em; overflow-wrap: anywhere; }}
.warning {{ border-left: 4px solid #d07030; padding: .3em .8em; margin: .8em 0; }}
h1 {{ font-size: 1.5em; }} h2 {{ font-size: 1.15em; margin-top: 2em; }}
.scroll {{ overflow-x: auto; overflow-wrap: normal; }} .scroll td {{ white-space: nowrap; }}
.scroll td:first-child {{ white-space: normal; min-width: 7.5em; }}
.archs .scroll td:first-child {{ min-width: 17em; }}
table {{ border-collapse: collapse; margin: .6em 0; }}
td, th {{ padding: .25em .8em; border-bottom: 1px solid var(--faint); text-align: right; }}
td:first-child, th:first-child, .facts td {{ text-align: left; vertical-align: top; }}
.facts td:first-child {{ overflow-wrap: normal; }}
.charts {{ display: flex; flex-wrap: wrap; gap: 1.5em; }}
figure {{ margin: 0; min-width: 0; max-width: 100%; }}
.charts + figure {{ margin-top: 1.5em; }}
figcaption {{ font-weight: 600; }}
figure .legend {{ max-width: 460px; }}
.charts .bars {{ width: 460px; max-width: 100%; }}
@media (max-width: 600px) {{ td, th {{ padding: .25em .4em; }} }}
{CHART_STYLE}"""


def page(title: str, sections: Sequence[str]) -> str:
    """A page that needs no other file.

    Args:
        title: Title, as plain text.
        sections: HTML of what follows the heading.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{''.join(sections)}</body></html>\n"
    )


def figure(caption: str, content: str) -> str:
    """A chart or table with its caption."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{content}</figure>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers; it scrolls by itself
    where it is wider than the window."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{cells}</tr>{body}</table></div>'


def facts_table(facts: Mapping[str, Any]) -> str:
    """Names and values in two columns."""
    rows = "".join(
        f"<tr><td>{escape(str(name))}</td><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f'<table class="facts">{rows}</table>'
