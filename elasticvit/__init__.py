"""ElasticViT: the most accurate vision transformer that runs in N milliseconds on your phone.

    import elasticvit as ev

    phone = ev.load_latency("pixel6")
    phone.predict("elastic_S1").median_ms
    result = ev.search(target_ms=30)
    ev.export(result, "model.tflite")

Importing this package loads nothing; a name loads what it needs when it is first used.
`docs/library.md` shows every function.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from elasticvit.version import __version__

if TYPE_CHECKING:
    from elasticvit.arch import Arch, ArchBatch, AttnStage, ConvStage
    from elasticvit.cost import CostModel, MacsCost
    from elasticvit.errors import EvitError
    from elasticvit.events import Event, Notice, Phase, Progress
    from elasticvit.find import find_arch
    from elasticvit.flows.compare import CompareSettings, compare
    from elasticvit.flows.export import ExportSettings, export
    from elasticvit.flows.export_verify import verify_export
    from elasticvit.flows.latency import Latency, LatencyPrediction, load_latency
    from elasticvit.flows.learn import LearnSettings, learn_device
    from elasticvit.flows.model_timing import ModelTimingSettings, time_models
    from elasticvit.flows.profile import ProfileSettings, profile
    from elasticvit.flows.search import SearchSettings, search
    from elasticvit.flows.soft_labels import SoftLabelsSettings, write_soft_labels
    from elasticvit.flows.status import WorkspaceStatus, status
    from elasticvit.flows.supernet import load_supernet
    from elasticvit.flows.tables import export_table, import_table
    from elasticvit.flows.train import TrainSettings, train
    from elasticvit.kernels import Kernel, Layout, lower
    from elasticvit.nn.models import create_model
    from elasticvit.published import list_models
    from elasticvit.space import SearchSpace, find_space
    from elasticvit.workspace import Workspace

# name -> the module that has it, loaded when the name is first used
_LAZY = {
    "Arch": "elasticvit.arch",
    "ArchBatch": "elasticvit.arch",
    "AttnStage": "elasticvit.arch",
    "ConvStage": "elasticvit.arch",
    "CostModel": "elasticvit.cost",
    "MacsCost": "elasticvit.cost",
    "EvitError": "elasticvit.errors",
    "Event": "elasticvit.events",
    "Notice": "elasticvit.events",
    "Phase": "elasticvit.events",
    "Progress": "elasticvit.events",
    "find_arch": "elasticvit.find",
    "Kernel": "elasticvit.kernels",
    "Layout": "elasticvit.kernels",
    "lower": "elasticvit.kernels",
    "list_models": "elasticvit.published",
    "SearchSpace": "elasticvit.space",
    "find_space": "elasticvit.space",
    "Workspace": "elasticvit.workspace",
    "create_model": "elasticvit.nn.models",
    "Latency": "elasticvit.flows.latency",
    "LatencyPrediction": "elasticvit.flows.latency",
    "load_latency": "elasticvit.flows.latency",
    "ProfileSettings": "elasticvit.flows.profile",
    "profile": "elasticvit.flows.profile",
    "LearnSettings": "elasticvit.flows.learn",
    "learn_device": "elasticvit.flows.learn",
    "ModelTimingSettings": "elasticvit.flows.model_timing",
    "time_models": "elasticvit.flows.model_timing",
    "import_table": "elasticvit.flows.tables",
    "export_table": "elasticvit.flows.tables",
    "TrainSettings": "elasticvit.flows.train",
    "train": "elasticvit.flows.train",
    "SearchSettings": "elasticvit.flows.search",
    "search": "elasticvit.flows.search",
    "load_supernet": "elasticvit.flows.supernet",
    "ExportSettings": "elasticvit.flows.export",
    "export": "elasticvit.flows.export",
    "verify_export": "elasticvit.flows.export_verify",
    "CompareSettings": "elasticvit.flows.compare",
    "compare": "elasticvit.flows.compare",
    "SoftLabelsSettings": "elasticvit.flows.soft_labels",
    "write_soft_labels": "elasticvit.flows.soft_labels",
    "WorkspaceStatus": "elasticvit.flows.status",
    "status": "elasticvit.flows.status",
}

__all__ = [
    "Arch",
    "ArchBatch",
    "AttnStage",
    "CompareSettings",
    "ConvStage",
    "CostModel",
    "Event",
    "EvitError",
    "ExportSettings",
    "Kernel",
    "Latency",
    "LatencyPrediction",
    "Layout",
    "LearnSettings",
    "MacsCost",
    "ModelTimingSettings",
    "Notice",
    "Phase",
    "ProfileSettings",
    "Progress",
    "SearchSettings",
    "SearchSpace",
    "SoftLabelsSettings",
    "TrainSettings",
    "Workspace",
    "WorkspaceStatus",
    "__version__",
    "compare",
    "create_model",
    "export",
    "export_table",
    "find_arch",
    "find_space",
    "import_table",
    "learn_device",
    "list_models",
    "load_latency",
    "load_supernet",
    "lower",
    "profile",
    "search",
    "status",
    "time_models",
    "train",
    "verify_export",
    "write_soft_labels",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
