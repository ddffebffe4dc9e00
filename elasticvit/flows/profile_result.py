"""What a profile found: one result a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elasticvit.errors import PredictorError
from elasticvit.space import SearchSpace
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from devices.quality import Quality
    from lut.profile_summary import ProfileSummary
    from predictors.predictor import Predictor

Errors = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """What the profile of one device found.

    Attributes:
        device: Name of the device.
        space: Name of the space that was profiled.
        summary: What was measured, and how far its numbers can be trusted.
        predictor: The fitted predictor, which is also saved in the workspace.
        errors: Held-out errors in percent, by what is predicted (`predictors.metrics`).
        noise_floor: The same of held-out subnets timed twice, which no predictor can be seen to
            beat; None if none was.
        quality: Counts of what went wrong on a phone; None for other devices.
        notes: Sentences on the profile.
        facts: What else is known of how the predictor was made, JSON-ready.
        space_ms: Predicted latency in ms of the fastest, the median and the slowest architecture
            of the space; None if the profile was cut too short to price it.
        unpriced: Why not; None if it is priced.
        lut: Path of the latency table.
        predictor_folder: Folder of the predictor.
        report: Path of the HTML report.
    """

    device: str
    space: str
    summary: ProfileSummary
    predictor: Predictor
    errors: Errors
    noise_floor: Mapping[str, float] | None
    quality: Quality | None
    notes: Sequence[str]
    facts: Mapping[str, Any]
    space_ms: Mapping[str, float] | None
    unpriced: str | None
    lut: Path
    predictor_folder: Path
    report: Path | None = None

    @classmethod
    def of(
        cls,
        workspace: Workspace,
        space: SearchSpace,
        summary: ProfileSummary,
        predictor: Predictor,
        errors: Errors,
        quality: Quality | None,
        notes: Sequence[str],
        facts: Mapping[str, Any],
    ) -> DeviceProfile:
        """The result of a device whose predictor is fitted."""
        from predictors.metrics import error_summary

        first, second = summary.twice
        reach, unpriced = _reach(predictor, space)
        return cls(
            device=summary.info.name,
            space=space.name,
            summary=summary,
            predictor=predictor,
            errors=errors,
            noise_floor=error_summary(first, second).to_dict() if len(first) else None,
            quality=quality,
            notes=notes,
            facts=facts,
            space_ms=reach,
            unpriced=unpriced,
            lut=workspace.lut_path,
            predictor_folder=workspace.predictor_path(
                summary.info.name, predictor.precision, predictor.cpu
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything that was found, JSON-ready."""
        summary = self.summary
        series = summary.series
        return {
            "device": self.device,
            "source": series.source,
            "runtime": series.runtime,
            "precision": series.precision,
            "threads": series.threads,
            "cores": series.cores,
            "measured": summary.fitted,
            "held_out": summary.held_out,
            "timed": summary.timed,
            "seconds": summary.seconds,
            "complete": summary.complete,
            "rejected": summary.rejected,
            "errors": {name: dict(row) for name, row in self.errors.items()},
            "noise_floor": None if self.noise_floor is None else dict(self.noise_floor),
            "drift": None if summary.drift is None else asdict(summary.drift),
            "lut": str(self.lut),
            "predictor": str(self.predictor_folder),
            "space": self.space,
            "space_ms": None if self.space_ms is None else dict(self.space_ms),
            "report": str(self.report),
            "quality": None if self.quality is None else asdict(self.quality),
            **self.facts,
        }


@dataclass(frozen=True, kw_only=True)
class ProfileResult:
    """What a profile of one or several devices found.

    Attributes:
        devices: The result of each device by its name, in the order they were named.
        failed: The error of each device that could not be profiled; what was measured of it is
            in the table.
    """

    devices: Mapping[str, DeviceProfile]
    failed: Mapping[str, Exception] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: that of the only device, or all of them by name, with what failed."""
        found = {name: one.to_dict() for name, one in self.devices.items()}
        if self.failed:
            failed = {name: str(error) for name, error in self.failed.items()}
            return {"devices": found, "failed": failed}
        return next(iter(found.values())) if len(found) == 1 else {"devices": found}


def _reach(predictor: Predictor, space: SearchSpace) -> tuple[dict[str, float] | None, str | None]:
    """Predicted ms of the space's fastest, median and slowest architecture, or why there are
    none."""
    import numpy as np

    from elasticvit.searching.caps import reach

    try:
        cost = predictor.cost(space)
    except PredictorError as error:
        return None, str(error)
    found = reach(space, cost.price, np.random.default_rng(0))
    return {"fastest": found.low, "median": found.median, "slowest": found.high}, None
