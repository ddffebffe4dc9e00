"""Evolution against random search, with the same number of evaluations under the same cap.

    python benchmarks/search.py [--run DIR] [--steps 400] [--sampled 240] [--seeds 10]

One JSON line, after three to four minutes of one core. Searches of three sizes are compared: the
smallest that `evit-search` runs, the one that it takes for `tiny` on two cores, and a large one.

The accuracy that is searched for is a regression (a random forest, so that genes interact) fitted
to recalibrated accuracies of random architectures of the `tiny` space, with the weights of a
supernet that was really trained on digits: by `evit-train` (--run), or here, for some steps. A
regression is used because it answers at once, so that many searches can be compared; its error on
architectures that it was not fitted to is in the output. A gain may be one of the regression
alone; so what both searches chose is cut out of the supernet, recalibrated and judged on the test
images, which neither the weights nor the regression have seen. Seeds that choose the same
architecture are no independent witnesses there: the output says how many are distinct.

The random search draws uniformly until as many distinct architectures are under the cap as the
evolution evaluated.

It runs on one thread: the networks are so small that several wait for each other more than they
work, and on a machine with other work they took nine times the processor time.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.ensemble import RandomForestRegressor

from elasticvit.arch import Arch, ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import MacsCost
from elasticvit.nn import Supernet
from elasticvit.searching.caps import Cap, loads
from elasticvit.searching.config import EvolutionConfig
from elasticvit.searching.evaluate import Sizes, SupernetEvaluator, accuracy, quick_gmacs
from elasticvit.searching.evolution import Accuracy, evolve
from elasticvit.searching.pareto import hypervolume
from elasticvit.searching.population import initial_population
from elasticvit.space import TINY, SearchSpace
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.data import ImageData, open_data

CAP_MMACS = 12.0
BUDGETS = (110, 320, 1320)  # steps of the ladder of sizes
WAYS = ("evolution", "random")
BATCH_SIZE, LEARNING_RATE = 32, 2e-3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, default=None)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--sampled", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = open_data("digits")
    supernet = load_supernet(options.run) if options.run else train(data, options.steps)
    cap = Cap(cost=MacsCost(supernet.space), target=CAP_MMACS)
    proxy, evaluator, facts = fit_proxy(supernet, data, cap, options.sampled)
    judge = Judge(evaluator)
    budgets = [
        compare(supernet.space, cap, proxy, judge, EvolutionConfig.within(budget), options.seeds)
        for budget in BUDGETS
    ]
    result: dict[str, Any] = {"benchmark": "search", "cap_mmacs": cap.target, **facts}
    print(json.dumps(result | {"seeds": options.seeds, "budgets": budgets}))


def train(data: ImageData, steps: int) -> Supernet:
    """A supernet after some steps of single random architectures under the cap."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    net = Supernet(TINY).train()
    archs = random_search(TINY, Cap(cost=MacsCost(TINY), target=CAP_MMACS), steps, rng)
    optimiser = torch.optim.AdamW(net.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    loader = data.loader(
        "train",
        resolution=max(TINY.choices[0]),
        batch_size=BATCH_SIZE,
        augment=True,
        shuffle=True,
        drop_last=True,
    )
    for step in range(steps):
        epoch, at = divmod(step, len(loader))
        if at == 0:
            batches = loader.epoch(epoch)
        images, labels = next(batches)
        loss = F.cross_entropy(net(images, archs[step]), labels)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return net.eval()


def fit_proxy(
    supernet: Supernet, data: ImageData, cap: Cap, count: int
) -> tuple[Accuracy, SupernetEvaluator, dict[str, Any]]:
    """Accuracy as a function of genes, what it was learnt from, and how well it tells
    architectures apart."""
    rng = np.random.default_rng(1)
    archs = initial_population(supernet.space, [cap], count, rng, lowest_share=0.25)
    archs = archs.take(rng.permutation(len(archs)))
    macs_m = float(np.median(cap.cost.price(archs)))
    evaluator = SupernetEvaluator(supernet, data, Sizes.within(quick_gmacs("cpu"), macs_m, data))
    measured = evaluator(archs)
    held = len(archs) // 4
    forest = RandomForestRegressor(200, min_samples_leaf=2, random_state=0)
    forest.fit(archs.genes[held:], measured[held:])
    guess = forest.predict(archs.genes[:held])
    facts = {
        "evaluated": len(archs),
        "accuracy_quartiles": np.quantile(measured, [0, 0.25, 0.5, 0.75, 1]).round(2).tolist(),
        "proxy_correlation_held_out": round(float(np.corrcoef(guess, measured[:held])[0, 1]), 3),
        "proxy_rmse_held_out": round(float(np.sqrt(np.mean((guess - measured[:held]) ** 2))), 2),
    }
    forest.fit(archs.genes, measured)

    def proxy(batch: ArchBatch) -> FloatArray:
        return np.asarray(forest.predict(batch.genes), dtype=np.float64)

    return proxy, evaluator, facts


class Judge:
    """Accuracy on the test images, in percent, with the supernet's own weights."""

    def __init__(self, evaluator: SupernetEvaluator) -> None:
        self.evaluator = evaluator
        self.known: dict[Arch, float] = {}

    def __call__(self, arch: Arch) -> float:
        if arch not in self.known:
            subnet, _ = self.evaluator.judge(arch)
            loader = self.evaluator.data.loader(
                "test", resolution=arch.resolution, batch_size=BATCH_SIZE
            )
            self.known[arch] = accuracy(subnet, loader)
        return self.known[arch]


def compare(
    space: SearchSpace,
    cap: Cap,
    proxy: Accuracy,
    judge: Judge,
    config: EvolutionConfig,
    seeds: int,
) -> dict[str, Any]:
    """Best accuracy, covered area and the judgement of what was chosen, over seeds."""
    config = replace(config, at_once=10_000)
    rows, chosen = [], []
    for seed in range(seeds):
        archive = evolve(space, [cap], proxy, config, rng=np.random.default_rng(seed))
        drawn = random_search(space, cap, len(archive.archs), np.random.default_rng(seed))
        row = []
        for archs, values in ((archive.archs, archive.accuracy), (drawn, proxy(drawn))):
            best = archs[int(np.argmax(values))]
            points = np.stack([loads([cap], archs), -values], axis=1)
            row.append((values.max(), hypervolume(points, (1.0001, 0.0)), judge(best)))
            chosen.append(best)
        rows.append(row)
    table = np.array(rows)  # (seeds, 2 ways, 3 figures)
    found, area, judged = (
        dict(zip(WAYS, mean, strict=True)) for mean in table.mean(axis=0).T.round(3).tolist()
    )
    gain, _, judged_gain = (table[:, 0] - table[:, 1]).T
    return {
        "evaluations": config.evaluations,
        "found": found,
        "found_gain_points": gain.round(3).tolist(),
        "found_won": int((gain > 0).sum()),
        "area": area,
        "judged": judged,
        "judged_gain_points": judged_gain.round(3).tolist(),
        "judged_won": int((judged_gain > 0).sum()),
        "judged_lost": int((judged_gain < 0).sum()),
        "distinct": {way: len(set(chosen[i::2])) for i, way in enumerate(WAYS)},
    }


def random_search(space: SearchSpace, cap: Cap, count: int, rng: np.random.Generator) -> ArchBatch:
    """Distinct architectures drawn uniformly from those under the cap."""
    found = space.sample(0, rng)
    while len(found) < count:
        drawn = space.sample(20_000, rng)
        found = found.concat(drawn.take(loads([cap], drawn) <= 1)).unique()
    return found.take(rng.permutation(len(found))[:count])


if __name__ == "__main__":
    main()
