"""The part of a search's report that holds its predictions against what came out: latencies of the
candidates that were timed, and accuracies that were predicted before they were judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elasticvit.page import figure, table
from elasticvit.searching.report_charts import MOST_TEXTS
from elasticvit.searching.report_data import SearchPage
from elasticvit.searching.winner import Measured
from elasticvit.svg import COLOURS
from elasticvit.svg_curves import Curve, curves
from elasticvit.svg_marks import Mark

POOR_TAU = 0.5  # below which more than a quarter of all pairs are ranked the wrong way round


def measured_section(page: SearchPage) -> list[str]:
    """What was timed on devices, predicted against measured; nothing if nothing was."""
    timed = list(dict.fromkeys(m for winner in page.winners for m in winner.measured))
    if not timed:
        return []
    charts = [
        figure(f"latency on {device}", _measured([m for m in timed if m.device == device]))
        for device in dict.fromkeys(m.device for m in timed)
    ]
    winners = {winner.arch for winner in page.winners}
    rows = [
        [
            f"{m.arch}{' (winner)' if m.arch in winners else ''}",
            m.device,
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
        table([*head, "target ms", "kept"], rows),
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
    """What the accuracy predictor said against what was judged; nothing without one."""
    if page.predicted is None:
        return []
    rows = np.flatnonzero(np.isfinite(page.predicted))
    said, judged = page.predicted[rows], page.evaluated.judged.accuracy[rows]
    sets = []
    for part, named in ((slice(MOST_TEXTS, None), False), (slice(MOST_TEXTS), True)):
        texts = [
            f"{page.evaluated.archs[int(row)]}\npredicted {page.figure(p, 0.0)}, judged "
            f"{page.figure(j, 0.0)}"
            for row, p, j in zip(rows[part], said[part], judged[part], strict=True)
        ]
        sets.append(
            Curve(
                label="architecture",
                points=list(zip(map(float, said[part]), map(float, judged[part]), strict=True)),
                colour=COLOURS[0],
                line=False,
                dots=named,
                faint=True,
                texts=texts if named else (),
            )
        )
    known = page.agreement
    text = "Its rank correlation is not known: too few were judged."
    if known is not None:
        text = f"Kendall's tau is {known.tau:.2f} over {known.archs:,} architectures."
        if known.tau < POOR_TAU:
            text += (
                " That is poor: its ranking decides little, and more evaluations are what would "
                "find better architectures."
            )
    what = "score" if page.proxy else "accuracy, %"
    chart = curves(sets, f"predicted {what}", f"judged {what}", equal=True)
    return [
        "<h2>The accuracy predictor</h2>",
        figure("what it said of architectures before they were judged", chart),
        f"<p{'' if known is None or known.tau >= POOR_TAU else ' class=warning'}>{text}</p>",
    ]
