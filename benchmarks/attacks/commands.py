"""The commands under attack: how they are called, in this process or in a new one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    f"evit-{name}": f"elasticvit.cli.{name}"
    for name in ("profile", "train", "search", "export", "status")
}
COMMANDS = tuple(name for name, module in MODULES.items() if find_spec(module) is not None)
HEAVY = (  # what the commands load while they work
    *("torch", "torchvision", "timm", "timm.data", "timm.optim", "timm.scheduler", "timm.utils"),
    *("numpy", "scipy.optimize", "scipy.linalg", "pandas", "pyarrow.parquet", "sklearn.datasets"),
    *("sklearn.model_selection", "matplotlib.figure", "matplotlib.backends.backend_agg"),
    *("PIL.Image", "PIL.PngImagePlugin", "PIL.JpegImagePlugin", "ai_edge_litert.interpreter"),
    *("ai_edge_litert.schema_py_generated", "rich.progress", "rich.table", "torch.utils.data"),
    *("elasticvit.flows.train_job", "elasticvit.searching.job", "elasticvit.flows.profile_job"),
    *("elasticvit.flows.tables", "elasticvit.flows.latency", "elasticvit.flows.export"),
    *("export.bundle", "export.backend", "export.kernel_models", "export.litert", "export.parity"),
    *("elasticvit.flows.export_timing", "elasticvit.flows.export_search", "devices.host.device"),
    *("predictors.report", "predictors.evaluate", "lut.exchange", "lut.importer", "lut.profile"),
    *("elasticvit.cli.profile_report", "elasticvit.cli.search_report", "elasticvit.training.data"),
)


def main_of(command: str) -> Any:
    """The function of a command; importing it loads nothing heavy."""
    return importlib.import_module(MODULES[command]).main


def program(argv: Sequence[str]) -> list[str]:
    """The words that start a command in a Python process of its own, as it is installed."""
    module = MODULES[argv[0]]
    code = f"import sys; sys.argv[0] = {argv[0]!r}; from {module} import main; sys.exit(main())"
    return [sys.executable, "-c", code, *argv[1:]]


def preload() -> None:
    """Load the libraries once, for all processes that are forked from this one."""
    for name in (*HEAVY, *(MODULES[command] for command in COMMANDS)):
        try:
            importlib.import_module(name)
        except ImportError:  # the command that needs it will say so
            continue
    import torch

    torch.set_num_threads(1)
