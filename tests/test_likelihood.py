"""Maximum a posteriori of a Gaussian process's scales."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from elasticvit.likelihood import HOPELESS, likelihood, most_probable_parts


@given(seed=st.integers(0, 1000), size=st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_likelihood_is_the_normal_distribution_s_and_its_slope_that_of_the_covariance(
    seed: int, size: int
) -> None:
    rng = np.random.default_rng(seed)
    values, root = rng.normal(size=size), rng.normal(size=(size, size))
    covariance, direction = root @ root.T + np.eye(size), np.diag(rng.uniform(size=size))
    value, slope = likelihood(covariance, values)
    constant = 0.5 * size * np.log(2 * np.pi)
    expected = -multivariate_normal(np.zeros(size), covariance).logpdf(values)
    assert value + constant == pytest.approx(expected)
    numeric = approx_fprime(
        np.zeros(1), lambda t: likelihood(covariance + t[0] * direction, values)[0], 1e-6
    )
    assert 0.5 * (slope * direction).sum() == pytest.approx(numeric[0], rel=1e-3, abs=1e-4)


def test_a_covariance_that_is_none_is_hopeless_and_no_error() -> None:
    value, slope = likelihood(-np.eye(3), np.ones(3))
    assert value == HOPELESS
    assert not slope.any()


def test_parts_are_told_apart_and_a_prior_pulls() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(200), 2)
    values = 2.0 * rng.normal(size=200)[group] + 0.5 * rng.normal(size=400)
    same = (group[:, None] == group[None]).astype(np.float64)
    matrices, centre = np.stack([same, np.eye(400)]), np.zeros(2)
    free = most_probable_parts(matrices, values, centre, 10.0, within=(5.0, 5.0))
    assert np.exp(free) == pytest.approx([2.0, 0.5], rel=0.15)
    held = most_probable_parts(matrices, values, centre, 0.01, within=(5.0, 5.0))
    assert np.all(np.abs(held) < np.abs(free) / 2)
    bounded = most_probable_parts(matrices, values, centre, 10.0, within=(0.1, 0.2))
    assert bounded == pytest.approx([0.2, -0.1])
