"""From kernels to whole subnets, intervals and metrics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_predictors_kernels import true_ms

from elasticvit.errors import PredictorError
from elasticvit.kernels import lower
from elasticvit.space import MOBILE
from predictors.interval import Interval
from predictors.metrics import error_summary
from predictors.network_correction import Composition, NetworkCorrection, fit_network_correction


def alone_ms(kernels):
    return np.array([true_ms(k) for k in kernels])


def subnets(n: int, seed: int = 0):
    return [lower(a, MOBILE.layout) for a in MOBILE.sample(n, np.random.default_rng(seed))]


def inside_ms(kernels) -> float:
    """The made-up device again: attention is slower inside a subnet, and so is everything."""
    factor = np.array([1.4 if k.kind == "attention" else 1.15 for k in kernels])
    return float((alone_ms(kernels) * factor).sum() + 0.01 * len(kernels) + 0.2)


def price(model: NetworkCorrection, kernels) -> float:
    return float(model.ms(kernels, alone_ms(kernels)).sum() + model.constant_ms)


def test_composition_counts_every_kernel() -> None:
    lowered = subnets(5)
    composition = Composition.of(lowered)
    assert composition.counts.sum(axis=1).tolist() == [len(s) for s in lowered]
    total = composition.counts @ alone_ms(composition.kernels)
    np.testing.assert_allclose(total, [alone_ms(s).sum() for s in lowered])


def test_plain_network_is_the_sum_of_kernels() -> None:
    kernels = subnets(1)[0]
    assert price(NetworkCorrection.plain(), kernels) == pytest.approx(alone_ms(kernels).sum())


def test_few_subnets_remove_the_bias_of_the_sum() -> None:
    fit, new = subnets(30), subnets(60, seed=1)
    measured = np.array([inside_ms(s) for s in fit])
    noise = np.exp(np.random.default_rng(2).normal(0, 0.01, len(fit)))
    model = fit_network_correction(fit, measured * noise, alone_ms)
    truth = [inside_ms(s) for s in new]
    before = error_summary([alone_ms(s).sum() for s in new], truth)
    after = error_summary([price(model, s) for s in new], truth)
    assert before.bias_pct < -15
    assert abs(after.bias_pct) < 1
    assert after.rmspe_pct < 1.5
    assert after.within_5_pct == 100


def test_without_bias_the_correction_stays_small() -> None:
    fit, new = subnets(12), subnets(40, seed=1)
    model = fit_network_correction(fit, np.array([alone_ms(s).sum() for s in fit]), alone_ms)
    ratio = np.array([price(model, s) / alone_ms(s).sum() for s in new])
    np.testing.assert_allclose(ratio, 1.0, atol=0.01)


def test_held_out_ratios_are_those_of_models_that_did_not_see_the_subnet() -> None:
    """One bad measurement shows in its own held-out ratio; a model that saw it would hide it."""
    fit = subnets(25)
    measured = np.array([inside_ms(s) for s in fit])
    measured[7] *= 1.2
    ratios = fit_network_correction(fit, measured, alone_ms).leave_one_out_ratios
    assert int(np.argmax(ratios)) == 7
    assert ratios[7] == pytest.approx(1.2, abs=0.03)


def test_too_few_subnets_are_refused() -> None:
    fit = subnets(3)
    with pytest.raises(PredictorError, match=r"3 whole subnets"):
        fit_network_correction(fit, np.ones(3), alone_ms)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 200))
def test_conformal_bounds_cover_as_promised(seed: int, count: int) -> None:
    """Over many new draws the bound holds about as often as it says; the errors are skewed."""
    rng = np.random.default_rng(seed)
    ratios = np.exp(0.03 * (rng.exponential(size=count) - 0.7))
    interval = Interval.conformal(ratios)
    new = np.exp(0.03 * (rng.exponential(size=20000) - 0.7))
    covered = interval.covers(np.ones(20000), new)
    assert covered["upper_nominal_pct"] == pytest.approx(95)
    assert covered["both_nominal_pct"] == pytest.approx(90)
    slack = 100 * 5 * np.sqrt(0.05 * 0.95 / count)  # the bound is itself an order statistic
    assert covered["upper_pct"] > 95 - slack


def test_interval_of_few_ratios_is_wider_than_they_are() -> None:
    ratios = [0.97, 1.0, 1.01, 1.04]
    interval = Interval.conformal(ratios)
    assert interval.lower < 0.97
    assert interval.upper > 1.04


def test_unknown_interval_is_the_prediction() -> None:
    assert Interval.unknown().upper == 1.0
    assert Interval.unknown().covers([1.0], [1.0])["upper_nominal_pct"] is None


def test_error_summary_by_hand() -> None:
    summary = error_summary([1.0, 2.0, 3.3, 4.0], [1.04, 2.0, 3.0, 5.0])
    assert summary.within_5_pct == 50
    assert summary.within_10_pct == 75
    errors = np.array([1 / 1.04 - 1, 0, 0.1, -0.2])
    assert summary.rmspe_pct == pytest.approx(100 * np.sqrt((errors**2).mean()))
    assert summary.bias_pct == pytest.approx(100 * errors.mean())
    assert summary.ratio == pytest.approx(10.3 / 11.04)
    assert summary.spearman == 1.0
    assert summary.to_dict()["count"] == 4


@pytest.mark.parametrize(
    ("predicted", "measured"), [([], []), ([1.0], [1.0, 2.0]), ([1.0], [0.0]), ([np.nan], [1.0])]
)
def test_error_summary_refuses_what_it_cannot_compare(predicted, measured) -> None:
    with pytest.raises(ValueError, match=r"measurements"):
        error_summary(predicted, measured)
