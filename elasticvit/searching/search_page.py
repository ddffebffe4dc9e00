"""The report of a search: one HTML file that opens offline."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path

from elasticvit.files import write_atomic
from elasticvit.page import REPORT_FILE, facts_table, figure, page, table
from elasticvit.precisions import FP32
from elasticvit.searching.report_charts import convergence, front_figures
from elasticvit.searching.report_checks import agreement_section, measured_section
from elasticvit.searching.report_data import SearchPage
from elasticvit.searching.report_winner import confidence_text, winner_section
from elasticvit.searching.result import SearchResult

__all__ = ["SearchPage", "render", "write_search_page"]

MINUTES_FROM_S = 600


def write_search_page(folder: Path, data: SearchPage) -> Path:
    """Write the report into the folder of the search; returns its path.

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
        *(f'<p class="warning">{escape(text)}</p>' for text in _warnings(data)),
        facts_table(_facts(data)),
        "<h2>Chosen</h2>",
        _winners(data),
        '<h2>Front and convergence</h2><div class="charts">',
        *front_figures(data),
        figure("best under each target, as it was seen", convergence(data)),
        "</div>",
        f"<p>{escape(_reading(data))}</p>",
        *measured_section(data),
        *agreement_section(data),
    ]
    for number in range(len(data.goals)):
        sections += winner_section(data, number)
    under = f"for {len(data.goals)} goals" if len(data.goals) > 1 else f"under {data.goals[0]}"
    return page(f"Search of {data.result.space} {under}", sections)


def _warnings(data: SearchPage) -> list[str]:
    """What the reader must not overlook."""
    result, found = data.result, []
    if not result.has_weights:
        found.append(f"{result.accuracy_source}: scores, no accuracies; nothing is trained")
    if not result.complete:
        found.append("The time was up before the search was done; more time may find better.")
    for goal, winner in zip(data.goals, data.winners, strict=True):
        if winner.kept is False:
            found.append(
                f"As measured, none of the finalists that were timed keeps {goal}; the chosen one "
                "comes nearest."
            )
    return found


def _facts(data: SearchPage) -> dict[str, str]:
    result = data.result
    facts = {"space": f"{result.space}, {result.classes:,} classes"}
    if result.has_weights:
        again = f"; finalists on up to {result.search_images:,}" if data.again else ""
        images = f", each on {data.images:,} images{again}" if data.images else ""
        facts["weights"] = f"the supernet of {result.run}"
        facts["accuracies"] = f"judged on {result.data}{images}"
    else:
        facts["scores"] = result.accuracy_source
    facts["precision"] = _precision(result)
    facts["goals"] = "; ".join(f"at most {goal}" for goal in data.goals)
    facts["evaluated"] = f"{result.evaluations:,} architectures"
    if data.took_s is not None:
        long = data.took_s > MINUTES_FROM_S
        facts["time"] = f"{data.took_s / 60:.0f} min" if long else f"{data.took_s:.1f} s"
    facts["random seed"] = str(result.seed)
    for device, source, cpu in dict.fromkeys((c.place, c.source, c.cpu) for c in result.caps):
        if device is not None:
            told = "" if cpu is None else f", {cpu}"
            facts[f"latencies of {device}"] = (source or "unknown source") + told
    return facts


def _precision(result: SearchResult) -> str:
    """Precision that the winner is to be deployed in, and what it says of the accuracies."""
    if result.precision == FP32 or not result.has_weights:
        return result.precision
    return f"{result.precision}; accuracies are those of fp32"


def _winners(data: SearchPage) -> str:
    """A row a goal, and links to the sections on the winners."""
    result, own = data.result, data.result.has_weights
    head = ["goal", "predicted", "upper bound", "MMACs", data.what]
    if own:
        head += [f"test, {result.test_images:,} images", "better than the next"]
    rows = []
    for goal, winner in zip(data.goals, data.winners, strict=True):
        row = [
            f"at most {goal}",
            ", ".join(f"{cap.predicted:.4g} {cap.unit}" for cap in winner.caps),
            ", ".join("-" if cap.upper is None else f"{cap.upper:.4g}" for cap in winner.caps),
            f"{winner.macs_m:.4g}",
            data.figure(winner.accuracy, winner.error),
        ]
        if own:
            tested = winner.test_accuracy
            row += ["-" if tested is None else f"{tested:.2f} %"]
            row += ["-" if winner.runner_up is None else confidence_text(winner)]
        rows.append(row)
    links = "".join(
        f'<li><a href="#winner{number}">at most {escape(str(goal))}</a>: '
        f"{escape(str(winner.arch))}</li>"
        for number, (goal, winner) in enumerate(zip(data.goals, data.winners, strict=True), 1)
    )
    return f"{table(head, rows)}<ul>{links}</ul>"


def _reading(data: SearchPage) -> str:
    """How the charts are read."""
    parts = ["A dot is an architecture; what it is stands under the pointer."]
    if any(cap.upper is not None for winner in data.winners for cap in winner.caps):
        parts.append(
            "The bar to the right of a winner ends at the upper bound, which is what a cap holds."
        )
    if data.result.has_weights:
        parts.append(
            "Upright bars are one standard error to either side. The best of many noisy figures "
            "flatters itself, and so does the convergence curve."
        )
    return " ".join(parts)
