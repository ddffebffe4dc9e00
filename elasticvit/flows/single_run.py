"""A training run of one architecture alone: exported as it is, since nothing is left to choose."""

from __future__ import annotations

from pathlib import Path

from elasticvit.arch import Arch
from elasticvit.errors import NextStep, SettingError
from elasticvit.flows.places import path_text
from elasticvit.space import PRESETS, SearchSpace
from elasticvit.training.run_info import RunInfo


def is_single(run: Path) -> bool:
    """Whether a training run is of one architecture.

    Raises:
        CheckpointError: The folder is no training run, or a damaged one.
    """
    return RunInfo.load(run).space.size() == 1


def export_step(run: Path) -> NextStep:
    """What comes after the training of one architecture, in place of a search.

    Args:
        run: Folder of the training run.
    """
    return NextStep("export", {"supernet": path_text(run), "arch": "largest"})


def check_searchable(space: SearchSpace, name: str) -> None:
    """Check that a trained supernet has architectures to choose from.

    Args:
        space: Space of the supernet.
        name: Folder of the training run, or name of the supernet.

    Raises:
        SettingError: It is one architecture.
    """
    if space.size() == 1:
        raise SettingError(
            f"{name} is one architecture that was trained alone, {space.smallest}: there is "
            "nothing to search; export it as it is, or name the training run of a supernet",
            settings=["run"],
            next_step=export_step(Path(name)),
        )


def train_step(space: str, arch: Arch) -> NextStep:
    """The training of an architecture that was chosen without a supernet.

    Args:
        space: Name of its space, told where it is a preset.
        arch: The architecture.
    """
    named = {"space": space} if space in PRESETS else {}
    return NextStep("train", {**named, "data": "FOLDER", "subnet": str(arch)})
