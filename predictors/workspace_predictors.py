"""The predictors of a workspace: one for each device and precision."""

from __future__ import annotations

from pathlib import Path

from elasticvit.errors import PredictorError
from elasticvit.precisions import FP32, PRECISIONS, profile_step
from elasticvit.workspace import Workspace
from predictors.predictor import Predictor, load_predictor
from predictors.saved import MANIFEST


def profiled_precisions(workspace: Workspace, device: str) -> tuple[str, ...]:
    """Precisions that a workspace has a predictor of a device in, in the order of `PRECISIONS`."""
    return tuple(
        precision
        for precision in PRECISIONS
        if (workspace.predictor_path(device, precision) / MANIFEST).exists()
    )


def load_device_predictor(workspace: Workspace, device: str, precision: str = FP32) -> Predictor:
    """The predictor of a device that was profiled in a precision, or whose table was imported, in a
    workspace.

    Raises:
        PredictorError: No predictor of that name or precision (the ones there are named), one that
            says that it is of another precision, or as `load_predictor`.
    """
    folder = workspace.predictor_path(device, precision)
    if device not in _devices(workspace, device, precision):
        raise _no_predictor(workspace, device, precision)
    known = profiled_precisions(workspace, device)
    if precision not in known and (known or precision != FP32):
        others = ", ".join(known) or "none"
        raise PredictorError(
            f"no predictor of device {device!r} in {precision} in workspace {workspace.root}: it "
            f"was profiled in {others}, and latencies of one precision say nothing about another; "
            f"profile it in {precision} first, or name a precision that it was profiled in",
            settings=("precision",),
            next_step=profile_step(device, precision),
        )
    predictor = load_predictor(folder)
    if predictor.precision != precision:
        raise PredictorError(
            f"the predictor in {folder} is of {predictor.precision}; it must be of {precision}, as "
            "the place of its folder says: move it away, and profile the device again",
            next_step=profile_step(device, precision),
        )
    return predictor


def _devices(workspace: Workspace, device: str, precision: str) -> list[str]:
    """Names of the devices that have a folder of predictors."""
    base: Path = workspace.predictors_path
    try:
        return sorted(p.name for p in base.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise PredictorError(
            f"{base} cannot be read: {error.strerror}; move it away, and profile the device again",
            next_step=profile_step(device, precision),
        ) from error


def _no_predictor(workspace: Workspace, device: str, precision: str) -> PredictorError:
    known = _devices(workspace, device, precision)
    others = f"; there is one for {', '.join(known)}" if known else ""
    return PredictorError(
        f"no predictor of device {device!r} in workspace {workspace.root}{others}: profile the "
        "device first",
        settings=("device",),
        next_step=profile_step(device, precision),
    )
