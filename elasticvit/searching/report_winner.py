"""The part of a search's report on the winner of one goal: drawn as stages, where its cost comes
from, and what sets it apart from the nearest published architecture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from elasticvit.arch import Arch, AttnStage, ConvStage
from elasticvit.cost import CostModel, MacsCost, PlacedCost
from elasticvit.kernels import Place, stage_sizes
from elasticvit.page import facts_table, figure, table
from elasticvit.searching.nearest import nearest_published
from elasticvit.searching.report_data import SearchPage, cost_title, price_of
from elasticvit.searching.winner import Winner
from elasticvit.space import SearchSpace
from elasticvit.svg import COLOURS, WIDTH, legend, stacked_bars

NAME, BOXES, ROW, GAP = 50, 270, 32, 2  # pixels: a stage's name, the boxes, a row, between boxes
LEAST = 3.0  # pixels of a side of a box
PARTS = {"downsample": "downsampling", "attention": "attention", "ffn": "FFN"}
KINDS = ("convolution", "transformer")
WITHIN = 1e-6  # share of a cost below which the rest of it is rounding


def winner_section(page: SearchPage, index: int) -> list[str]:
    """HTML of the winner of a goal, by the goal's index."""
    winner, goal, space = page.winners[index], page.goals[index], page.space
    costs = [cost for cost in page.shown_costs if isinstance(cost, PlacedCost)]
    bars = [
        figure(f"where its {_amount(cost)} come from", _bars(cost, winner.arch))
        for cost in costs
        if cost.unit == "ms" or len(costs) == 1
    ]
    return [
        f'<section id="winner{index + 1}"><h2>Winner for {escape(str(goal))}</h2>',
        facts_table(_facts(page, index)),
        '<div class="charts">',
        figure("its stages, a box a block", _drawing(winner.arch, space)),
        *bars,
        "</div><p>A box is wider with the channels of its block and higher with its map. Beside "
        "them: number of blocks, their channels, and the side of the map that leaves them.</p>",
        _stage_table(winner.arch, space, costs),
        *_changes(winner.arch, page),
        "</section>",
    ]


def _amount(cost: CostModel) -> str:
    return f"{cost.unit} of {cost.name}" if cost.unit == "ms" else cost_title(cost)


def _facts(page: SearchPage, index: int) -> dict[str, str]:
    winner = page.winners[index]
    facts = {
        "architecture": str(winner.arch),
        page.what: page.figure(winner.accuracy, winner.error),
    }
    if winner.test_accuracy is not None:
        images = page.result.test_images
        facts["test accuracy"] = f"{winner.test_accuracy:.2f} % on {images:,} images"
    for cap in winner.caps:
        upper = "" if cap.upper is None else f", upper bound {cap.upper:.4g} {cap.unit}"
        where = f"on {cap.place}" if cap.place else cap.unit
        facts[where] = f"{cap.predicted:.4g} {cap.unit}{upper}; at most {cap.target:g} is allowed"
    if all(cap.unit != MacsCost.unit for cap in winner.caps):
        facts["multiply-accumulates"] = f"{winner.macs_m:.4g} M"
    if winner.runner_up is not None:
        known = winner.confidence is not None
        sure = f"; the winner is better: {confidence_text(winner)}" if known else ""
        facts["runner-up"] = f"{winner.runner_up}{sure}"
    for device, reason in winner.untimed.items():
        facts[f"not timed on {device}"] = reason
    return facts


def confidence_text(winner: Winner) -> str:
    """How sure it is that a winner beats its runner-up."""
    return "unknown" if winner.confidence is None else f"{winner.confidence:.0%} sure"


def stage_rows(arch: Arch) -> dict[str, ConvStage | AttnStage]:
    """The stages by name, input to output."""
    rows: dict[str, ConvStage | AttnStage] = {"stem": arch.stem}
    rows |= {f"conv{i}": stage for i, stage in enumerate(arch.conv, 1)}
    rows |= {f"attn{i}": stage for i, stage in enumerate(arch.attn, 1)}
    return rows


def map_sides(arch: Arch, space: SearchSpace) -> dict[str, tuple[int, int]]:
    """Side of the map that enters each stage, and of the one that leaves it, in pixels."""
    sizes = stage_sizes(arch.resolution, space.layout)
    names = list(sizes)
    return {
        name: (sizes[name], sizes[names[min(i + 1, len(names) - 1)]])
        for i, name in enumerate(names)
    }


def _drawing(arch: Arch, space: SearchSpace) -> str:
    """A row of boxes a stage: as many as blocks, widths by channels, heights by map."""
    sides, rows = map_sides(arch, space), stage_rows(arch)
    widest = max(row.width * row.depth + GAP for row in rows.values())
    most = max(row.depth for row in rows.values())
    scale = (BOXES - GAP * most) / widest
    highest = max(sides[name][1] for name in rows)
    parts, said = [], []
    for i, (name, row) in enumerate(rows.items()):
        middle = ROW * i + ROW / 2
        width = max(row.width * scale, LEAST)
        height = max((ROW - 6) * math.sqrt(sides[name][1] / highest), LEAST)
        text = f"{name}: {stage_words(row)}, map {sides[name][0]} to {sides[name][1]}"
        said.append(text)
        colour = COLOURS[0] if isinstance(row, ConvStage) else COLOURS[1]
        boxes = "".join(
            f'<rect x="{NAME + b * (width + GAP):.1f}" y="{middle - height / 2:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" rx="1" fill="{colour}"/>'
            for b in range(row.depth)
        )
        parts += [
            f'<text x="0" y="{middle + 4:.1f}">{name}</text>',
            f"<g><title>{escape(text)}</title>{boxes}</g>",
            f'<text x="{WIDTH}" y="{middle + 4:.1f}" text-anchor="end">'
            f"{row.depth} of {row.width}, map {sides[name][1]}</text>",
        ]
    height = ROW * len(rows)
    label = escape(f"Stages of input {arch.resolution}: {'; '.join(said)}")
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg>{legend(KINDS)}'
    )


def stage_words(row: ConvStage | AttnStage) -> str:
    """The genes of a stage for people."""
    what = f"width {row.width}, depth {row.depth}"
    if isinstance(row, ConvStage):
        return f"{what}, expansion {row.expansion}, kernel {row.kernel}"
    return f"{what}, MLP ratio {row.mlp_ratio}, V scale {row.v_scale}"


def _part(place: Place) -> str:
    if place.part in PARTS:
        return PARTS[place.part]
    return "head" if place.stage == "head" else "convolution"


def by_stage(cost: CostModel, arch: Arch) -> dict[str, dict[str, float]]:
    """Cost by stage and part, input to output, and as the last row what belongs to no kernel.

    Args:
        cost: A `PlacedCost`.
    """
    assert isinstance(cost, PlacedCost)
    found: dict[str, dict[str, float]] = {}
    for place, value in cost.by_place(arch):
        parts = found.setdefault(place.stage, {})
        parts[_part(place)] = parts.get(_part(place), 0.0) + value
    whole = price_of(cost, arch)
    rest = whole - sum(sum(parts.values()) for parts in found.values())
    if abs(rest) > WITHIN * whole:
        found["whole subnet"] = {"of no kernel": rest}
    return found


def _bars(cost: CostModel, arch: Arch) -> str:
    drawn = {
        stage: {part: max(value, 0.0) for part, value in parts.items()}
        for stage, parts in by_stage(cost, arch).items()
    }
    return stacked_bars(drawn, cost.unit)


def _stage_table(arch: Arch, space: SearchSpace, costs: Sequence[CostModel]) -> str:
    sides, rows = map_sides(arch, space), stage_rows(arch)
    sums = [{s: sum(p.values()) for s, p in by_stage(cost, arch).items()} for cost in costs]
    wholes = [price_of(cost, arch) for cost in costs]
    lines = []
    for name in dict.fromkeys(stage for found in sums for stage in found):
        row = rows.get(name)
        genes = ["", "", "", ""]
        if isinstance(row, ConvStage):
            genes = [f"{row.width}", f"{row.depth}", f"{row.expansion}", f"kernel {row.kernel}"]
        elif isinstance(row, AttnStage):
            genes = [f"{row.width}", f"{row.depth}", f"{row.mlp_ratio}", f"V {row.v_scale}"]
        elif name == "first":
            genes[0] = f"{arch.stem.width}"
        side = "{} → {}".format(*sides[name]) if name in sides else ""
        shares = [
            f"{found[name]:.3g} ({100 * found[name] / whole:.0f} %)" if name in found else ""
            for found, whole in zip(sums, wholes, strict=True)
        ]
        lines.append([name, side, *genes, *shares])
    head = ["stage", "map", "width", "depth", "expansion, MLP ratio", "kernel, V scale"]
    names = [
        f"ms on {c.name.removeprefix('latency on ')}" if c.unit == "ms" else c.unit for c in costs
    ]
    lines.append(["sum", *[""] * 5, *(f"{whole:.4g}" for whole in wholes)])
    return table([*head, *names], lines)


def _changes(arch: Arch, page: SearchPage) -> list[str]:
    """What differs from the nearest published architecture; nothing if the space has none."""
    found = nearest_published(arch, page.space)
    if found is None:
        return []
    name, other = found
    rows = [
        [
            "input",
            str(other.resolution),
            str(arch.resolution),
            _change(other.resolution, arch.resolution),
        ]
    ]
    before, after = stage_rows(other), stage_rows(arch)
    for stage, row in after.items():
        old = before[stage]
        changed = [
            f"{gene.replace('mlp_ratio', 'MLP ratio').replace('v_scale', 'V scale')} "
            f"{_change(getattr(old, gene), value)}"
            for gene, value in vars(row).items()
            if getattr(old, gene) != value
        ]
        rows.append([stage, _short(old), _short(row), "; ".join(changed) or "same"])
    for cost in page.shown_costs:
        ours, theirs = price_of(cost, arch), price_of(cost, other)
        title = f"{cost_title(cost)}, {cost.unit}"
        rows.append([title, f"{theirs:.4g}", f"{ours:.4g}", f"{100 * (ours / theirs - 1):+.0f} %"])
    return [
        f"<h3>What changed from {escape(name)}</h3><p>Of the published architectures it is the "
        "nearest by genes: the fewest steps between choices, each gene's whole range counting as "
        "one.</p>",
        table(["stage", name, "winner", "change"], rows),
    ]


def _change(before: int, after: int) -> str:
    return "same" if before == after else f"{before} → {after}"


def _short(row: ConvStage | AttnStage) -> str:
    """A stage as architectures are written."""
    if isinstance(row, ConvStage):
        return f"{row.width}x{row.depth}e{row.expansion}k{row.kernel}"
    return f"{row.width}x{row.depth}m{row.mlp_ratio}v{row.v_scale}"
