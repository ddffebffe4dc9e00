"""How well do proxies order architectures by accuracy, over a space and at a given cost?

    python benchmarks/proxies.py [--table FILE] [--networks 300]

Kendall's rank correlation of each proxy with the test accuracies of a trained supernet's subnets
(`benchmarks/data`): over all of them; among those drawn at random; among pairs whose MACs differ by
less than ten per cent, which is what a search under a cap has to tell apart. Nothing is fitted to
these accuracies. With `--networks N`, zero-cost proxies that run untrained networks are held
against N of the architectures, with the others on the same ones. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.searching.proxy import PROXIES
from elasticvit.space import TINY

TABLE = Path(__file__).resolve().parent / "data" / "tiny_cifar10.parquet"
NEAR = 1.1  # ratio of MACs of two architectures of about the same cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--networks", type=int, default=300, help="Architectures that are run.")
    options = parser.parse_args()
    table = pd.read_parquet(options.table)
    archs = ArchBatch.of([Arch.parse(text) for text in table["architecture"]])
    accuracy = table["test_accuracy"].to_numpy()
    macs = MacsCost(TINY).price(archs)
    drawn = (table["born"] == 0).to_numpy()
    found = {}
    for name, proxy in PROXIES.items():
        score = proxy.of(TINY)(archs)
        found[name] = {
            "all": _tau(score, accuracy),
            "drawn": _tau(score[drawn], accuracy[drawn]),
            "same_macs": near_pairs(score, accuracy, macs),
            "same_macs_drawn": near_pairs(score[drawn], accuracy[drawn], macs[drawn]),
        }
    line = {
        "benchmark": "proxies",
        "table": options.table.name,
        "archs": len(archs),
        "error_points": round(float(table["test_error"].median()), 2),
        "ceiling": held_out_images(table, macs),
        "tau": found,
        "networks": run_networks(archs, accuracy, macs, options.networks),
    }
    print(json.dumps(line))


def run_networks(archs: ArchBatch, accuracy: Any, macs: Any, count: int) -> dict[str, Any]:
    """Proxies that run networks, and the others, on some of the architectures."""
    from network_proxies import network_scores

    rows = np.random.default_rng(0).permutation(len(archs))[:count]
    batch, accuracy, macs = archs.take(rows), accuracy[rows], macs[rows]
    begun = time.monotonic()
    scores = network_scores(batch, TINY.layout)
    each = (time.monotonic() - begun) / max(len(batch), 1)
    scores |= {name: proxy.of(TINY)(batch) for name, proxy in PROXIES.items()}
    tau = {
        name: {"all": _tau(score, accuracy), "same_macs": near_pairs(score, accuracy, macs)}
        for name, score in scores.items()
    }
    return {"archs": len(batch), "seconds_each": round(each, 3), "tau": tau}


def _tau(score: Any, accuracy: Any) -> float:
    return round(float(kendalltau(score, accuracy).statistic), 3)


def near_pairs(score: Any, accuracy: Any, macs: Any) -> float:
    """Pairs of about the same MACs in the same order less those in the other, over all of them."""
    rows, others = np.triu_indices(len(score), 1)
    near = np.abs(np.log(macs[rows] / macs[others])) < np.log(NEAR)
    one, other = rows[near], others[near]
    agree = np.sign(score[one] - score[other]) * np.sign(accuracy[one] - accuracy[other])
    return round(float(agree.mean()), 3)


def held_out_images(table: pd.DataFrame, macs: Any) -> dict[str, float]:
    """The same figures of the accuracies on other images, which no proxy could exceed by much."""
    score, accuracy = table["search_accuracy"].to_numpy(), table["test_accuracy"].to_numpy()
    return {"all": _tau(score, accuracy), "same_macs": near_pairs(score, accuracy, macs)}


if __name__ == "__main__":
    main()
