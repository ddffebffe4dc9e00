"""What is said and done when a training diverges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from elasticvit.errors import NextStep, TrainingError
from elasticvit.training.checkpoint_store import CheckpointStore
from elasticvit.training.levels import Levels
from elasticvit.training.run_info import FRESH
from elasticvit.training.sampling.draw import Draw

LOWER = 0.5  # factor of the learning rate that is proposed


@dataclass(frozen=True, kw_only=True)
class LastGood:
    """The last checkpoint that is worth going on from.

    Attributes:
        run: Folder of the run.
        step: Its step.
        latest: Whether no later one is there.
    """

    run: Path
    step: int
    latest: bool

    @classmethod
    def of(cls, run: Path) -> LastGood | None:
        """That of a run; None if it has no checkpoint."""
        store = CheckpointStore(run)
        step = store.good
        if step is None:
            return None
        return cls(run=run, step=step, latest=step == max(store.steps(), default=step))


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The norm of all gradients together, without a dimension: not finite if one of them holds a
    number that is not."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


def diverged(
    found: str, step: int, draw: Draw, levels: Levels, last: LastGood | None
) -> TrainingError:
    """The error of a training that diverged.

    Args:
        found: What was found, such as `the loss is not a number`.
        step: Index of the step.
        draw: Its subnets.
        levels: The complexity levels of the run.
        last: The last good checkpoint; None if there is none.
    """
    archs = ", ".join(map(str, (*draw.archs, *draw.students)))
    where = (
        f"training diverged at step {step}: {found}; it was at complexity level "
        f"{levels.values[draw.level]:g} {levels.unit}, with the subnets {archs}"
    )
    if last is None:
        return TrainingError(
            f"{where}; there is no checkpoint yet. Start a fresh training with a lower learning "
            "rate",
            settings=["lr", "fresh"],
            next_step=FRESH,
        )
    back = {} if last.latest else {"resume_from": last.step}
    return TrainingError(
        f"{where}; the last good checkpoint is that of step {last.step} in {last.run}. Go on from "
        "it with lower learning rates, or start a fresh training with a lower learning rate",
        settings=[*back, "lr_scale", "lr", "fresh"],
        next_step=NextStep("train", {**back, "lr_scale": LOWER}),
    )
