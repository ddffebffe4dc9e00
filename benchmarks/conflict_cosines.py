"""Cosine similarity of the gradients of pairs of subnets, for `conflict.py`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.training.checkpoint import Checkpoint, load_supernet
from elasticvit.training.data import ImageData
from elasticvit.training.diagnosis import gradient_cosines
from elasticvit.training.levels import Levels
from elasticvit.training.sampling.reservoir import Reservoir

PER_LEVEL = 4  # subnets of each level whose gradients are compared
BATCHES = 4  # that cosines are averaged over
BINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.01)  # of the greatest distance
SEED = 4321


def cosines(runs: Sequence[Path], data: ImageData, levels: Levels) -> dict[str, Any]:
    """Cosine similarity of gradients against the distance of complexity, and of good pairs.

    Args:
        runs: Folders of trainings with memory banks.
        data: The data set that they trained on.
        levels: The complexity levels of their space.

    Returns:
        Rank correlation of cosine and distance over all pairs, the median cosine by the ratio of
        the pairs' MACs, and the median of good pairs and of random pairs of one level.
    """
    distances, values, good, random = [], [], [], []
    for run in runs:
        supernet = load_supernet(run)
        cost, space = MacsCost(supernet.space), supernet.space
        reservoir = Reservoir(space, cost, levels, np.random.default_rng(SEED))
        state = Checkpoint.load(run).sampler
        banks = state.banks if state is not None else None
        archs: list[Arch] = []
        for level in range(len(levels)):
            archs += list(reservoir.draw(level, PER_LEVEL))
        loader = data.loader(
            "train", resolution=max(space.choices[0]), batch_size=64, shuffle=True, augment=True
        )
        batches = [batch for batch, _ in zip(loader, range(BATCHES), strict=False)]
        prices = cost.price(ArchBatch.of(archs))
        table = np.mean([gradient_cosines(supernet, x, y, archs) for x, y in batches], axis=0)
        upper = np.triu_indices(len(archs), 1)
        distances += list(np.abs(np.log(prices[upper[0]] / prices[upper[1]])))
        values += list(table[upper])
        for level in range(len(levels)):
            entries = sorted(banks.entries[level], key=lambda e: e.loss) if banks else []
            best = [
                ArchBatch(np.array([entry.genes], dtype=np.int16), space.layout.n_conv)[0]
                for entry in entries[:PER_LEVEL]
            ]
            if len(best) < PER_LEVEL:
                continue
            of_level = archs[level * PER_LEVEL : (level + 1) * PER_LEVEL]
            pairs = np.triu_indices(PER_LEVEL, 1)
            for chosen, found in ((best, good), (of_level, random)):
                tables = [gradient_cosines(supernet, x, y, chosen) for x, y in batches]
                found += list(np.mean(tables, axis=0)[pairs])
    far = max(distances)
    shares = np.array(distances) / far
    bins = []
    for low, high in pairwise(BINS):
        inside = np.array(values)[(shares >= low) & (shares < high)]
        if len(inside):
            bins.append(
                {
                    "macs_ratio": [round(float(np.exp(edge * far)), 2) for edge in (low, high)],
                    "median": round(float(np.median(inside)), 3),
                    "pairs": len(inside),
                }
            )
    found = {
        "rank_correlation": round(
            float(pd.Series(distances).corr(pd.Series(values), method="spearman")), 3
        ),
        "by_distance": bins,
    }
    if good:
        found["good_pairs"] = round(float(np.median(good)), 3)
        found["random_pairs"] = round(float(np.median(random)), 3)
    return found
