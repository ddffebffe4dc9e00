"""Checkpoints as plain values and tensors, in the form of this version and of the first ones."""

import shutil
from pathlib import Path
from typing import Any

import torch

from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.checkpoint_pair import write_pair
from elasticvit.training.checkpoint_store import CheckpointStore
from elasticvit.training.run_info import CHECKPOINT_FILE, CHECKPOINTS

Plain = dict[str, Any]


def plain_of(run: Path) -> Plain:
    """What the latest checkpoint of a run holds."""
    return Checkpoint.load(run).to_plain()


def put(run: Path, plain: Plain) -> Path:
    """Put a checkpoint in the place of the latest one; its JSON file."""
    path = files_of(run)[0]
    write_pair(path, plain)
    return path


def files_of(run: Path) -> tuple[Path, Path]:
    """The JSON file and the file of the tensors of the latest checkpoint."""
    store = CheckpointStore(run)
    path = store.path(store.steps()[-1])
    return path, path.with_suffix(".safetensors")


def put_first_version(run: Path, plain: Plain) -> Path:
    """Put a checkpoint as the first versions wrote it in the place of all of a run; its file."""
    shutil.rmtree(run / CHECKPOINTS, ignore_errors=True)
    torch.save({**plain, "schema": 1}, run / CHECKPOINT_FILE)
    return run / CHECKPOINT_FILE
