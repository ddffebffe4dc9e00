"""What a training run is, as `run.json` in its folder. This module does not load torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from elasticvit.block_options import BlockOptions
from elasticvit.errors import CheckpointError, NextStep, SpaceError
from elasticvit.files import write_atomic
from elasticvit.reading import Count, Format, Share
from elasticvit.space import SearchSpace
from elasticvit.training.config import TrainConfig

SCHEMA = 1
RUN_FILE = "run.json"
CHECKPOINTS = "checkpoints"  # folder of the checkpoints
CHECKPOINT_FILE = "checkpoint.pt"  # the one checkpoint of a run of an earlier version
LOG_FILE = "log.csv"
LOCK_FILE = "lock"
Deviation = Annotated[float, Meta(gt=0, le=1)]  # of pixels in 0..1
FRESH = NextStep("train", {"fresh": True})


@dataclass(frozen=True, kw_only=True)
class RunSettings(TrainConfig):
    """Settings of a training run with its complexity levels, which another profile of a device
    moves if they are in milliseconds.

    Attributes:
        levels: Lower edges of the complexity levels, rising.
        level_unit: Unit of the complexity levels, `MMACs` or `ms`.
    """

    levels: tuple[float, ...] = ()
    level_unit: str = ""


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """A training run as `run.json` and checkpoints hold it; see `RunInfo`.

    Attributes:
        space: The search space in the form of `SearchSpace.to_toml`.
    """

    schema: int = SCHEMA
    space: str
    data: str
    seed: Count
    mean: tuple[Share, ...]
    std: tuple[Deviation, ...]
    options: BlockOptions
    settings: RunSettings
    upright: bool = False  # earlier versions turned no image


RUN_FORMAT = Format(
    kind=RunFile,
    what="a training run",
    error=CheckpointError,
    mend="put a good copy back, or start a fresh training",
    next_step=FRESH,
    schema=SCHEMA,
)


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a training run is; never changes while it runs.

    Attributes:
        space: The search space, with the data set's number of classes.
        data: Canonical spec of the data set.
        seed: Random seed of weights, image order, augmentation and subnet sampling.
        mean: Mean of each channel that images are normalised by, for pixels in 0..1.
        std: Standard deviation of each channel that images are normalised by.
        options: Variants of the blocks.
        settings: Settings of the training, with its complexity levels.
        upright: Whether training images may have been turned by the orientation in their EXIF data.
    """

    space: SearchSpace
    data: str
    seed: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    options: BlockOptions = field(default_factory=BlockOptions)
    settings: RunSettings
    upright: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form with its schema version."""
        file = RunFile(**{**vars(self), "space": self.space.to_toml()})
        plain: dict[str, Any] = msgspec.to_builtins(file)
        return plain

    @classmethod
    def of(cls, file: RunFile, where: str) -> RunInfo:
        """The run that a file describes.

        Args:
            file: Content of the file.
            where: What a message calls the file.

        Raises:
            CheckpointError: It describes no search space.
        """
        try:
            space = SearchSpace.from_toml(file.space, "space")
        except SpaceError as error:
            raise RUN_FORMAT.failure(f"{where}: {error}") from error
        facts = {k: v for k, v in msgspec.structs.asdict(file).items() if k != "schema"}
        return cls(**{**facts, "space": space})

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str) -> RunInfo:
        """Inverse of `to_dict`.

        Raises:
            CheckpointError: A field is missing or breaks a rule, or another version wrote them.
        """
        return cls.of(RUN_FORMAT.parse(data, where), where)

    def save(self, run: Path) -> None:
        """Write `run.json` into the run's folder.

        Raises:
            FileError: It cannot be written.
        """
        write_atomic(run / RUN_FILE, json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, run: Path) -> RunInfo:
        """Read `run.json`.

        Raises:
            CheckpointError: The folder is no training run, or the file is damaged.
        """
        path = run / RUN_FILE
        return cls.of(RUN_FORMAT.read_json(path), str(path))


def has_checkpoint(run: Path) -> bool:
    """Whether the folder of a run holds a checkpoint, damaged or not."""
    return any((run / CHECKPOINTS).glob("[0-9]*.json")) or (run / CHECKPOINT_FILE).exists()
