"""What a profile reports, besides notices, phases and `lut.profile.ProfileProgress`."""

from __future__ import annotations

from dataclasses import dataclass

from elasticvit.events import Event
from elasticvit.precisions import FP32

__all__ = ["ProfilePlanned"]


@dataclass(frozen=True, kw_only=True)
class ProfilePlanned(Event):
    """What will be measured, before anything is loaded.

    Attributes:
        devices: Names of the devices, which are profiled at the same time.
        space: Name of the search space.
        budget_s: Longest time for measuring, in seconds; what a first fit needs is measured in any
            case.
        like: Names of the source devices that the devices are learnt from; empty if they are
            profiled on their own.
        kernels: Number of kernels that are measured of a device that is learnt; None if the
            number follows from the time.
        precision: Precision that the models are timed in.
    """

    devices: tuple[str, ...]
    space: str
    budget_s: float
    like: tuple[str, ...] = ()
    kernels: int | None = None
    precision: str = FP32
