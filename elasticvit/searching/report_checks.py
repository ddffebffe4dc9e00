"""The part of a search's report that holds its predictions against what came out: latencies of the
candidates that were timed, and accuracies that were predicted before they were judged."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from elasticvit.page import figure, table
from elasticvit.searching.report_data import SearchPage
from elasticvit.searching.winner import Measured
from elasticvit.svg import COLOURS
from elasticvit.svg_curves import Curve, curves
from elasticvit.svg_marks import Mark


def measured_section(page: SearchPage) -> list[str]:
    """What was timed on devices, predicted against measured; nothing if nothing was."""
    timed = list(dict.fromkeys(m for winner in page.winners for m in winner.measured))
    if not timed:
        return []
    charts = [
        figure(f"latency on {device}", _measured([m for m in timed if m.place == device]))
        for device in dict.fromkeys(m.place for m in timed)
    ]
    winners = {winner.arch for winner in page.winners}
    rows = [
        [
            f"{m.arch}{' (winner)' if m.arch in winners else ''}",
            m.place,
            f"{m.predicted_ms:.4g}",
            f"{m.measured_ms:.4g} ({m.low_ms:.4g} to {m.high_ms:.4g})",
            f"{m.rounds}",
            f"{m.target_ms:g}",
            "yes" if m.kept else "no",
        ]
        for m in timed
    ]
    head = ["architecture", "device", "predicted ms", "measured ms", "rounds"]
    return [
        '<h2>Verified on the device</h2><div class="charts">',
        *charts,
        "</div><p>Solid line: measured as predicted. Bars: confidence interval of what was "
        "measured. Dashed: the target.</p>",
        f'<div class="archs">{table([*head, "target ms", "kept"], rows)}</div>',
    ]


def _measured(timed: Sequence[Measured]) -> str:
    shown = []
    for label, colour, kept in (
        ("keeps its target", "#3a9a55", True),
        ("too slow", "#c0405a", False),
    ):
        part = [m for m in timed if m.kept is kept]
        shown.append(
            Curve(
                label=label,
                points=[(m.predicted_ms, m.measured_ms) for m in part],
                colour=colour,
                line=False,
                dots=True,
                errors=[(m.low_ms, m.high_ms) for m in part],
                texts=[
                    f"{m.arch}\n{m.measured_ms:.4g} ms measured ({m.low_ms:.4g} to "
                    f"{m.high_ms:.4g}), {m.predicted_ms:.4g} ms predicted"
                    for m in part
                ],
            )
        )
    targets = [
        Mark(at=target, label=f"target {target:g} ms")
        for target in dict.fromkeys(m.target_ms for m in timed)
    ]
    return curves(shown, "predicted, ms", "measured, ms", levels=targets, equal=True)


def agreement_section(page: SearchPage) -> list[str]:
    """What the accuracy predictor expected against what was judged then; nothing without one."""
    known = page.result.agreement
    if known is None or not len(page.judged):
        return []
    pairs = list(zip(page.foreseen.tolist(), page.judged.tolist(), strict=True))
    dots = Curve(
        label="chosen by the predictor",
        points=pairs,
        colour=COLOURS[0],
        line=False,
        dots=True,
        faint=True,
        texts=[f"expected {page.figure(x)}, judged {page.figure(y)}" for x, y in pairs],
    )
    chart = curves([dots], f"expected {page.axis}", f"judged {page.axis}", equal=True)
    text = (
        f"Kendall's tau of what was expected and what was judged then is {known.tau:.2f} over "
        f"{known.archs:,} architectures: {(1 + known.tau) / 2:.0%} of the pairs were ranked as "
        "they were judged."
    )
    if known.doubt is not None:
        text = f"{known.doubt[0].upper()}{known.doubt[1:]}."
    return [
        "<h2>Accuracy predictor</h2>",
        figure("judged against expected, each before it was judged", chart),
        f"<p{'' if known.doubt is None else ' class=warning'}>{escape(text)}</p>",
    ]
