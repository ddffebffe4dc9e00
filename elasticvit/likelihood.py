"""Scales of a Gaussian process by maximum a posteriori.

Values of a normal distribution with mean zero, whose covariance depends on the logarithms of a few
scales, each with a normal prior (Rasmussen and Williams, "Gaussian Processes for Machine Learning",
2006, section 5.4.1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_solve, cholesky  # type: ignore[import-untyped]
from scipy.optimize import minimize  # type: ignore[import-untyped]

from elasticvit.arrays import FloatArray

Fit = tuple[float, FloatArray]  # of scales: how bad they are, and its gradient
HOPELESS = 1e10


def likelihood(covariance: FloatArray, values: FloatArray) -> Fit:
    """The negative logarithm of the likelihood without its constant, and twice its derivative by
    each entry of the covariance.

    Args:
        covariance: Covariance of the values, shape (n, n).
        values: The values, shape (n,).

    Returns:
        `HOPELESS` and zeros where the covariance is not positive definite.
    """
    try:
        factor = cholesky(covariance, lower=True)
    except np.linalg.LinAlgError:
        return HOPELESS, np.zeros_like(covariance)
    alpha = cho_solve((factor, True), values)
    inverse = cho_solve((factor, True), np.eye(len(values)))
    value = 0.5 * values @ alpha + np.log(np.diag(factor)).sum()
    return float(value), inverse - np.outer(alpha, alpha)


def most_probable(
    fit: Callable[[FloatArray], Fit],
    centre: FloatArray,
    spread: FloatArray | float,
    *,
    within: tuple[FloatArray | float, FloatArray | float],
    begin: FloatArray | None = None,
) -> FloatArray:
    """Logarithms of the scales with the highest posterior probability, shape (scales,).

    Args:
        fit: The negative logarithm of their likelihood, and its gradient.
        centre: Their prior means, shape (scales,).
        spread: Their prior standard deviations.
        within: How far below and above the prior means they may be.
        begin: Where the search begins; by default at the prior means.
    """

    def objective(scales: FloatArray) -> Fit:
        value, gradient = fit(scales)
        pull = (scales - centre) / spread
        return float(value + 0.5 * (pull**2).sum()), gradient + pull / spread

    bounds = np.stack(np.broadcast_arrays(centre - within[0], centre + within[1]), axis=1)
    first = centre if begin is None else begin
    found = minimize(objective, first, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x, dtype=np.float64)


def most_probable_parts(
    matrices: FloatArray,
    values: FloatArray,
    centre: FloatArray,
    spread: FloatArray | float,
    *,
    within: tuple[FloatArray | float, FloatArray | float],
    begin: FloatArray | None = None,
) -> FloatArray:
    """Logarithms of the standard deviations of independent parts that the values are sums of,
    shape (parts,); other arguments as of `most_probable`.

    Args:
        matrices: Covariance of the values if each deviation in turn were 1 and all others 0,
            shape (parts, n, n).
        values: The values, shape (n,).
    """

    def fit(scales: FloatArray) -> Fit:
        square = np.exp(2 * scales)
        value, slope = likelihood(np.tensordot(square, matrices, axes=1), values)
        return value, square * np.einsum("ij,pij->p", slope, matrices)

    return most_probable(fit, centre, spread, within=within, begin=begin)
