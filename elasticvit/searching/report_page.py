"""The report of a search: one HTML file that opens offline."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path

from elasticvit.files import write_atomic
from elasticvit.page import facts_table, figure, page, table
from elasticvit.searching.report_charts import convergence, front_figures
from elasticvit.searching.report_checks import agreement_section, measured_section
from elasticvit.searching.report_data import SearchPage
from elasticvit.searching.report_winner import confidence_text, winner_section

REPORT_FILE = "report.html"
MINUTES_FROM_S = 600


def write_report(folder: Path, data: SearchPage) -> Path:
    """Write the report into the folder of a search; returns its path.

    Raises:
        FileError: It cannot be written; an earlier one stays.
    """
    path = folder / REPORT_FILE
    write_atomic(path, render(data))
    return path


def render(data: SearchPage) -> str:
    """The report as one HTML page that needs no other file."""
    sections = [
        f"<p>Written {time.strftime('%Y-%m-%d %H:%M')}.</p>",
        *_warnings(data),
        facts_table(_facts(data)),
        "<h2>Result</h2>",
        _winners(data),
        '<h2>Front and convergence</h2><div class="charts">',
        *front_figures(data),
        figure("best under the caps over the evaluations", convergence(data)),
        "</div>",
        f"<p>{escape(_reading(data))}</p>",
        *measured_section(data),
        *agreement_section(data),
    ]
    for index in range(len(data.goals)):
        sections += winner_section(data, index)
    return page(f"Search {data.name}", sections)


def _warnings(data: SearchPage) -> list[str]:
    """What the reader must not overlook."""
    notes = list(data.notes)
    if data.proxy:
        notes.insert(0, f"The figures are those of a proxy, {data.source}: no accuracies.")
    if not data.complete:
        notes.append("The time was up before the search was done; more time may find better.")
    return [f'<p class="warning">{escape(note)}</p>' for note in notes]


def _facts(data: SearchPage) -> dict[str, str]:
    facts = {
        "space": f"{data.space.name}, {data.space.layout.classes:,} classes",
        "data": data.data or "none",
        "weights": data.weights or "none: no supernet was used",
        "scores" if data.proxy else "accuracies": data.source + _images(data),
        "goals": "; ".join(_goal(data, index) for index in range(len(data.goals))),
        "evaluations": f"{len(data.evaluated.archs):,}",
    }
    if data.took_s is not None:
        long = data.took_s > MINUTES_FROM_S
        facts["time"] = f"{data.took_s / 60:.0f} min" if long else f"{data.took_s:.1f} s"
    return facts


def _images(data: SearchPage) -> str:
    if not data.evaluated.images:
        return ""
    again = ""
    if data.finalists is not None and data.finalists.images > data.evaluated.images:
        again = f"; {len(data.finalists.archs)} finalists on {data.finalists.images:,}"
    return f", on {data.evaluated.images:,} images{again}"


def _goal(data: SearchPage, index: int) -> str:
    return " and ".join(
        f"at most {cap.target:g} {cap.cost.unit}" + (f" on {cap.device}" if cap.device else "")
        for cap in data.goals[index].caps
    )


def _winners(data: SearchPage) -> str:
    """A row a goal, each with a link to the section on its winner."""
    tested = any(winner.test_accuracy is not None for winner in data.winners)
    rows = []
    for index, winner in enumerate(data.winners):
        cap = winner.caps[0]
        upper = "" if cap.upper is None else f" (bound {cap.upper:.4g})"
        sure = "no runner-up" if winner.runner_up is None else confidence_text(winner.confidence)
        cells = [
            _goal(data, index),
            data.figure(winner.accuracy, winner.error),
            *([] if not tested else [_tested(data, index)]),
            f"{cap.predicted:.4g} {cap.unit}{upper}",
            f"{winner.macs_m:.4g}",
            sure.removeprefix("with "),
        ]
        rows.append(cells)
    test = "test accuracy" if data.test_images is None else f"test, {data.test_images:,} images"
    head = ["goal", data.figure_name.removesuffix(", %"), *([test] if tested else [])]
    head += ["predicted", "MMACs", "better than the runner-up"]
    links = "".join(
        f'<li><a href="#winner{index + 1}">{escape(_goal(data, index))}</a>: '
        f"{escape(str(winner.arch))}</li>"
        for index, winner in enumerate(data.winners)
    )
    return f"{table(head, rows)}<ul>{links}</ul>"


def _tested(data: SearchPage, index: int) -> str:
    accuracy = data.winners[index].test_accuracy
    return "not tested" if accuracy is None else f"{accuracy:.2f} %"


def _reading(data: SearchPage) -> str:
    """How the charts are read."""
    parts = ["A dot is an architecture; what it is stands under the pointer."]
    if any(cost.upper(data.evaluated.archs) is not None for cost in data.capped_costs):
        parts.append(
            "The bar to the right of a winner ends at the upper bound, which is what a cap holds."
        )
    if data.evaluated.judged.error.any() or data.best_judged.judged.error.any():
        parts.append("Upright bars are one standard error to either side.")
    if not data.proxy:
        parts.append(
            "The best of many noisy figures flatters itself, and so does the convergence curve."
        )
    return " ".join(parts)
