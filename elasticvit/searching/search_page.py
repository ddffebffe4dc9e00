"""The report of a search: one HTML file that opens offline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.files import write_atomic
from elasticvit.kernels import stage_sizes, walk
from elasticvit.page import facts_table, figure, page, table
from elasticvit.published import PUBLISHED
from elasticvit.searching.caps import Cap
from elasticvit.searching.goal import Goals
from elasticvit.searching.guided import POOR_TAU
from elasticvit.searching.pareto import on_front
from elasticvit.searching.result import SearchResult
from elasticvit.searching.winner import Winner
from elasticvit.space import SearchSpace
from elasticvit.svg import Dots, scatter, stacked_bars
from elasticvit.svg_curves import DARK, PALE, Curve, curves, ramp

REPORT_FILE = "report.html"
MOST_DOTS = 1500  # evaluated architectures that are drawn
NAMES = ("width", "depth", "expansion or MLP ratio", "kernel or V scale")


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchPage:
    """What the report of a search shows.

    Attributes:
        result: The result.
        space: The space.
        goals: The goals.
        archs: Everything that was evaluated, in order, n architectures.
        accuracy: Accuracies or scores of these as they were seen, shape (n,).
        foreseen, judged: What the accuracy predictor expected of each architecture that it chose,
            and what that was judged at; empty without one.
    """

    result: SearchResult
    space: SearchSpace
    goals: Goals
    archs: ArchBatch
    accuracy: FloatArray
    foreseen: FloatArray
    judged: FloatArray

    @property
    def what(self) -> str:
        """What the figures are."""
        own = self.result.has_weights
        return "accuracy, %" if own else f"score ({self.result.accuracy_source})"


def write_search_page(folder: Path, data: SearchPage) -> Path:
    """Write the report into the folder of the search; returns its path.

    Raises:
        FileError: It cannot be written.
    """
    path = folder / REPORT_FILE
    write_atomic(path, render(data))
    return path


def render(data: SearchPage) -> str:
    """The report as one HTML page that needs no other file."""
    result = data.result
    caps = data.goals[0].caps
    sections = [
        f"<p>Written {time.strftime('%Y-%m-%d %H:%M')}.</p>",
        facts_table(_facts(data)),
        "<h2>Chosen</h2>",
        _winners_table(result),
        "<h2>Front</h2>",
        f'<div class="charts">{"".join(_front(data, i, cap) for i, cap in enumerate(caps))}</div>',
        "<p>Dots are architectures as the search saw them; those of the front were judged again. "
        "Dashed lines are the targets.</p>",
        "<h2>Convergence</h2>",
        figure("best under each target", _convergence(data)),
        *_measured(result),
        *_agreement(data),
        "<h2>What was chosen, stage by stage</h2>",
        *[_stages(data, winner) for winner in result.winners],
        figure("where the multiply-accumulates are, in millions", _by_stage(data)),
    ]
    return page(f"Search of {result.space} {_targets(result)}".strip(), sections)


def _targets(result: SearchResult) -> str:
    caps = [cap for winner in result.winners for cap in winner.caps]
    return "under " + ", ".join(dict.fromkeys(f"{cap.target:g} {cap.unit}" for cap in caps))


def _facts(data: SearchPage) -> dict[str, str]:
    result = data.result
    own = result.has_weights
    facts = {
        "space": result.space,
        "ordered by": f"the supernet of {result.run}, judged on {result.data}"
        if own
        else f"{result.accuracy_source}: scores, no accuracies; nothing is trained",
        "evaluated": f"{result.evaluations:,} architectures"
        + ("" if result.complete else "; the time was up before all were"),
        "random seed": str(result.seed),
    }
    for cap in dict.fromkeys((c.device, c.source) for c in result.caps if c.device is not None):
        facts[f"latencies of {cap[0]}"] = cap[1] or "unknown source"
    return facts


def _winners_table(result: SearchResult) -> str:
    head = ["target", "predicted", "upper bound", "MMACs"]
    head += ["accuracy, %", "test, %", "better than the next"] if result.has_weights else ["score"]
    rows = []
    for winner in result.winners:
        units = [cap.unit for cap in winner.caps]
        row = [
            " and ".join(f"{cap.target:g} {cap.unit}" for cap in winner.caps),
            ", ".join(f"{c.predicted:.4g} {u}" for c, u in zip(winner.caps, units, strict=True)),
            ", ".join("-" if c.upper is None else f"{c.upper:.4g}" for c in winner.caps),
            f"{winner.macs_m:.1f}",
        ]
        if result.has_weights:
            sure = "-" if winner.confidence is None else f"{winner.confidence:.0%}"
            test = "-" if winner.test_accuracy is None else f"{winner.test_accuracy:.2f}"
            row += [f"{winner.accuracy:.2f} ± {winner.error:.2f}", test, sure]
        else:
            row += [f"{winner.accuracy:.2f}"]
        rows.append([*row, str(winner.arch)])
    return table([*head, "architecture"], rows)


def _front(data: SearchPage, index: int, cap: Cap) -> str:
    """Accuracy against one cost."""
    price, result = cap.cost.price, data.result
    step = max(1, -(-len(data.archs) // MOST_DOTS))
    shown = data.archs.take(slice(None, None, step))
    seen = Curve(
        label="evaluated",
        points=list(zip(price(shown).tolist(), data.accuracy[::step].tolist(), strict=True)),
        colour=PALE,
        line=False,
        dots=True,
        texts=[str(arch) for arch in shown],
    )
    front = ArchBatch.of([point.arch for point in result.front])
    cost, scores = price(front), np.array([point.accuracy for point in result.front])
    rows = np.flatnonzero(on_front(np.stack([cost, -scores], axis=1)))
    rows = rows[np.argsort(cost[rows], kind="stable")]
    line = Curve(
        label="front",
        points=[(float(cost[row]), float(scores[row])) for row in rows],
        colour="#1f5fa8",
        dots=True,
        texts=[_hover(front[int(row)], float(cost[row]), cap, float(scores[row])) for row in rows],
    )
    chosen = Curve(
        label="chosen",
        points=[(w.caps[index].predicted, w.accuracy) for w in result.winners],
        colour="#d1495b",
        line=False,
        dots=True,
        texts=[_hover(w.arch, w.caps[index].predicted, cap, w.accuracy) for w in result.winners],
    )
    heights = [*(y for _, y in seen.points), *(y for _, y in line.points)]
    targets = sorted({winner.caps[index].target for winner in result.winners})
    most = 1.3 * max(x for x, _ in [*seen.points, *line.points])
    limits = [
        Curve(
            label=f"target {target:g}",
            points=[(target, min(heights)), (target, max(heights))],
            colour=DARK,
            dashed=True,
        )
        for target in targets
        if target <= most
    ]
    kind = "predicted " if cap.device is not None else ""
    x_label = f"{kind}{cap.cost.name}, {cap.cost.unit}"
    drawn = curves([seen, line, chosen, *limits], x_label, data.what)
    return figure(f"{data.what} against {kind}{cap.cost.name}", drawn)


def _hover(arch: Arch, cost: float, cap: Cap, score: float) -> str:
    return f"{arch}: {cost:.4g} {cap.cost.unit}, {score:.2f}"


def _convergence(data: SearchPage) -> str:
    """The best under each goal's caps over the number of evaluations."""
    colours = ramp(len(data.goals))
    shown = []
    for goal, colour in zip(data.goals, colours, strict=True):
        under = np.where(goal.loads(data.archs) <= 1, data.accuracy, -np.inf)
        best = np.maximum.accumulate(under)
        rises = np.flatnonzero(np.diff(best, prepend=-np.inf) > 0)
        rises = np.append(rises, len(best) - 1)
        points = [(int(row) + 1, float(best[row])) for row in rises if np.isfinite(best[row])]
        shown.append(Curve(label=str(goal), points=points, colour=colour))
    return curves(shown, "evaluations", data.what)


def _measured(result: SearchResult) -> list[str]:
    """What was timed, beside what was predicted."""
    found = [one for winner in result.winners for one in winner.measured]
    if not found:
        return []
    groups = [
        Dots(
            name,
            [
                (one.predicted_ms, one.measured_ms, f"{one.arch}: {one.measured_ms:.4g} ms")
                for one in found
                if one.device == name
            ],
        )
        for name in dict.fromkeys(one.device for one in found)
    ]
    rows = [
        [
            one.device,
            f"{one.target_ms:g}",
            f"{one.predicted_ms:.4g}",
            f"{one.measured_ms:.4g} ({one.low_ms:.4g} to {one.high_ms:.4g})",
            "kept" if one.kept else "missed",
            str(one.arch),
        ]
        for one in found
    ]
    head = ["device", "target, ms", "predicted, ms", "measured, ms", "target", "architecture"]
    chart = scatter(groups, "predicted, ms", "measured, ms", log=True, equal=True)
    return [
        "<h2>Timed on the device</h2>",
        figure("measured against predicted latency of the finalists", chart),
        table(head, rows),
    ]


def _agreement(data: SearchPage) -> list[str]:
    """How well the accuracy predictor ranked what it chose."""
    agreement = data.result.agreement
    if agreement is None or not len(data.judged):
        return []
    points = list(zip(data.foreseen.tolist(), data.judged.tolist(), strict=True))
    curve = Curve(
        label="chosen by the predictor", points=points, colour="#1f5fa8", line=False, dots=True
    )
    text = (
        f"Kendall's tau of what was expected and what was judged then is {agreement.tau:.2f} over "
        f"{agreement.archs} architectures."
    )
    if agreement.tau < POOR_TAU:
        text += (
            " That is hardly better than chance: the accuracies differ less than the images can "
            "tell, or more evaluations are needed."
        )
    chart = curves([curve], "expected accuracy, %", "judged accuracy, %")
    return [
        "<h2>Accuracy predictor</h2>",
        figure("judged against expected, each before it was judged", chart),
        f"<p>{escape(text)}</p>",
    ]


def _stages(data: SearchPage, winner: Winner) -> str:
    """The stages of a winner, with those of the published architecture that is nearest to it."""
    arch, layout = winner.arch, data.space.layout
    sizes = stage_sizes(arch.resolution, layout)
    nearest = _nearest(data.space, winner)
    rows = []
    for stage, values in _rows(arch).items():
        cells = [stage, f"{sizes[stage]} x {sizes[stage]}", *map(str, values)]
        if nearest is not None:
            cells.append(" ".join(map(str, _rows(PUBLISHED[nearest])[stage])))
        rows.append(cells)
    head = ["stage", "input map", *NAMES]
    note = ""
    if nearest is not None:
        head.append(nearest)
        other = PUBLISHED[nearest].resolution
        note = (
            f"<p>Resolution {arch.resolution}. Nearest published architecture by multiply-"
            f"accumulates: {escape(nearest)}, resolution {other}.</p>"
        )
    title = " and ".join(f"{cap.target:g} {cap.unit}" for cap in winner.caps)
    return f"<h3>{escape(title)}</h3><p>{escape(str(arch))}</p>{note}{table(head, rows)}"


def _rows(arch: Arch) -> dict[str, tuple[int, int, int, int]]:
    found = {"stem": arch.stem, **{f"conv{i}": s for i, s in enumerate(arch.conv, 1)}}
    rows = {name: (s.width, s.depth, s.expansion, s.kernel) for name, s in found.items()}
    for i, s in enumerate(arch.attn, 1):
        rows[f"attn{i}"] = (s.width, s.depth, s.mlp_ratio, s.v_scale)
    return rows


def _nearest(space: SearchSpace, winner: Winner) -> str | None:
    """The published architecture of the same form whose MACs are nearest; None in other spaces."""
    inside = {
        name: arch for name, arch in PUBLISHED.items() if space.valid(ArchBatch.of([arch]))[0]
    }
    if not inside:
        return None
    macs = {name: sum(k.macs for _, k in walk(arch, space.layout)) for name, arch in inside.items()}
    wanted = np.log(winner.macs_m * 1e6)
    return min(macs, key=lambda name: abs(np.log(macs[name]) - wanted))


def _by_stage(data: SearchPage) -> str:
    rows: dict[str, dict[str, float]] = {}
    for winner in data.result.winners:
        parts: dict[str, float] = {}
        for place, kernel in walk(winner.arch, data.space.layout):
            parts[place.stage] = parts.get(place.stage, 0.0) + kernel.macs / 1e6
        name = " and ".join(f"{cap.target:g} {cap.unit}" for cap in winner.caps)
        rows[name] = parts
    return stacked_bars(rows, "M")
