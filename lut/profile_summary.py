"""What a profile did and how far its numbers can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from devices.protocol import DeviceInfo
from elasticvit.arrays import FloatArray
from elasticvit.kernels import KINDS, Kernel
from lut.dataset import Dataset
from lut.keys import SUBNET, subnet_key
from lut.plan import ProfilePlan
from lut.quality import Drift, drift, timed_twice
from lut.series import Series
from lut.store import Store


@dataclass(frozen=True, kw_only=True)
class ProfileSummary:
    """What a profile did and how far its numbers can be trusted.

    Attributes:
        info: Identity and facts of the device.
        series: The measurements that it added to.
        fitted, held_out: Number of models in the table by kind, to fit with and held out.
        timed: Number of timings of this profile.
        rejected: Models that the device refused, by key, with the reasons.
        seconds: Duration of this profile.
        complete: Whether everything planned was timed before the budget was spent.
        twice: Milliseconds of the held-out subnets, timed twice, shape (n,) each (see
            `lut.quality`).
        reference: Key of the model that is timed again and again.
        drift: Drift of the reference; None if it was never timed.
    """

    info: DeviceInfo
    series: Series
    fitted: Mapping[str, int]
    held_out: Mapping[str, int]
    timed: int
    rejected: Mapping[str, str]
    seconds: float
    complete: bool
    twice: tuple[FloatArray, FloatArray]
    reference: str
    drift: Drift | None


def summarise(
    store: Store,
    plan: ProfilePlan,
    info: DeviceInfo,
    series: Series,
    *,
    timed: int,
    rejected: Mapping[str, str],
    seconds: float,
    complete: bool,
) -> ProfileSummary:
    """The summary of a profile from what its series now holds.

    Args:
        timed, rejected, seconds, complete: As in `ProfileSummary`.
    """
    data = Dataset.of(store, info.name, plan.space, series)
    layout, reference = plan.space.layout, plan.reference.key
    subnets = store.measurements(info.name, kind=SUBNET, series=series)
    return ProfileSummary(
        info=info,
        series=series,
        fitted=_counts(data.fit_kernels, len(data.fit_subnets)),
        held_out=_counts(data.held_kernels, len(data.held_subnets)),
        timed=timed,
        rejected=rejected,
        seconds=seconds,
        complete=complete,
        twice=timed_twice(subnets, [subnet_key(arch, layout) for arch in data.held_subnets]),
        reference=reference,
        drift=drift(subnets, reference),
    )


def _counts(kernels: Iterable[Kernel], subnets: int) -> dict[str, int]:
    counts = Counter(kernel.kind for kernel in kernels)
    return {SUBNET: subnets} | {kind: counts[kind] for kind in KINDS}
