"""The state of a training run on disk, `checkpoint.pt`.

It is written atomically, so a killed run leaves its last whole checkpoint. Nothing falls back
silently: a checkpoint that cannot be read, or belongs to another run, is an error.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from elasticvit.errors import CheckpointError, NextStep
from elasticvit.files import write_atomic
from elasticvit.nn import Supernet
from elasticvit.nn.torch_file import read_torch_file
from elasticvit.nn.weights import filled
from elasticvit.reading import Count, Format
from elasticvit.training.optimiser_state import OptimiserState
from elasticvit.training.run_info import CHECKPOINT_FILE, FRESH, RunFile, RunInfo
from elasticvit.training.sampling.state import SamplerState
from elasticvit.training.watch import WatchState

SCHEMA = 1


class TrainerState(msgspec.Struct, frozen=True, kw_only=True):
    """State of the loss watch and of torch's random generator.

    Attributes:
        watch: State of the loss watch.
        torch_rng: State of torch's random generator, as `torch.get_rng_state` gives it.
    """

    watch: WatchState
    torch_rng: Tensor


class CheckpointFile(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as its file holds it; see `Checkpoint`."""

    info: RunFile
    step: Count
    weights: dict[str, Tensor]
    ema: dict[str, Tensor] | None
    optimiser: OptimiserState | None
    sampler: SamplerState | None
    trainer: TrainerState | None


CHECKPOINT_FORMAT = Format(
    kind=CheckpointFile,
    what="a checkpoint",
    error=CheckpointError,
    mend="put a good copy back, or start a fresh training",
    next_step=FRESH,
    schema=SCHEMA,
)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """State of a training run between two steps.

    Training goes on only from a checkpoint that holds all of it; weights alone are enough for
    `load_supernet`.

    Attributes:
        info: What the run is.
        step: Number of steps done, which is the index of the next one.
        weights: Parameters and batch norm statistics of the supernet.
        ema: Exponential moving average of the weights; None if none is kept.
        optimiser: State of the optimiser.
        sampler: State of the sampler.
        trainer: State of the loss watch and of torch's random generator.
    """

    info: RunInfo
    step: int
    weights: dict[str, Tensor]
    ema: dict[str, Tensor] | None = None
    optimiser: OptimiserState | None = None
    sampler: SamplerState | None = None
    trainer: TrainerState | None = None

    def parts(
        self, path: Path
    ) -> tuple[dict[str, Tensor], OptimiserState, SamplerState, TrainerState]:
        """What training goes on from besides the weights: `ema`, `optimiser`, `sampler`,
        `trainer`.

        Args:
            path: File of the checkpoint, for messages.

        Raises:
            CheckpointError: One of them is lacking.
        """
        ema, optimiser, sampler, trainer = self.ema, self.optimiser, self.sampler, self.trainer
        if ema is None or optimiser is None or sampler is None or trainer is None:
            parts = {"ema": ema, "optimiser": optimiser, "sampler": sampler, "trainer": trainer}
            lacking = ", ".join(name for name, part in parts.items() if part is None)
            raise CHECKPOINT_FORMAT.failure(f"{path} lacks {lacking}, which training goes on from")
        return ema, optimiser, sampler, trainer

    def save(self, run: Path) -> None:
        """Write `checkpoint.pt` into the run's folder, replacing the last one at once.

        Raises:
            FileError: It cannot be written; the last one stays.
        """
        trainer = self.trainer
        plain: dict[str, Any] = {
            "schema": SCHEMA,
            "info": self.info.to_dict(),
            "step": self.step,
            "weights": self.weights,
            "ema": self.ema,
            "optimiser": self.optimiser and self.optimiser.to_dict(),
            "sampler": msgspec.to_builtins(self.sampler),
            "trainer": trainer
            and {"watch": msgspec.to_builtins(trainer.watch), "torch_rng": trainer.torch_rng},
        }
        buffer = io.BytesIO()
        torch.save(plain, buffer)
        write_atomic(run / CHECKPOINT_FILE, buffer.getvalue())

    @classmethod
    def load(cls, run: Path) -> Checkpoint:
        """Read the checkpoint of a run's folder, into the memory of the CPU.

        Raises:
            CheckpointError: The checkpoint is missing, truncated, damaged, foreign or of another
                version.
        """
        path = run / CHECKPOINT_FILE
        if not path.exists():
            raise CheckpointError(
                f"no checkpoint at {path}; train first", next_step=NextStep("train")
            )
        file = read_torch_file(path, CHECKPOINT_FORMAT)
        facts = msgspec.structs.asdict(file)
        return cls(**{**facts, "info": RunInfo.of(file.info, f"{path}, info")})


def load_supernet(run: Path) -> Supernet:
    """The trained supernet of a run, on the CPU in evaluation mode, with the moving average of
    its weights if one was kept.

    Args:
        run: Folder of the run (`Workspace.latest("run")`).

    Raises:
        CheckpointError: The folder is no run, or its checkpoint is missing, truncated, damaged,
            of another run or of another version.
    """
    info = RunInfo.load(run)
    checkpoint = Checkpoint.load(run)
    path = run / CHECKPOINT_FILE
    check_same_run(checkpoint, info, path)
    averaged = checkpoint.ema is not None
    return filled(
        lambda: Supernet(info.space, info.options),
        checkpoint.weights if checkpoint.ema is None else checkpoint.ema,
        f"{path}: {'ema' if averaged else 'weights'}",
        CHECKPOINT_FORMAT,
    )


def check_same_run(checkpoint: Checkpoint, info: RunInfo, path: Path) -> None:
    """Check that a checkpoint is of a run.

    Args:
        checkpoint: The checkpoint.
        info: What the run is.
        path: File of the checkpoint.

    Raises:
        CheckpointError: It is of another one; what differs is named.
    """
    differs = [
        name for name, value in vars(info).items() if getattr(checkpoint.info, name) != value
    ]
    if differs:
        raise CHECKPOINT_FORMAT.failure(
            f"{path} belongs to a run with another space, data set, seed or settings: "
            f"its {', '.join(differs)} {'differs' if len(differs) == 1 else 'differ'}"
        )
