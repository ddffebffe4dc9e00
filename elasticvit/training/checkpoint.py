"""The state of a training run between two steps.

`checkpoint_store` says how it lies on disk. Nothing falls back silently: a checkpoint that cannot
be read, or belongs to another run, is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor

from elasticvit.nn import Supernet
from elasticvit.nn.weights import filled
from elasticvit.training.checkpoint_file import (
    CHECKPOINT_FORMAT,
    SCHEMA,
    TrainerState,
)
from elasticvit.training.checkpoint_store import CheckpointStore
from elasticvit.training.optimiser_state import OptimiserState
from elasticvit.training.policy import KEEP
from elasticvit.training.run_info import RunInfo
from elasticvit.training.sampling.state import SamplerState


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
        trainer: State of everything else.
        path: Its file, for messages; None if it was not read from one.
    """

    info: RunInfo
    step: int
    weights: dict[str, Tensor]
    ema: dict[str, Tensor] | None = None
    optimiser: OptimiserState | None = None
    sampler: SamplerState | None = None
    trainer: TrainerState | None = None
    path: Path | None = field(default=None, compare=False)

    def parts(self) -> tuple[dict[str, Tensor], OptimiserState, SamplerState, TrainerState]:
        """What training goes on from besides the weights: `ema`, `optimiser`, `sampler`,
        `trainer`.

        Raises:
            CheckpointError: One of them is lacking.
        """
        ema, optimiser, sampler, trainer = self.ema, self.optimiser, self.sampler, self.trainer
        if ema is None or optimiser is None or sampler is None or trainer is None:
            parts = {"ema": ema, "optimiser": optimiser, "sampler": sampler, "trainer": trainer}
            lacking = ", ".join(name for name, part in parts.items() if part is None)
            raise CHECKPOINT_FORMAT.failure(
                f"{self.path} lacks {lacking}, which training goes on from"
            )
        return ema, optimiser, sampler, trainer

    def to_plain(self) -> dict[str, Any]:
        """The checkpoint in plain values and tensors, which are shared."""
        trainer = self.trainer
        return {
            "schema": SCHEMA,
            "info": self.info.to_dict(),
            "step": self.step,
            "weights": self.weights,
            "ema": self.ema,
            "optimiser": self.optimiser and self.optimiser.to_dict(),
            "sampler": msgspec.to_builtins(self.sampler),
            "trainer": trainer and msgspec.to_builtins(trainer, builtin_types=(Tensor,)),
        }

    def save(self, run: Path, *, keep: int = KEEP, good: bool = True) -> None:
        """Write it into the run's folder; see `CheckpointStore.save`.

        Args:
            run: Folder of the run.
            keep: Number of latest checkpoints that are kept.
            good: Whether it is worth going on from.

        Raises:
            FileError: It cannot be written; the earlier ones stay.
            CheckpointError: The marks of the earlier ones are damaged.
        """
        CheckpointStore(run, keep).save(self.step, self.to_plain(), good=good)

    @classmethod
    def load(cls, run: Path, *, step: int | None = None, best: bool = False) -> Checkpoint:
        """Read a checkpoint of a run's folder, into the memory of the CPU.

        Args:
            run: Folder of the run.
            step: Its step. None: the latest one.
            best: Whether it is the best one.

        Raises:
            CheckpointError: The checkpoint is missing, truncated, damaged, foreign or of another
                version.
        """
        store = CheckpointStore(run)
        if best:
            file, path = store.best()
        else:
            file, path = store.latest() if step is None else store.at(step)
        facts = msgspec.structs.asdict(file)
        return cls(**{**facts, "info": RunInfo.of(file.info, f"{path}, info"), "path": path})


def load_supernet(run: Path, *, best: bool = False) -> Supernet:
    """The trained supernet of a run, on the CPU in evaluation mode, with the moving average of
    its weights if one was kept.

    Args:
        run: Folder of the run (`Workspace.latest("run")`).
        best: Whether to take the weights of the best checkpoint, by the mean accuracy of the
            subnets that were judged while it trained, instead of the latest.

    Raises:
        CheckpointError: The folder is no run, or its checkpoint is missing, truncated, damaged,
            of another run or of another version.
    """
    info = RunInfo.load(run)
    checkpoint = Checkpoint.load(run, best=best)
    check_same_run(checkpoint, info)
    averaged = checkpoint.ema is not None
    return filled(
        lambda: Supernet(info.space, info.options),
        checkpoint.weights if checkpoint.ema is None else checkpoint.ema,
        f"{checkpoint.path}: {'ema' if averaged else 'weights'}",
        CHECKPOINT_FORMAT,
    )


def check_same_run(checkpoint: Checkpoint, info: RunInfo) -> None:
    """Check that a checkpoint is of a run.

    Args:
        checkpoint: The checkpoint.
        info: What the run is.

    Raises:
        CheckpointError: It is of another one; what differs is named.
    """
    differs = [
        name for name, value in vars(info).items() if getattr(checkpoint.info, name) != value
    ]
    if differs:
        raise CHECKPOINT_FORMAT.failure(
            f"{checkpoint.path} belongs to a run with another space, data set, seed or settings: "
            f"its {', '.join(differs)} {'differs' if len(differs) == 1 else 'differ'}"
        )
