"""A small Gaussian process: one length scale an input, fitted by maximum a posteriori.

Written here so that a fitted model is a handful of arrays, and because a few dozen points
need priors on the scales: the plain maximum of the likelihood overfits them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular  # type: ignore[import-untyped]

from elasticvit.arrays import FloatArray
from elasticvit.likelihood import Fit, likelihood, most_probable
from elasticvit.linear_algebra import one_blas_thread
from predictors.saved import SavedArrays

ROOT5 = np.sqrt(5.0)
TAIL = 4.0  # degrees of freedom of the noise; infinitely many would be the normal distribution
SCALES_FROM = 300
PASSES = 2  # refits with the noise that the one before found


@dataclass(frozen=True, kw_only=True)
class Prior:
    """Where the fit starts and what it is pulled to, on a log scale.

    Attributes:
        amplitude: Prior standard deviation of the function.
        length: Prior length scale, in standard deviations of an input.
        noise: Prior standard deviation of the noise.
        spread: Prior standard deviation of the natural logarithm of each of these.
        min_noise: Least standard deviation of the noise.
    """

    amplitude: float = 0.1
    length: float = 2.0
    noise: float = 0.02
    spread: float = 1.0
    min_noise: float = 1e-3


def matern(a: FloatArray, b: FloatArray, lengths: FloatArray) -> FloatArray:
    """Matern 5/2 correlation of the rows of a (n, d) and b (m, d), shape (n, m)."""
    return _matern_of(_distance(a / lengths, b / lengths))


def _distance(a: FloatArray, b: FloatArray) -> FloatArray:
    square = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    root: FloatArray = np.sqrt(np.maximum(square, 0.0))
    return root


def _matern_of(r: FloatArray) -> FloatArray:
    value: FloatArray = (1 + ROOT5 * r + 5 / 3 * r**2) * np.exp(-ROOT5 * r)
    return value


@dataclass(frozen=True, kw_only=True)
class GaussianProcess:
    """A fitted process with zero mean.

    Attributes:
        center, scale: Mean and standard deviation of the inputs, shape (d,).
        lengths: Length scales in scaled inputs, shape (d,).
        amplitude: Standard deviation of the function.
        noise_variance: Noise variance of each training value, shape (n,).
        points: Scaled training inputs, shape (n, d).
        weights: Weights of the points, shape (n,); the posterior mean is the covariance with the
            points times these.
    """

    center: FloatArray
    scale: FloatArray
    lengths: FloatArray
    amplitude: float
    noise_variance: FloatArray
    points: FloatArray
    weights: FloatArray

    def mean(self, x: FloatArray) -> FloatArray:
        """Posterior mean at x (n, d), shape (n,)."""
        value: FloatArray = self._covariance(x) @ self.weights
        return value

    def deviation(self, x: FloatArray) -> FloatArray:
        """Posterior standard deviation of the function at x, without noise, shape (n,)."""
        half = solve_triangular(self._factor, self._covariance(x).T, lower=True)
        value: FloatArray = np.sqrt(np.maximum(self.amplitude**2 - (half**2).sum(0), 0.0))
        return value

    def covariance(self, x: FloatArray) -> FloatArray:
        """Posterior covariance of the function between the rows of x (n, d), shape (n, n)."""
        half = solve_triangular(self._factor, self._covariance(x).T, lower=True)
        scaled = (x - self.center) / self.scale
        prior = self.amplitude**2 * matern(scaled, scaled, self.lengths)
        value: FloatArray = prior - half.T @ half
        return value

    def leave_one_out_errors(self) -> FloatArray:
        """Each training value minus its prediction from all the others, shape (n,)."""
        inverse = cho_solve((self._factor, True), np.eye(len(self.weights)))
        value: FloatArray = self.weights / np.diag(inverse)
        return value

    @cached_property
    def _factor(self) -> FloatArray:
        covariance = self.amplitude**2 * matern(self.points, self.points, self.lengths)
        covariance[np.diag_indices(len(covariance))] += self.noise_variance
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)

    def _covariance(self, x: FloatArray) -> FloatArray:
        scaled = (x - self.center) / self.scale
        return self.amplitude**2 * matern(scaled, self.points, self.lengths)

    def to_arrays(self) -> dict[str, FloatArray]:
        """Everything as arrays, for `from_saved`."""
        return {f.name: np.asarray(getattr(self, f.name), dtype=np.float64) for f in fields(self)}

    @classmethod
    def from_saved(cls, arrays: SavedArrays, prefix: str, inputs: int) -> GaussianProcess:
        """Inverse of `to_arrays`.

        Args:
            arrays: Saved arrays.
            prefix: What their names begin with.
            inputs: Number of inputs.

        Raises:
            EvitError: An array is missing or damaged; of the type of the format's error.
        """
        weights = arrays.numbers(f"{prefix}weights", None)
        return cls(
            center=arrays.numbers(f"{prefix}center", inputs),
            scale=arrays.numbers(f"{prefix}scale", inputs, above=0.0),
            lengths=arrays.numbers(f"{prefix}lengths", inputs, above=0.0),
            amplitude=float(arrays.numbers(f"{prefix}amplitude", above=0.0)),
            noise_variance=arrays.numbers(f"{prefix}noise_variance", len(weights), above=0.0),
            points=arrays.numbers(f"{prefix}points", len(weights), inputs),
            weights=weights,
        )


def noise_factors(inverse: FloatArray, alpha: FloatArray, noise_variance: FloatArray) -> FloatArray:
    """How much more noise than assumed each value seems to have, at least 1, shape (n,).

    From the error of each value when it is predicted from the others, as if the noise had
    Student's t distribution: a value that was disturbed pulls less on its neighbours.

    Args:
        inverse: Inverse of the covariance, shape (n, n).
        alpha: Product of `inverse` and the values, shape (n,).
        noise_variance: Noise variance of each value in the covariance, shape (n,).
    """
    left_out_variance = 1 / np.diag(inverse)
    square = (alpha * left_out_variance) ** 2
    expected = left_out_variance - noise_variance + noise_variance.min()
    value: FloatArray = np.maximum(1.0, (TAIL + square / expected) / (TAIL + 1))
    return value


@one_blas_thread()
def fit_process(x: FloatArray, y: FloatArray, prior: Prior | None = None) -> GaussianProcess:
    """Fit a process to values y (n,) at inputs x (n, d), some of which may be disturbed.

    The scales are fitted to at most `SCALES_FROM` of the points, the function to all of them.
    """
    prior = prior or Prior()
    center, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    points = (x - center) / scale
    some = np.random.default_rng(0).permutation(len(y))[:SCALES_FROM]
    factors: FloatArray = np.ones(len(y))
    theta = None
    for remaining in reversed(range(PASSES + 1)):
        theta = _fit_scales(points[some], y[some], factors[some], prior, theta)
        amplitude, noise, lengths = float(np.exp(theta[0])), np.exp(theta[1]), np.exp(theta[2:])
        covariance = amplitude**2 * matern(points, points, lengths)
        noise_variance = (noise**2 + prior.min_noise**2) * factors
        covariance[np.diag_indices(len(y))] += noise_variance
        if remaining:
            inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
            factors = noise_factors(inverse, inverse @ y, noise_variance)
    return GaussianProcess(
        center=center,
        scale=scale,
        lengths=lengths,
        amplitude=amplitude,
        noise_variance=noise_variance,
        points=points,
        weights=cho_solve(cho_factor(covariance, lower=True), y),
    )


def _fit_scales(
    points: FloatArray,
    y: FloatArray,
    factors: FloatArray,
    prior: Prior,
    begin: FloatArray | None,
) -> FloatArray:
    """Logarithms of amplitude, noise and length scales, by maximum a posteriori.

    Args:
        points: Scaled inputs, shape (n, d).
        factors: Factors of the noise variance of each value, shape (n,).
        begin: Point at which the search begins, shape (d + 2,); by default the centre of the
            prior.
    """
    d = points.shape[1]
    squares = (points[:, None] - points[None]) ** 2  # (n, n, d)
    start = np.log(np.array([prior.amplitude, prior.noise, *[prior.length] * d]))
    floor = prior.min_noise**2

    def fit(theta: FloatArray) -> Fit:
        amplitude, noise, lengths = np.exp(theta[0]), np.exp(theta[1]), np.exp(theta[2:])
        r = np.sqrt(squares @ lengths**-2.0)
        decay = np.exp(-ROOT5 * r)
        signal = amplitude**2 * (1 + ROOT5 * r + 5 / 3 * r**2) * decay
        value, outer = likelihood(signal + np.diag((noise**2 + floor) * factors), y)
        slope = amplitude**2 * 5 / 3 * (1 + ROOT5 * r) * decay * outer
        gradient = np.array(
            [
                (outer * signal).sum(),
                noise**2 * (np.diag(outer) * factors).sum(),
                *(0.5 * np.einsum("ij,ijk->k", slope, squares) * lengths**-2.0),
            ]
        )
        return value, gradient

    return most_probable(fit, start, prior.spread, within=(5.0, 5.0), begin=begin)
