"""What the searches of `search.py` see, and what they are judged by: regressions on the accuracies
of a really trained supernet."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau
from sklearn.model_selection import KFold

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.searching.accuracy_predictor import AccuracyPredictor, ArchFeatures
from elasticvit.searching.judge import standard_errors
from elasticvit.space import SearchSpace


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
