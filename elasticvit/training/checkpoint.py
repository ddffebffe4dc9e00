"""Training runs on disk: what a run is (`run.json`) and where it stands (`checkpoint.pt`).

Both are written atomically, so a killed run leaves its last whole checkpoint. Nothing falls
back silently: a checkpoint that cannot be read, or belongs to another run, is an error.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from elasticvit.errors import CheckpointError, SpaceError
from elasticvit.nn import BlockOptions, Supernet
from elasticvit.space import SearchSpace
from elasticvit.workspace import write_atomic

SCHEMA = 1
RUN_FILE = "run.json"
CHECKPOINT_FILE = "checkpoint.pt"
LOG_FILE = "log.csv"


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a training run is; never changes while it runs.

    Attributes:
        space: the search space, with the data set's number of classes.
        data: canonical spec of the data set.
        seed: of weights, order, augmentation and sampling.
        mean, std: normalisation of the images, a channel, for pixels in 0..1.
        options: block variants.
        settings: the training's settings, by name.
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
            CheckpointError: another schema, or fields that are missing.
        """
        if data.get("schema") != SCHEMA:
            raise CheckpointError(
                f"training run of schema {data.get('schema')!r}; this version reads {SCHEMA}: "
                "update elasticvit, or train again with evit-train --fresh"
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
            raise CheckpointError(f"training run with missing or bad fields: {error}") from error

    def save(self, run: Path) -> None:
        """Write `run.json` into the run's folder."""
        write_atomic(run / RUN_FILE, json.dumps(self.to_dict(), indent=2) + "\n")

    @classmethod
    def load(cls, run: Path) -> RunInfo:
        """Read `run.json`.

        Raises:
            CheckpointError: the folder is no training run.
        """
        path = run / RUN_FILE
        try:
            data = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{run} is not a training run ({error}); run evit-train --fresh"
            ) from error
        if not isinstance(data, dict):
            raise CheckpointError(f"{path} is not a training run; run evit-train --fresh")
        return cls.from_dict(data)

    def with_settings(self, **changes: Any) -> RunInfo:
        """The same run with some settings changed."""
        return replace(self, settings={**self.settings, **changes})


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a training run stands, between two steps.

    Attributes:
        info: the run.
        step: steps done; the next one has this number.
        weights: the supernet's parameters and statistics.
        ema: their exponential moving average, or empty.
        optimiser, sampler, trainer: states of the parts, as plain values and tensors.
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
            CheckpointError: missing, truncated, foreign or written by another version.
        """
        path = run / CHECKPOINT_FILE
        try:
            data = torch.load(path, map_location=device, weights_only=True)
        except FileNotFoundError as error:
            raise CheckpointError(f"no checkpoint at {path}; run evit-train first") from error
        except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise CheckpointError(
                f"{path} is truncated or not a checkpoint: {_first_line(error)}; put a "
                "good copy back, or train again with evit-train --fresh"
            ) from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA or "weights" not in data:
            raise CheckpointError(
                f"{path} is not a checkpoint of this version (schema {SCHEMA}); update "
                "elasticvit, or train again with evit-train --fresh"
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
    """The trained supernet of a run, on the CPU in evaluation mode: the moving average of its
    weights where there is one.

    Args:
        run: the run's folder (`Workspace.latest("run")`).

    Raises:
        CheckpointError: no run, or its checkpoint is truncated, foreign or of another version.
    """
    checkpoint = Checkpoint.load(run)
    supernet = Supernet(checkpoint.info.space, checkpoint.info.options)
    try:
        supernet.load_state_dict(dict(checkpoint.ema or checkpoint.weights))
    except RuntimeError as error:
        raise CheckpointError(
            f"{run / CHECKPOINT_FILE} holds weights of another network: "
            f"{_first_line(error)}; train again with evit-train --fresh"
        ) from error
    return supernet.eval()


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
