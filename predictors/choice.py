"""Which kernels to measure next: those whose predictions are the most uncertain.

The first kernels of a profile fill each kind's space evenly. From then on the next kernel
is the one with the largest posterior standard deviation of the fitted Gaussian processes, given
all measured kernels and those chosen before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from elasticvit.arrays import FloatArray
from elasticvit.kernels import Head, Kernel
from predictors.features import coordinates
from predictors.kernel_regressors import MIN_KERNELS, KernelRegressors

CANDIDATES = 600  # of a kind that are compared; more would only take longer
MIN_OF_A_KIND = 5  # measured kernels below which leave-one-out errors are not used


@dataclass(frozen=True)
class UncertaintyChoice:
    """Chooses by the regressors of `predictors.kernel_regressors`.

    Attributes:
        error_goal_pct: Root mean square error on unseen kernels that is good enough, in percent.
    """

    error_goal_pct: float = 3.0

    def error_pct(
        self, measured_ms: Mapping[Kernel, float], reachable: Sequence[Kernel]
    ) -> float | None:
        """Root mean square error in percent that kernels not measured yet are expected to have;
        None while a kind is not measured.

        Each measured kernel is predicted from the others of its kind (for a kind with very few, the
        posterior deviation is used instead); a kind is weighted by its number of reachable kernels.

        Args:
            measured_ms: Milliseconds of the kernels to fit with.
            reachable: Every kernel of the space.
        """
        model = _fit(_of_the_same_classes(measured_ms, reachable))
        square = total = 0.0
        for kind, kernels in _by_kind(reachable).items():
            fitted = model.kinds.get(kind)
            if fitted is None or fitted.process is None:
                return None
            measured = len(fitted.process.weights)
            if measured >= len(kernels):
                continue  # nothing of it is left to be predicted
            errors = fitted.process.leave_one_out_errors()
            if measured < MIN_OF_A_KIND:
                errors = fitted.deviation(kernels)
            square += len(kernels) * float((np.expm1(errors) ** 2).mean())
            total += len(kernels)
        return 100 * float(np.sqrt(square / total)) if total else 0.0

    def choose(
        self,
        measured_ms: Mapping[Kernel, float],
        candidates: Sequence[Kernel],
        count: int,
        rng: np.random.Generator,
    ) -> list[Kernel]:
        """The next kernels to measure, by kind, the most uncertain of each first.

        Of every kind as many are taken as are among the first `count` candidates: by uncertainty
        alone nearly all would be of the kind with the most dimensions, whatever the kinds' shares
        in the latency of a subnet.

        Args:
            measured_ms: Milliseconds of the kernels to fit with.
            candidates: Kernels that may be measured, without the measured ones, in the order of a
                plan.
            count: Greatest number of kernels to choose.
            rng: Random generator of which candidates are compared if there are many.
        """
        model = _fit(measured_ms)
        chosen: list[Kernel] = []
        wanted = Counter(kernel.kind for kernel in candidates[:count])
        for kind, kernels in _by_kind(candidates).items():
            some = [kernels[int(i)] for i in rng.permutation(len(kernels))[:CANDIDATES]]
            field = _Field.of(model, kind, some)
            chosen += [field.take() for _ in range(min(wanted[kind], len(some)))]
        return chosen


def _of_the_same_classes(
    measured_ms: Mapping[Kernel, float], reachable: Sequence[Kernel]
) -> dict[Kernel, float]:
    """The measured kernels without the heads of other numbers of classes than the space's, which
    are few and far apart: their errors are not those of the space's own heads."""
    own = {k for k in reachable if isinstance(k, Head)}
    return {k: ms for k, ms in measured_ms.items() if k in own or not isinstance(k, Head)}


def _by_kind(kernels: Sequence[Kernel]) -> dict[str, list[Kernel]]:
    groups: dict[str, list[Kernel]] = {}
    for kernel in kernels:
        groups.setdefault(kernel.kind, []).append(kernel)
    return groups


def _fit(measured_ms: Mapping[Kernel, float]) -> KernelRegressors:
    """Regressors of the kinds of which enough is measured."""
    counts = Counter(k.kind for k in measured_ms)
    enough = {k: v for k, v in measured_ms.items() if counts[k.kind] >= MIN_KERNELS}
    return KernelRegressors.fit(enough)


@dataclass
class _Field:
    """One kind's candidates and their joint uncertainty.

    Attributes:
        kernels: Candidates that are not chosen yet.
        covariance: Posterior covariance of their log latencies, shape (n, n).
        noise: Noise variance of a measurement of the log latency.
    """

    kernels: list[Kernel]
    covariance: FloatArray
    noise: float

    @classmethod
    def of(cls, model: KernelRegressors, kind: str, kernels: list[Kernel]) -> _Field:
        fitted = model.kinds.get(kind)
        if fitted is None or fitted.process is None:  # not measured at all: before all others
            return cls(kernels, np.diag(np.full(len(kernels), np.inf)), 0.0)
        process = fitted.process
        covariance = process.covariance(coordinates(kernels))
        return cls(kernels, covariance, float(np.median(process.noise_variance)))

    def take(self) -> Kernel:
        """Choose the most uncertain candidate, and update the posterior of the others."""
        best = int(np.argmax(np.diag(self.covariance)))
        if np.isfinite(self.covariance[best, best]):
            column = self.covariance[:, best]
            update = np.outer(column, column) / (column[best] + self.noise)
            self.covariance = self.covariance - update
        rest = np.arange(len(self.kernels)) != best
        self.covariance = self.covariance[np.ix_(rest, rest)]
        return self.kernels.pop(best)
