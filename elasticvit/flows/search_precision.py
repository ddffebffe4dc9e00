"""The one precision of a search: of its latencies, and of the export that follows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import PredictorError, SettingError
from elasticvit.flows.search_settings import SearchSettings
from elasticvit.precisions import FP32
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from predictors.predictor import Predictor


def device_names(settings: SearchSettings, workspace: Workspace) -> tuple[str, ...]:
    """Devices that the settings name, in their targets last, or the one that was profiled last."""
    named = settings.devices or tuple(settings.predictor or ()) or tuple(settings.named_targets)
    default = workspace.device()
    return named or ((default,) if default else ())


def search_precision(settings: SearchSettings, workspace: Workspace) -> str:
    """The precision that is named; without one that of the predictors that are given, or which the
    devices were profiled in last.

    Raises:
        SettingError: None is named, and the devices differ.
        PredictorError: A predictor that is given cannot be read.
    """
    if settings.precision is not None:
        return settings.precision
    names = dict.fromkeys([*settings.named_targets, *device_names(settings, workspace)])
    given = settings.predictor or {}
    found = {
        name: _read(given[name]).precision if name in given else workspace.precision(name)
        for name in names
    }
    if len(set(found.values())) > 1:
        told = ", ".join(f"{name} in {precision}" for name, precision in found.items())
        raise SettingError(
            f"the devices were profiled in different precisions last ({told}), and one model "
            "cannot be deployed in both; name the precision",
            settings=["precision"],
        )
    return next(iter(found.values()), FP32)


def predictor_of(
    settings: SearchSettings, workspace: Workspace, name: str, precision: str
) -> Predictor:
    """The predictor of a device in a precision: the one that is given, or the workspace's.

    Raises:
        PredictorError: There is none in this precision, or it is damaged.
    """
    from predictors.workspace_predictors import load_device_predictor

    given = (settings.predictor or {}).get(name)
    if given is None:
        return load_device_predictor(
            workspace,
            name,
            precision,
            threads=settings.device_threads,
            cores=settings.device_cores,
        )
    predictor = _read(given)
    if predictor.precision != precision:
        raise PredictorError(
            f"the predictor that is given for {name} is of {predictor.precision}, and the search "
            f"is for {precision}; latencies of one precision say nothing about another: give one "
            "of the same precision, or name another precision",
            settings=("precision",),
        )
    return predictor


def _read(given: Path | str | Predictor) -> Predictor:
    from predictors.predictor import load_predictor

    return load_predictor(Path(given)) if isinstance(given, (str, Path)) else given
