"""Accuracy of an architecture from those that were judged before, with its uncertainty.

A Gaussian process: a linear part over genes and the logarithm of MACs, and a smooth part over them
(Matern 5/2; one length scale for each kind of gene, so that a few dozen architectures are enough to
fit them). The standard errors of the judgements are known, so what is noise is not taken for a
difference between architectures. Its few scales are fitted by maximum a posteriori (Rasmussen and
Williams, "Gaussian Processes for Machine Learning", 2006, sections 2.2, 2.7 and 5.4.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular  # type: ignore[import-untyped]

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray, IndexArray
from elasticvit.cost import MacsCost
from elasticvit.likelihood import Fit, likelihood, most_probable
from elasticvit.linear_algebra import one_blas_thread
from elasticvit.space import SearchSpace

KINDS = (("resolution",), ("width",), ("depth",), ("expansion", "mlp_ratio"), ("kernel", "v_scale"))
SCALES_FROM = 250  # architectures that the scales are fitted to, at most
AT_ONCE = 4096  # architectures that are predicted in one go
JITTER = 1e-8
ROOT5 = np.sqrt(5.0)
# logarithms of: linear part, smooth part, what neither explains (each in standard deviations of the
# accuracies), share of the standard errors that is each architecture's own (all are judged on the
# same images, whose luck they share), then length scales of the kinds of genes and of the MACs (in
# ranges of a gene)
START = np.log([1.0, 0.5, 0.1, 0.6, *[1.5] * (len(KINDS) + 1)])
SPREAD = np.array([1.0, 1.0, 1.0, 0.4, *[0.7] * (len(KINDS) + 1)])  # prior standard deviations
LENGTHS = 4  # where the length scales begin


class ArchFeatures:
    """Architectures of a space as numbers: genes from 0 to 1, then the logarithm of the MACs.

    Args:
        space: The space.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.macs = MacsCost(space)
        ends = np.log(self.macs.price(ArchBatch.of([space.smallest, space.largest])))
        self.low, self.range = float(ends[0]), float(max(ends[1] - ends[0], 1e-9))
        self.columns = [i for i, options in enumerate(space.choices) if len(options) > 1]
        self.least = np.array([space.choices[i][0] for i in self.columns], dtype=np.float64)
        most = np.array([space.choices[i][-1] for i in self.columns], dtype=np.float64)
        self.ranges = most - self.least
        self.kinds: IndexArray = np.array([_kind(space.names[i]) for i in self.columns] + [-1])

    def __call__(self, batch: ArchBatch) -> FloatArray:
        """Features, shape (n, features)."""
        genes = (batch.genes[:, self.columns] - self.least) / self.ranges
        macs = (np.log(self.macs.price(batch)) - self.low) / self.range
        features: FloatArray = np.column_stack([genes, macs])
        return features


def _kind(gene: str) -> int:
    return next(i for i, names in enumerate(KINDS) if gene.rpartition(".")[2] in names)


@dataclass(frozen=True, kw_only=True, eq=False)
class AccuracyPredictor:
    """A fitted Gaussian process.

    Attributes:
        features: Features of the space.
        scales: Logarithms of the scales, as in `START`.
        x: Features of the architectures that it was fitted to, shape (n, features).
        noise: Variances of their judgements by their standard errors, in squared standard
            deviations of them, shape (n,).
        centre, deviation: Mean and standard deviation of their accuracies.
        factor: Lower triangular factor of their covariance, shape (n, n).
        weights: Their covariance's inverse times their accuracies, shape (n,).
    """

    features: ArchFeatures
    scales: FloatArray
    x: FloatArray
    noise: FloatArray
    centre: float
    deviation: float
    factor: FloatArray
    weights: FloatArray

    @classmethod
    @one_blas_thread()
    def fit(
        cls,
        features: ArchFeatures,
        archs: ArchBatch,
        accuracy: FloatArray,
        error: FloatArray,
        *,
        rng: np.random.Generator,
    ) -> AccuracyPredictor:
        """Fit to judged architectures.

        Args:
            features: Features of their space.
            archs: The architectures, n of them, at least two.
            accuracy: Their accuracies, shape (n,).
            error: Standard errors of these, shape (n,).
            rng: Chooses the ones that the scales are fitted to where there are many.
        """
        x = features(archs)
        centre, deviation = float(accuracy.mean()), float(max(accuracy.std(), 1e-6))
        y, noise = (accuracy - centre) / deviation, (error / deviation) ** 2
        rows = np.arange(len(y))
        if len(y) > SCALES_FROM:
            rows = rng.choice(len(y), SCALES_FROM, replace=False)
        scales = _most_likely(x[rows], y[rows], noise[rows], features.kinds)
        factor = _factor(scales, x, noise, features.kinds)
        weights = np.asarray(cho_solve((factor, True), y))
        return cls(
            features=features,
            scales=scales,
            x=x,
            noise=noise,
            centre=centre,
            deviation=deviation,
            factor=factor,
            weights=weights,
        )

    @property
    def own_variance(self) -> float:
        """Variance of a judgement that is its architecture's own, in squared points."""
        return float(np.median(self.noise) * np.exp(2 * self.scales[3])) * self.deviation**2

    @one_blas_thread()
    def predict(self, batch: ArchBatch) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the true accuracies, shapes (n,)."""
        means, deviations = [], []
        for start in range(0, len(batch), AT_ONCE):
            x = self.features(batch.take(slice(start, start + AT_ONCE)))
            across = self._across(x)
            means.append(across @ self.weights)
            half = solve_triangular(self.factor, across.T, lower=True)
            prior = _variance(self.scales, x)
            deviations.append(np.sqrt(np.maximum(prior - (half**2).sum(0), 1e-12)))
        if not means:
            return np.empty(0), np.empty(0)
        mean = self.centre + self.deviation * np.concatenate(means)
        return mean, self.deviation * np.concatenate(deviations)

    @one_blas_thread()
    def joint(self, batch: ArchBatch) -> tuple[FloatArray, FloatArray]:
        """Mean, shape (n,), and covariance, shape (n, n), of the true accuracies."""
        x = self.features(batch)
        across = self._across(x)
        half = solve_triangular(self.factor, across.T, lower=True)
        covariance = _covariance(self.scales, x, x, self.features.kinds) - half.T @ half
        mean = self.centre + self.deviation * (across @ self.weights)
        return mean, self.deviation**2 * covariance

    def _across(self, x: FloatArray) -> FloatArray:
        return _covariance(self.scales, x, self.x, self.features.kinds)


def _covariance(scales: FloatArray, a: FloatArray, b: FloatArray, kinds: IndexArray) -> FloatArray:
    linear, smooth = np.exp(2 * scales[:2])
    weights = np.exp(-scales[LENGTHS:])[kinds]
    a_scaled, b_scaled = a * weights, b * weights
    square = (a_scaled**2).sum(1)[:, None] + (b_scaled**2).sum(1)[None]
    r = np.sqrt(np.maximum(square - 2 * a_scaled @ b_scaled.T, 0.0))
    matern = (1 + ROOT5 * r + 5 / 3 * r * r) * np.exp(-ROOT5 * r)
    lines = linear * (1 + (a - 0.5) @ (b - 0.5).T)
    covariance: FloatArray = lines + smooth * matern
    return covariance


def _variance(scales: FloatArray, x: FloatArray) -> FloatArray:
    linear, smooth = np.exp(2 * scales[:2])
    variance: FloatArray = linear * (1 + ((x - 0.5) ** 2).sum(1)) + smooth
    return variance


def _factor(scales: FloatArray, x: FloatArray, noise: FloatArray, kinds: IndexArray) -> FloatArray:
    covariance = _covariance(scales, x, x, kinds)
    own = np.exp(2 * scales[3]) * noise
    covariance[np.diag_indices(len(x))] += own + np.exp(2 * scales[2]) + JITTER
    factor: FloatArray = cholesky(covariance, lower=True)
    return factor


def _most_likely(x: FloatArray, y: FloatArray, noise: FloatArray, kinds: IndexArray) -> FloatArray:
    """Scales of highest posterior probability, as in `START`.

    Args:
        x: Features, shape (n, features).
        y: Scaled accuracies, shape (n,).
        noise: Variances of these by their standard errors, shape (n,).
        kinds: Kind of each feature, shape (features,); -1 for the MACs.
    """
    count = len(START) - LENGTHS
    squares = np.stack(
        [((x[:, None, k] - x[None, :, k]) ** 2).sum(2) for k in _columns(kinds, count)]
    )
    lines = 1 + (x - 0.5) @ (x - 0.5).T

    def fit(scales: FloatArray) -> Fit:
        linear, smooth, rest, own = np.exp(2 * scales[:LENGTHS])
        weights = np.exp(-2 * scales[LENGTHS:])
        r = np.sqrt(np.tensordot(weights, squares, axes=1))
        decay = np.exp(-ROOT5 * r)
        matern = (1 + ROOT5 * r + 5 / 3 * r * r) * decay
        covariance = linear * lines + smooth * matern + np.diag(own * noise + rest + JITTER)
        value, outer = likelihood(covariance, y)
        slope = outer * (1 + ROOT5 * r) * decay
        by_kind = np.tensordot(squares, slope, axes=([1, 2], [0, 1]))
        gradient = np.concatenate(
            [
                [linear * (outer * lines).sum(), smooth * (outer * matern).sum()],
                [rest * np.trace(outer), own * (np.diag(outer) * noise).sum()],
                5 / 6 * smooth * weights * by_kind,
            ]
        )
        return value, gradient

    return most_probable(fit, START, SPREAD, within=(4 * SPREAD, 4 * SPREAD))


def _columns(kinds: IndexArray, count: int) -> list[IndexArray]:
    """Columns of each of `count` length scales; the last is that of the MACs, kind -1."""
    return [np.flatnonzero(kinds % count == kind) for kind in range(count)]
