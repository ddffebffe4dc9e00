"""Evolution against random search, with the same number of evaluations under the same cap.

    python benchmarks/search.py [--run DIR] [--train-seconds 60] [--sampled 240] [--seeds 10]

One JSON line. The accuracy that is searched for is a regression (a random forest, so that genes
interact) fitted to recalibrated accuracies of random architectures of the `tiny` space, with
the weights of a supernet that was really trained on digits: by `evit-train` (--run), or
here, for some seconds. A regression is used because it answers at once, so that many searches
can be compared; its error on architectures that it was not fitted to is in the output.

The random search draws uniformly until as many distinct architectures are under the cap as the
evolution evaluated.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.ensemble import RandomForestRegressor

from elasticvit.arch import ArchBatch
from elasticvit.cost import FloatArray, MacsCost
from elasticvit.nn import Supernet
from elasticvit.search.caps import Cap, initial_population, loads
from elasticvit.search.evaluate import QUICK_GMACS, Sizes, SupernetEvaluator
from elasticvit.search.evolution import Accuracy, EvolutionConfig, evolve
from elasticvit.search.pareto import hypervolume
from elasticvit.space import TINY
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.data import ImageData, open_data

SIZES = {"small": EvolutionConfig.within(320), "medium": EvolutionConfig.within(1300)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, default=None)
    parser.add_argument("--train-seconds", type=float, default=60.0)
    parser.add_argument("--sampled", type=int, default=240)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    data = open_data("digits")
    supernet = load_supernet(options.run) if options.run else train(data, options.train_seconds)
    cost = MacsCost(supernet.space)
    cap = Cap(cost=cost, limit=12.0)
    proxy, facts = fit_proxy(supernet, data, cap, options.sampled)
    result: dict[str, Any] = {"benchmark": "search", "cap_mmacs": cap.limit, **facts}
    for name, config in SIZES.items():
        result[name] = compare(supernet, cap, proxy, config, options.seeds)
    print(json.dumps(result))


def train(data: ImageData, seconds: float) -> Supernet:
    """A supernet after some seconds of single random architectures at low resolution."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    net = Supernet(TINY).train()
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3)
    start, epoch = time.monotonic(), 0
    while time.monotonic() - start < seconds:
        loader = data.loader(
            "train", resolution=32, batch_size=64, shuffle=True, seed=epoch, drop_last=True
        )
        for images, labels in loader:
            loss = F.cross_entropy(net(images, TINY.sample(1, rng)[0]), labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            if time.monotonic() - start >= seconds:
                break
        epoch += 1
    return net.eval()


def fit_proxy(
    supernet: Supernet, data: ImageData, cap: Cap, count: int
) -> tuple[Accuracy, dict[str, Any]]:
    """Accuracy as a function of genes, and how well it tells architectures apart."""
    rng = np.random.default_rng(1)
    archs = initial_population(supernet.space, [cap], count, rng, lowest_share=0.25)
    archs = archs.take(rng.permutation(len(archs)))
    macs_m = float(np.median(cap.cost.price(archs)))
    evaluator = SupernetEvaluator(supernet, data, Sizes.within(QUICK_GMACS["cpu"], macs_m, data))
    start = time.perf_counter()
    accuracy = evaluator(archs)
    seconds = (time.perf_counter() - start) / len(archs)
    held = len(archs) // 4
    forest = RandomForestRegressor(200, min_samples_leaf=2, random_state=0)
    forest.fit(archs.genes[held:], accuracy[held:])
    guess = forest.predict(archs.genes[:held])
    facts = {
        "evaluated": len(archs),
        "seconds_an_evaluation": round(seconds, 3),
        "accuracy_quartiles": np.quantile(accuracy, [0, 0.25, 0.5, 0.75, 1]).round(2).tolist(),
        "proxy_correlation_held_out": round(float(np.corrcoef(guess, accuracy[:held])[0, 1]), 3),
        "proxy_rmse_held_out": round(float(np.sqrt(np.mean((guess - accuracy[:held]) ** 2))), 2),
    }
    forest.fit(archs.genes, accuracy)

    def proxy(batch: ArchBatch) -> FloatArray:
        return np.asarray(forest.predict(batch.genes), dtype=np.float64)

    return proxy, facts


def compare(
    supernet: Supernet, cap: Cap, proxy: Accuracy, config: EvolutionConfig, seeds: int
) -> dict[str, Any]:
    """Best accuracy and covered area of both searches, over seeds."""
    config = EvolutionConfig(**{**vars(config), "at_once": 10_000})
    rows = []
    for seed in range(seeds):
        archive = evolve(supernet.space, [cap], proxy, config, rng=np.random.default_rng(seed))
        drawn = random_search(supernet, cap, len(archive.archs), np.random.default_rng(seed))
        load, accuracy = loads([cap], drawn), proxy(drawn)
        rows.append(
            (
                archive.accuracy.max(),
                accuracy.max(),
                hypervolume(np.stack([archive.load, -archive.accuracy], axis=1), (1.0001, 0.0)),
                hypervolume(np.stack([load, -accuracy], axis=1), (1.0001, 0.0)),
            )
        )
    table = np.array(rows)
    best, random, area, random_area = table.mean(axis=0)
    return {
        "evaluations": config.evaluations,
        "evolution_best": round(float(best), 3),
        "random_best": round(float(random), 3),
        "gain_points": round(float(best - random), 3),
        "gain_points_worst_seed": round(float((table[:, 0] - table[:, 1]).min()), 3),
        "seeds_won": int((table[:, 0] > table[:, 1]).sum()),
        "seeds": seeds,
        "evolution_area": round(float(area), 3),
        "random_area": round(float(random_area), 3),
    }


def random_search(supernet: Supernet, cap: Cap, count: int, rng: np.random.Generator) -> ArchBatch:
    """Distinct architectures drawn uniformly from those under the cap."""
    found = supernet.space.sample(0, rng)
    while len(found) < count:
        drawn = supernet.space.sample(20_000, rng)
        found = found.concat(drawn.take(loads([cap], drawn) <= 1)).unique()
    return found.take(rng.permutation(len(found))[:count])


if __name__ == "__main__":
    main()
