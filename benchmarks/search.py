"""Searches compared: how good is what they find after how many evaluations?

    pip install '.[benchmarks]'
    python benchmarks/search.py [--table FILE] [--seeds 10] [--caps 10 14 20 28 40]
                                [--budgets 50 ... 1311] [--only searches enumerated caps]

The guided search (what `evit-search` does), the paper's evolution, random search and pymoo's
NSGA-II look for the most accurate architectures of `tiny` under several caps of MACs in one search.
The accuracies are those of a really trained supernet (`benchmarks/data`): one regression is fitted
to the accuracies on held-out images, which the searches see through the noise of as many images as
were judged, and another one to those on *test* images, which no search sees. Both are an average
of boosted trees (xgboost) and a Gaussian process, so that neither has only the form of the
predictor that guides the search; their errors on architectures that they were not fitted to are in
the output.

Every search ends as `evit-search` does: the sixteen that it holds for best under a cap are judged
once more on eight times the images, and the best of them is the winner. `test_best` is the accuracy
of the winners by the test images' regression, a mean over caps and seeds; `held_out_best` the same
by the regression that the searches climb, without its noise. `test_area` and `held_out_area` are
the hypervolume (accuracy above that of the smallest architecture, times the share of the largest
cap) of the front that a search holds for best. Gains stand beside their standard errors over the
seeds.

Besides: a part of the space that can be enumerated, where a search for the whole front (what
`evit-search --front` does) is held against the true front: `share_of_area` is the area of the front
of all that it judged, `share_of_area_held` that of those which it holds for the front, both by the
truth without noise. It is repeated with the noise of more images, and without any, which tells
what of the missing share is the noise's. And random caps, none of which may be broken. One JSON
line.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from search_truth import Images, Truth, held_out, own_noise
from search_ways import WAYS, Known, guided

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import MacsCost
from elasticvit.flows.search_front import front_targets
from elasticvit.kept_genes import keep_genes
from elasticvit.searching.caps import Cap, reach
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.evolution import evolve
from elasticvit.searching.goal import Goal, Goals
from elasticvit.searching.pareto import hypervolume, on_front
from elasticvit.space import TINY

TABLE = Path(__file__).resolve().parent / "data" / "tiny_cifar10.parquet"
BUDGETS = (50, 100, 131, 200, 300, 600, 1311)
CAPS = (10.0, 14.0, 20.0, 28.0, 40.0)  # MMACs
PAPER = 1311  # evaluations of the paper's evolution, scaled down as `evit-search` does
FEW = 131  # a tenth of them
FINALISTS, MORE_IMAGES = 16, 8
FRONT_TARGETS = 32  # of the front of the part of the space that is enumerated
FRONT_IMAGES = (1.0, 4.0, math.inf)  # that an architecture is judged on there, times the table's
KEPT = {  # the genes that are kept there
    "stem.width": 8,
    "stem.depth": 1,
    "stem.kernel": 3,
    "conv1.kernel": 3,
    "conv2.kernel": 3,
    "attn1.v_scale": 3,
    "attn2.v_scale": 3,
    "conv1.expansion": 3,
    "conv2.expansion": 3,
    "conv1.width": 16,
    "conv1.depth": 2,
    "attn1.mlp_ratio": 3,
}
MOST = 10**9  # images that are as good as no noise
PARTS = ("searches", "enumerated", "caps")
FIGURES = ("held_out_best", "held_out_area", "test_best", "test_area")


def judged(goals: Goals, known: Known, thorough: Images, truths: Sequence[Truth]) -> list[float]:
    """What a search ends with: accuracies of its winners, a mean over the goals, and areas of the
    front that it holds for best; each by every truth, without noise."""
    archs, held = known
    loads = goals.loads(archs)
    front = archs.take(on_front(np.stack([loads, -held], axis=1)))
    winners = []
    for goal in goals:
        under = np.flatnonzero(goal.loads(archs) <= 1)
        last = archs.take(under[np.argsort(-held[under], kind="stable")[:FINALISTS]])
        winners.append(last[int(np.argmax(thorough(last)))])
    found = []
    for truth in truths:
        floor = float(truth(ArchBatch.of([TINY.smallest]))[0])
        points = np.stack([goals.loads(front), floor - truth(front)], axis=1)
        found += [float(truth(ArchBatch.of(winners)).mean()), hypervolume(points, (1.0001, 0.0))]
    return found


def compare(truths: Sequence[Truth], noise: float, images: int, options: Any) -> dict[str, Any]:
    """All searches at all budgets."""
    cost = MacsCost(TINY)
    goals = Goals(tuple(Goal((Cap(cost=cost, target=cap),)) for cap in options.caps))
    found: dict[str, dict[int, list[list[float]]]] = {way: {} for way in WAYS}
    for seed in range(options.seeds):
        seen = Images(truths[0], noise, images, seed)
        thorough = Images(truths[0], noise / MORE_IMAGES**0.5, images * MORE_IMAGES, seed)
        for way, run in WAYS.items():
            whole = None if way == "guided" else run(TINY, goals, seen, max(options.budgets), seed)
            for budget in options.budgets:
                if whole is None:  # how bold it is depends on how much is left
                    known = run(TINY, goals, seen, budget, seed)
                else:
                    known = whole[0].take(slice(0, budget)), whole[1][:budget]
                found[way].setdefault(budget, []).append(judged(goals, known, thorough, truths))
        print(f"seed {seed + 1} of {options.seeds}", file=sys.stderr, flush=True)
    table = {way: {b: np.array(rows) for b, rows in by.items()} for way, by in found.items()}
    budgets = []
    for budget in options.budgets:
        line: dict[str, Any] = {"evaluations": budget}
        for column, name in enumerate(FIGURES):
            line[name] = {w: round(float(table[w][budget][:, column].mean()), 3) for w in WAYS}
            line[f"{name}_gain"] = {
                way: _mean_error(table["guided"][budget][:, column] - rows[budget][:, column])
                for way, rows in table.items()
                if way != "guided"
            }
        budgets.append(line)
    result: dict[str, Any] = {"budgets": budgets}
    if {FEW, PAPER} <= set(options.budgets):
        gains = table["guided"][FEW] - table["evolution"][PAPER]
        result["guided_131_over_evolution_1311"] = {
            name: _mean_error(gains[:, column]) for column, name in enumerate(FIGURES)
        }
    return result


def _mean_error(gains: FloatArray) -> list[float]:
    """Mean and standard error over the seeds."""
    error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return [round(float(gains.mean()), 3), round(float(error), 3)]


def enumerated(
    truth: Truth, noise: float, images: int, seeds: Sequence[int], kept: Mapping[str, int] = KEPT
) -> dict[str, Any]:
    """Share of the true front's area that a search for it finds with one per cent of the
    evaluations, by the number of images that these are judged on."""
    space = keep_genes(TINY, kept)
    every = space.sample(400_000, np.random.default_rng(0)).unique()
    macs = MacsCost(space)
    cost = macs.price(every)
    values = truth(every)
    low = float(values.min())
    highest = float(cost.max())

    def area(archs: ArchBatch) -> float:
        points = np.stack([macs.price(archs) / highest, low - truth(archs)], axis=1)
        return hypervolume(points, (1.0001, 1e-6))

    targets = front_targets(macs, space, FRONT_TARGETS, None)
    goals = Goals(tuple(Goal((Cap(cost=macs, target=t),)) for t in targets), front=True)
    evaluations, whole = len(every) // 100, area(every)
    found = []
    for factor in FRONT_IMAGES:
        shares, shares_held = [], []
        for seed in seeds:
            seen = Images(truth, noise / factor**0.5, int(min(images * factor, MOST)), seed)
            archs, held = guided(space, goals, seen, evaluations, seed)
            front = archs.take(on_front(np.stack([macs.price(archs), -held], axis=1)))
            shares.append(area(archs) / whole)
            shares_held.append(area(front) / whole)
        found.append(
            {
                "images": None if math.isinf(factor) else round(images * factor),
                "share_of_area": _mean_least(shares),
                "share_of_area_held": _mean_least(shares_held),
            }
        )
        print("front", found[-1], file=sys.stderr, flush=True)
    return {
        "architectures": len(every),
        "exact_size": space.size(),
        "evaluations": evaluations,
        "by_images": found,
    }


def _mean_least(shares: Sequence[float]) -> list[float]:
    return [round(float(np.mean(shares)), 4), round(float(np.min(shares)), 4)]


def random_caps(truth: Truth, count: int) -> dict[str, Any]:
    """Small searches under random caps, of one cost or two; how many caps were broken."""
    rng = np.random.default_rng(0)
    macs = MacsCost(TINY)
    can = reach(TINY, macs.price, rng)
    broken = 0
    for number in range(count):
        target = float(np.exp(rng.uniform(np.log(can.low * 1.01), np.log(can.high))))
        goals = Goals((Goal((Cap(cost=macs, target=target),)),))
        config = EvolutionConfig(population=8, crossover=8, mutation=8, generations=2, at_once=99)
        archive = evolve(TINY, goals, truth, config, rng=np.random.default_rng(number))
        broken += int((macs.price(archive.archs) > target).any())
    return {"caps": count, "broken": broken}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--caps", type=float, nargs="*", default=CAPS, help="MMACs.")
    parser.add_argument("--random-caps", type=int, default=1000, help="Number of random caps.")
    parser.add_argument("--budgets", type=int, nargs="*", default=BUDGETS)
    parser.add_argument("--only", choices=PARTS, nargs="*", default=PARTS, help="Parts to run.")
    options = parser.parse_args()
    begun = time.monotonic()
    table = pd.read_parquet(options.table)
    archs = ArchBatch.of([Arch.parse(text) for text in table["architecture"]])
    images = int(table["search_images"].iloc[0])
    noise = own_noise(table, images)
    truths = [
        Truth(TINY, archs, table[f"{p}_accuracy"].to_numpy(), table[f"{p}_error"].to_numpy())
        for p in ("search", "test")
    ]
    line = {
        "benchmark": "search",
        "table": options.table.name,
        "archs": len(archs),
        "images": images,
        "held_out": {part: held_out(TINY, table, archs, part) for part in ("search", "test")},
        "caps_mmacs": list(options.caps),
        "seeds": options.seeds,
        "own_noise": round(noise, 2),
    }
    if "searches" in options.only:
        line |= compare(truths, noise, images, options)
    if "enumerated" in options.only:
        seeds = range(min(options.seeds, 5))
        line["enumerated"] = enumerated(truths[0], noise, images, seeds)
    if "caps" in options.only:
        line["random_caps"] = random_caps(truths[0], options.random_caps)
    line["seconds"] = round(time.monotonic() - begun)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
