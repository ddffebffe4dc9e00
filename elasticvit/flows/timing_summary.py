"""The summary that a session of timed models leaves beside its raw rounds, as it is read again."""

from __future__ import annotations

import msgspec

from elasticvit.errors import ExportError
from elasticvit.reading import Format, Positive, Whole

SUMMARY_FILE = "timing.json"


class _Latency(msgspec.Struct, frozen=True, kw_only=True):
    ms: Positive


class _Model(msgspec.Struct, frozen=True, kw_only=True):
    timing: _Latency | None


class TimingSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What the summary of a session tells of it, as far as it is shown here.

    Attributes:
        device: Name of the device.
        rounds: Rounds that were asked for.
        complete: Whether all of them were made.
        models: The models' latencies, by name.
    """

    device: str
    rounds: Whole
    complete: bool
    models: dict[str, _Model]


SUMMARY_FORMAT = Format(
    kind=TimingSummary,
    what="the summary of timed models",
    error=ExportError,
    mend="remove its folder, or time the models again",
)
