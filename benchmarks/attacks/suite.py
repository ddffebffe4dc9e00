"""All classes of attacks by name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from attacks.attack import Attack
from attacks.commands import COMMANDS

MODULES = {  # class: its module
    "options": "option_values",
    "settings": "settings_file",
    "spaces": "space_files",
    "catalogue": "catalogue",
    "runs": "training_runs",
    "checkpoints": "checkpoints",
    "searches": "searches",
    "goals": "goals",
    "deployment": "deployment",
    "predictors": "predictor_files",
    "table": "latency_table",
    "shared": "shared_tables",
    "images": "images",
    "files": "file_system",
    "environment": "outputs",
    "several": "several",
    "status": "status",
}
CLASSES = tuple(MODULES)


def attacks_of(classes: Sequence[str], prepared: Path) -> list[Attack]:
    """The attacks of some classes, or of all if none is named, that this version can be held to.

    Args:
        prepared: The prepared folder.
    """
    found = []
    for kind in classes or CLASSES:
        module = importlib.import_module(f"attacks.{MODULES[kind]}")
        found += [a for a in module.attacks(prepared) if a.argv[0] in COMMANDS]
    return found
