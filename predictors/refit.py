"""A predictor whose network model is fitted anew, the kernels' latencies as they are.

Whole subnets that are timed after a profile say nothing about single kernels, and the network model
is fitted in a second where regressors of kernels need many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from elasticvit.errors import PredictorError
from elasticvit.kernels import Kernel
from predictors.interval import Interval
from predictors.metrics import error_summary
from predictors.network_correction import MIN_SUBNETS, fit_network_correction, priced
from predictors.predictor import Predictor


def refit_network(
    predictor: Predictor, subnets: Sequence[Sequence[Kernel]], latency_ms: Sequence[float]
) -> Predictor:
    """The predictor with a network model and an interval from these subnets.

    The interval of a predictor that was learnt from other devices becomes wider, never narrower:
    it says more than a few subnets can.

    Args:
        subnets: Lowered subnets, n of them: all that are to be fitted to, not only new ones. Those
            with a kernel that the predictor has no latency of are left out.
        latency_ms: Their latencies in milliseconds, length n.

    Raises:
        PredictorError: There are fewer than `MIN_SUBNETS`.
    """
    subnets, measured = priced(subnets, latency_ms, predictor.kernels.ms)
    if len(subnets) < MIN_SUBNETS:
        raise PredictorError(
            f"{len(subnets)} whole subnets were measured on {predictor.device}; at least "
            f"{MIN_SUBNETS} are needed to fit a network model"
        )
    network = fit_network_correction(subnets, measured, predictor.kernels.ms)
    seen, own = Interval.conformal(network.leave_one_out_ratios), predictor.interval
    report = replace(predictor.report, subnets=len(subnets))
    if report.like:
        seen = replace(seen, lower=min(seen.lower, own.lower), upper=max(seen.upper, own.upper))
    else:
        sums = [float(predictor.kernels.ms(kernels).sum()) for kernels in subnets]
        report = replace(
            report,
            subnets_sum_of_kernels=error_summary(sums, measured),
            subnets_held_out=error_summary(measured / network.leave_one_out_ratios, measured),
        )
    return replace(predictor, network=network, interval=seen, report=report)
