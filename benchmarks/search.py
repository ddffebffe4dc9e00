"""Searches compared: how good is what they find after how many evaluations?

    pip install '.[benchmarks]'
    python benchmarks/search.py [--table FILE] [--seeds 10] [--cap 20] [--budgets 50 ... 1311]

The guided search (what `evit-search` does), the paper's evolution, random search and pymoo's
NSGA-II look for the most accurate architecture of `tiny` under a cap of MACs. The accuracies are
those of a really trained supernet (`benchmarks/data`): one regression is fitted to the accuracies
on held-out images, which the searches see through the noise of as many images as were judged, and
another one to those on *test* images, which no search sees and by which all that is found is
judged. Both are an average of boosted trees (xgboost) and a Gaussian process, so that neither has
only the form of the predictor that guides the search; their errors on architectures that they were
not fitted to are in the output.

Every search ends as `evit-search` does: the sixteen that it holds for best are judged once more on
eight times the images, and the best of them is the result. `best` is the mean over the seeds of its
test accuracy, `area` the hypervolume (accuracy above that of the smallest architecture, times the
share of the cap) of the front that a search holds for best, by test accuracies. Gains stand beside
their standard errors over the seeds.

Besides: a part of the space that can be enumerated, where the area of what is found is compared
with that of the true front, and random caps, none of which may be broken. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau
from sklearn.model_selection import KFold

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import MacsCost
from elasticvit.kept_genes import keep_genes
from elasticvit.searching.accuracy_predictor import AccuracyPredictor, ArchFeatures
from elasticvit.searching.caps import Cap, reach
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.evolution import evolve
from elasticvit.searching.goal import Goal, Goals
from elasticvit.searching.guided import Guide
from elasticvit.searching.judge import standard_errors
from elasticvit.searching.pareto import hypervolume, on_front
from elasticvit.space import TINY, SearchSpace

TABLE = Path(__file__).resolve().parent / "data" / "tiny_cifar10.parquet"
BUDGETS = (50, 100, 131, 200, 300, 600, 1311)
PAPER = 1311  # evaluations of the paper's evolution, scaled down as `evit-search` does
FINALISTS, MORE_IMAGES = 16, 8
KEPT = {  # of the part of the space that is enumerated
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
Known = tuple[ArchBatch, FloatArray]  # what a search evaluated, in order, and what it saw


def own_noise(table: pd.DataFrame, images: int) -> float:
    """Standard deviation of an accuracy on the table's images, without what all share, in points:
    from the differences of random pairs, image by image."""
    bits = np.array([np.unpackbits(np.frombuffer(b, np.uint8)) for b in table["search_correct"]])
    correct = bits[:, :images].astype(np.float64)
    rng = np.random.default_rng(0)
    one, other = rng.integers(len(correct), size=(2, 3000))
    variance = (correct[one] - correct[other])[one != other].var(axis=1) / images
    return float(100 * np.sqrt(np.median(variance) / 2))


class Truth:
    """A regression on accuracies of the table: boosted trees and a Gaussian process, averaged."""

    def __init__(self, space: SearchSpace, archs: ArchBatch, accuracy: Any, error: Any) -> None:
        from xgboost import XGBRegressor

        self.features = ArchFeatures(space)
        rng = np.random.default_rng(0)
        self.process = AccuracyPredictor.fit(self.features, archs, accuracy, error, rng=rng)
        self.trees = XGBRegressor(
            n_estimators=300, max_depth=4, learning_rate=0.05, subsample=0.7, n_jobs=1
        )
        self.trees.fit(self.features(archs), accuracy)

    def __call__(self, batch: ArchBatch) -> FloatArray:
        trees = np.asarray(self.trees.predict(self.features(batch)), dtype=np.float64)
        return (trees + self.process.predict(batch)[0]) / 2


class Images:
    """What a search sees: the accuracy on some images, the same each time.

    Architectures are judged on the same images, so only a part of the standard error is each one's
    own: what the bits of the table say (`own_noise`).
    """

    def __init__(self, truth: Truth, noise: float, images: int, seed: int) -> None:
        self.truth, self.images, self.seed, self.noise = truth, images, seed, noise

    def __call__(self, batch: ArchBatch) -> FloatArray:
        luck = [
            np.random.default_rng([self.seed, self.images, *map(int, arch.genes)]).normal()
            for arch in batch
        ]
        seen: FloatArray = self.truth(batch) + self.noise * np.array(luck)
        return np.clip(seen, 0, 100)

    def errors(self, accuracy: FloatArray) -> FloatArray:
        return standard_errors(accuracy, self.images)


def guided(space: SearchSpace, goals: Goals, seen: Images, evaluations: int, seed: int) -> Known:
    """The guided search, with what its predictor makes of all that it saw."""
    config = EvolutionConfig.guided_by(evaluations, at_once=10_000)
    guide = Guide(space=space, goals=goals, config=config, errors=seen.errors)
    rng = np.random.default_rng(seed)
    archive = evolve(space, goals, seen, config, rng=rng, propose=guide)
    return archive.archs, guide.fit(archive, rng).predict(archive.archs)[0]


def bred(space: SearchSpace, goals: Goals, seen: Images, evaluations: int, seed: int) -> Known:
    """The paper's evolution."""
    config = replace(EvolutionConfig.within(evaluations + 10), at_once=10_000)
    archive = evolve(space, goals, seen, config, rng=np.random.default_rng(seed))
    return archive.archs, archive.accuracy


def drawn(space: SearchSpace, goals: Goals, seen: Images, evaluations: int, seed: int) -> Known:
    """Random search."""
    rng = np.random.default_rng(seed)
    found = space.sample(0, rng)
    while len(found) < evaluations:
        more = space.sample(20_000, rng)
        found = found.concat(more.take(goals.loads(more) <= 1)).unique()
    found = found.take(rng.permutation(len(found))[:evaluations])
    return found, seen(found)


def sorted_out(
    space: SearchSpace, goals: Goals, seen: Images, evaluations: int, seed: int
) -> Known:
    """pymoo's NSGA-II over positions of the genes: accuracy and cost, the cap as a constraint."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling

    columns = [np.array(options) for options in space.choices]
    archs: dict[Arch, float] = {}

    class Genes(Problem):
        def __init__(self) -> None:
            most = np.array([len(options) - 1 for options in columns])
            super().__init__(n_var=len(columns), n_obj=2, n_ieq_constr=1, xl=0, xu=most, vtype=int)

        def _evaluate(self, x: Any, out: dict[str, Any], *_: Any, **__: Any) -> None:
            genes = np.stack([options[x[:, i]] for i, options in enumerate(columns)], axis=1)
            batch = space._repaired(genes)
            load = goals.loads(batch)
            values = np.zeros(len(batch))
            for row in np.flatnonzero(load <= 1):  # as with ours, pricing costs nothing
                arch = batch[int(row)]
                if arch not in archs and len(archs) < evaluations:
                    archs[arch] = float(seen(batch.take(slice(row, row + 1)))[0])
                values[row] = archs.get(arch, 0.0)
            out["F"] = np.stack([-values, load], axis=1)
            out["G"] = (load - 1)[:, None]

    algorithm = NSGA2(
        pop_size=min(64, max(12, evaluations // 5)),
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=3, vtype=float, repair=RoundingRepair()),
        mutation=PM(eta=3, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    algorithm.setup(Genes(), termination=("n_gen", 10_000), seed=seed + 1, verbose=False)
    for _ in range(3000):
        if len(archs) >= evaluations or not algorithm.has_next():
            break
        algorithm.next()
    return ArchBatch.of(list(archs)), np.array(list(archs.values()))


WAYS: dict[str, Callable[[SearchSpace, Goals, Images, int, int], Known]] = {
    "guided": guided,
    "evolution": bred,
    "random": drawn,
    "nsga2": sorted_out,
}


def judged(
    goals: Goals, known: Known, thorough: Images, test: Truth, floor: float
) -> tuple[float, float]:
    """Test accuracy of what a search ends with, and area of the front that it holds for best."""
    archs, held = known
    last = archs.take(np.argsort(-held, kind="stable")[:FINALISTS])
    winner = last.take(np.array([int(np.argmax(thorough(last)))]))
    front = archs.take(on_front(np.stack([goals.loads(archs), -held], axis=1)))
    points = np.stack([goals.loads(front), floor - test(front)], axis=1)
    return float(test(winner)[0]), hypervolume(points, (1.0001, 0.0))


def compare(
    space: SearchSpace,
    cap: float,
    truths: Sequence[Truth],
    noise: float,
    images: int,
    options: Any,
) -> dict[str, Any]:
    """All searches at all budgets."""
    goals = Goals((Goal((Cap(cost=MacsCost(space), target=cap),)),))
    search, test = truths
    floor = float(test(ArchBatch.of([space.smallest]))[0])
    found: dict[str, dict[int, list[tuple[float, float]]]] = {way: {} for way in WAYS}
    for seed in range(options.seeds):
        seen = Images(search, noise, images, seed)
        thorough = Images(search, noise / MORE_IMAGES**0.5, images * MORE_IMAGES, seed)
        for way, run in WAYS.items():
            whole = run(space, goals, seen, max(options.budgets), seed) if way != "guided" else None
            for budget in options.budgets:
                known = run(space, goals, seen, budget, seed) if whole is None else None
                if known is None:
                    assert whole is not None
                    known = whole[0].take(slice(0, budget)), whole[1][:budget]
                row = judged(goals, known, thorough, test, floor)
                found[way].setdefault(budget, []).append(row)
    table = {way: {b: np.array(rows) for b, rows in by.items()} for way, by in found.items()}
    budgets = []
    for budget in options.budgets:
        line: dict[str, Any] = {"evaluations": budget}
        for column, name in enumerate(("best", "area")):
            line[name] = {w: round(float(table[w][budget][:, column].mean()), 3) for w in WAYS}
            for way in WAYS:
                if way != "guided":
                    gains = table["guided"][budget][:, column] - table[way][budget][:, column]
                    line.setdefault(f"{name}_gain", {})[way] = _mean_error(gains)
        budgets.append(line)
    few = table["guided"][131] if 131 in options.budgets else None
    result: dict[str, Any] = {"budgets": budgets}
    if few is not None and PAPER in options.budgets:
        gains = few[:, 0] - table["evolution"][PAPER][:, 0]
        result["guided_131_over_evolution_1311"] = _mean_error(gains)
    return result


def _mean_error(gains: FloatArray) -> list[float]:
    """Mean and standard error over the seeds."""
    error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return [round(float(gains.mean()), 3), round(float(error), 3)]


def enumerated(truth: Truth, noise: float, images: int, seeds: int) -> dict[str, Any]:
    """Share of the true front's area that one per cent of the evaluations finds."""
    space = keep_genes(TINY, KEPT)
    every = space.sample(400_000, np.random.default_rng(0)).unique()
    cost = MacsCost(space).price(every)
    values = truth(every)
    low = float(values.min())
    highest = float(cost.max())

    def area(archs: ArchBatch) -> float:
        points = np.stack([MacsCost(space).price(archs) / highest, low - truth(archs)], axis=1)
        return hypervolume(points, (1.0001, 1e-6))

    caps = np.quantile(cost, np.linspace(0.02, 1.0, 8)) * 1.0001
    goals = Goals(tuple(Goal((Cap(cost=MacsCost(space), target=float(c)),)) for c in caps))
    evaluations = len(every) // 100
    shares = []
    for seed in range(seeds):
        archs, _ = guided(space, goals, Images(truth, noise, images, seed), evaluations, seed)
        shares.append(area(archs) / area(every))
    return {
        "architectures": len(every),
        "exact_size": space.size(),
        "evaluations": evaluations,
        "share_of_area": [round(float(np.mean(shares)), 4), round(float(np.min(shares)), 4)],
    }


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


def held_out(space: SearchSpace, table: pd.DataFrame, archs: ArchBatch, part: str) -> Any:
    """Rank correlation and error of the regression on architectures that it was not fitted to."""
    accuracy, error = (table[f"{part}_{what}"].to_numpy() for what in ("accuracy", "error"))
    guess = np.empty(len(archs))
    for fit, rest in KFold(5, shuffle=True, random_state=0).split(guess):
        truth = Truth(space, archs.take(fit), accuracy[fit], error[fit])
        guess[rest] = truth(archs.take(rest))
    return {
        "tau": round(float(kendalltau(guess, accuracy).statistic), 3),
        "rmse": round(float(np.sqrt(np.mean((guess - accuracy) ** 2))), 2),
        "noise": round(float(np.sqrt(np.mean(error**2))), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--cap", type=float, default=20.0, help="MMACs.")
    parser.add_argument("--caps", type=int, default=1000, help="Random caps.")
    parser.add_argument("--budgets", type=int, nargs="*", default=BUDGETS)
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
        "cap_mmacs": options.cap,
        "seeds": options.seeds,
        "own_noise": round(noise, 2),
        **compare(TINY, options.cap, truths, noise, images, options),
        "enumerated": enumerated(truths[0], noise, images, min(options.seeds, 5)),
        "random_caps": random_caps(truths[0], options.caps),
        "seconds": round(time.monotonic() - begun),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
