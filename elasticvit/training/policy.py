"""How a run is saved and gone on with, which is no part of what the run is. Does not load torch."""

from __future__ import annotations

from dataclasses import dataclass

KEEP = 2  # checkpoints, besides the best and the last good one
MOST_KEPT = 1000
LR_SCALES = (1e-3, 10.0)  # least and greatest factor


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How a run is saved and gone on with.

    Attributes:
        keep: Number of latest checkpoints that are kept.
        resume_from: Step of the checkpoint to go on from; those behind it are removed then. None:
            the latest one.
        lr_scale: Factor of the learning rates of all steps from now on. None: that of the
            checkpoint, and 1 for a new run.
    """

    keep: int = KEEP
    resume_from: int | None = None
    lr_scale: float | None = None
