"""The events of timing model files."""

from __future__ import annotations

from dataclasses import dataclass

from elasticvit.events import Progress


@dataclass(frozen=True, kw_only=True)
class TimingProgress(Progress):
    """How far the timing of model files is, in rounds of all models.

    Attributes:
        device: Name of the device.
        model: Name of the model that was timed last.
    """

    device: str
    model: str
