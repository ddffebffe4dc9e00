"""Training runs on disk: the description (`run.json`) and the state (`checkpoint.pt`).

Both are written atomically, so a killed run leaves its last whole checkpoint. Nothing falls
back silently: a checkpoint that cannot be read, or belongs to another run, is an error.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from elasticvit.errors import CheckpointError, NextStep, SpaceError
from elasticvit.files import write_atomic
from elasticvit.nn import BlockOptions, Supernet
from elasticvit.space import SearchSpace

SCHEMA = 1
RUN_FILE = "run.json"
CHECKPOINT_FILE = "checkpoint.pt"
LOG_FILE = "log.csv"
FRESH = NextStep("train", {"fresh": True})


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
        settings: Settings of the training by name: those of `TrainConfig`, and the complexity
            levels, since another profile of a device moves those in milliseconds.
    """

    space: SearchSpace
    data: str
    seed: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    options: BlockOptions = field(default_factory=BlockOptions)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form with its schema version."""
        return {
            "schema": SCHEMA,
            "space": self.space.to_toml(),
            "data": self.data,
            "seed": self.seed,
            "mean": list(self.mean),
            "std": list(self.std),
            "options": asdict(self.options),
            "settings": dict(self.settings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunInfo:
        """Inverse of `to_dict`.

        Raises:
            CheckpointError: The run is of another schema, or fields are missing.
        """
        if data.get("schema") != SCHEMA:
            raise CheckpointError(
                f"training run of schema {data.get('schema')!r}; this version reads {SCHEMA}: "
                "update elasticvit, or start a fresh training",
                next_step=FRESH,
            )
        try:
            return cls(
                space=SearchSpace.from_toml(data["space"], RUN_FILE),
                data=data["data"],
                seed=data["seed"],
                mean=tuple(data["mean"]),
                std=tuple(data["std"]),
                options=BlockOptions(**data["options"]),
                settings=data["settings"],
            )
        except (KeyError, TypeError, SpaceError) as error:
            raise CheckpointError(
                f"training run with missing or bad fields: {error}; start a fresh training",
                next_step=FRESH,
            ) from error

    def save(self, run: Path) -> None:
        """Write `run.json` into the run's folder."""
        write_atomic(run / RUN_FILE, json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, run: Path) -> RunInfo:
        """Read `run.json`.

        Raises:
            CheckpointError: The folder is no training run.
        """
        path = run / RUN_FILE
        try:
            data = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{run} is not a training run ({error}); start a fresh training", next_step=FRESH
            ) from error
        if not isinstance(data, dict):
            raise CheckpointError(
                f"{path} is not a training run; start a fresh training", next_step=FRESH
            )
        return cls.from_dict(data)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """State of a training run between two steps.

    Attributes:
        info: What the run is.
        step: Number of steps done, which is the index of the next one.
        weights: Parameters and batch norm statistics of the supernet.
        ema: Exponential moving average of the weights; empty if none is kept.
        optimiser: State of the optimiser, as plain values and tensors.
        sampler: State of the sampler, as plain values.
        trainer: State of the loss watch and of torch's random generator.
    """

    info: RunInfo
    step: int
    weights: Mapping[str, Tensor]
    ema: Mapping[str, Tensor] = field(default_factory=dict)
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    sampler: Mapping[str, Any] = field(default_factory=dict)
    trainer: Mapping[str, Any] = field(default_factory=dict)

    def save(self, run: Path) -> None:
        """Write `checkpoint.pt` into the run's folder, replacing the last one at once."""
        buffer = io.BytesIO()
        torch.save(
            {
                "schema": SCHEMA,
                "info": self.info.to_dict(),
                "step": self.step,
                "weights": dict(self.weights),
                "ema": dict(self.ema),
                "optimiser": dict(self.optimiser),
                "sampler": dict(self.sampler),
                "trainer": dict(self.trainer),
            },
            buffer,
        )
        write_atomic(run / CHECKPOINT_FILE, buffer.getvalue())

    @classmethod
    def load(cls, run: Path, device: torch.device | str = "cpu") -> Checkpoint:
        """Read the checkpoint of a run's folder.

        Raises:
            CheckpointError: The checkpoint is missing, truncated, foreign or of another version.
        """
        path = run / CHECKPOINT_FILE
        try:
            data = torch.load(path, map_location=device, weights_only=True)
        except FileNotFoundError as error:
            raise CheckpointError(
                f"no checkpoint at {path}; train first", next_step=NextStep("train")
            ) from error
        except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise CheckpointError(
                f"{path} is truncated or not a checkpoint: {_first_line(error)}; put a "
                "good copy back, or start a fresh training",
                next_step=FRESH,
            ) from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA or "weights" not in data:
            raise CheckpointError(
                f"{path} is not a checkpoint of this version (schema {SCHEMA}); update "
                "elasticvit, or start a fresh training",
                next_step=FRESH,
            )
        return cls(
            info=RunInfo.from_dict(data["info"]),
            step=int(data["step"]),
            weights=data["weights"],
            ema=data["ema"],
            optimiser=data["optimiser"],
            sampler=data["sampler"],
            trainer=data["trainer"],
        )


def load_supernet(run: Path) -> Supernet:
    """The trained supernet of a run, on the CPU in evaluation mode, with the moving average of
    its weights if one was kept.

    Args:
        run: Folder of the run (`Workspace.latest("run")`).

    Raises:
        CheckpointError: The folder is no run, or its checkpoint is missing, truncated, foreign
            or of another version.
    """
    checkpoint = Checkpoint.load(run)
    supernet = Supernet(checkpoint.info.space, checkpoint.info.options)
    try:
        supernet.load_state_dict(dict(checkpoint.ema or checkpoint.weights))
    except RuntimeError as error:
        raise CheckpointError(
            f"{run / CHECKPOINT_FILE} holds weights of another network: "
            f"{_first_line(error)}; start a fresh training",
            next_step=FRESH,
        ) from error
    return supernet.eval()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
