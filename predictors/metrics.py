"""How good predictions are, in the field's measures."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from elasticvit.arrays import FloatArray


@dataclass(frozen=True, kw_only=True)
class ErrorSummary:
    """Errors of predictions against measurements.

    Attributes:
        count: Number of pairs.
        within_5_pct, within_10_pct: Share of predictions that close to the measurement, in
            percent.
        rmspe_pct: Root mean square of the relative error, in percent.
        bias_pct: Mean relative error, in percent; negative if predictions are too small.
        ratio: Sum of predictions over sum of measurements.
        spearman: Rank correlation; 1.0 if fewer than three pairs, or equal ones, make it
            meaningless.
    """

    count: int
    within_5_pct: float
    within_10_pct: float
    rmspe_pct: float
    bias_pct: float
    ratio: float
    spearman: float

    def to_dict(self) -> dict[str, float]:
        """Plain form, for JSON."""
        return asdict(self)


def error_summary(predicted: npt.ArrayLike, measured: npt.ArrayLike) -> ErrorSummary:
    """Compare predictions with measurements, both of shape (n,), in one unit.

    Raises:
        ValueError: No pairs, shapes that differ, or measurements that are not positive.
    """
    from scipy.stats import spearmanr  # type: ignore[import-untyped]

    p, m = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    if p.shape != m.shape or p.ndim != 1 or not p.size:
        raise ValueError(f"predictions {p.shape} and measurements {m.shape}; both must be (n,)")
    if not (np.isfinite(m).all() and (m > 0).all() and np.isfinite(p).all()):
        raise ValueError("predictions must be finite, and measurements finite and positive")
    relative = p / m - 1
    return ErrorSummary(
        count=p.size,
        within_5_pct=share_within(relative, 0.05),
        within_10_pct=share_within(relative, 0.10),
        rmspe_pct=float(100 * np.sqrt((relative**2).mean())),
        bias_pct=float(100 * relative.mean()),
        ratio=float(p.sum() / m.sum()),
        spearman=float(spearmanr(p, m).statistic) if p.size > 2 and np.ptp(p) * np.ptp(m) else 1.0,
    )


def share_within(relative: FloatArray, limit: float) -> float:
    """Share of relative errors, shape (n,), of at most `limit` in size, in percent."""
    return float(100 * (np.abs(relative) <= limit).mean())
