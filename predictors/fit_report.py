"""What is known of a predictor's fit: counts of what was measured, and errors."""

from __future__ import annotations

from dataclasses import dataclass

from elasticvit.reading import Count, NotNegative
from predictors.metrics import ErrorSummary


@dataclass(frozen=True, kw_only=True)
class FitReport:
    """Facts about a fit.

    Attributes:
        kernels, subnets: Numbers of kernels and of whole subnets that it was fitted to.
        recorded: Whether it is known how they were measured.
        like: Names of the source devices that it was learnt from.
        subnet_deviation_pct: Typical standard deviation of a whole subnet's error as the model
            expects it, in percent; None if it was learnt from no other device.
        kernels_fitted: Errors on the kernels that it was fitted to.
        subnets_sum_of_kernels: Errors of the plain sum of kernels on the whole subnets.
        subnets_held_out: Errors on each whole subnet, by a fit that did not see it.
    """

    kernels: Count = 0
    subnets: Count = 0
    recorded: bool = True
    like: tuple[str, ...] = ()
    subnet_deviation_pct: NotNegative | None = None
    kernels_fitted: ErrorSummary | None = None
    subnets_sum_of_kernels: ErrorSummary | None = None
    subnets_held_out: ErrorSummary | None = None
