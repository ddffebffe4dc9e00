"""Everything whose state a training changes, and the checkpoints of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor
from torch.optim import Optimizer

from elasticvit.nn import Supernet
from elasticvit.nn.weights import check_weights
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.checkpoint_file import CHECKPOINT_FORMAT, TrainerState
from elasticvit.training.optimiser_state import OptimiserState
from elasticvit.training.precision import Precision
from elasticvit.training.run_info import RunInfo
from elasticvit.training.sampling.protocol import Sampler
from elasticvit.training.unreadable import Unreadable
from elasticvit.training.watch import LossWatch


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What a training changes, besides torch's random generator.

    Attributes:
        supernet: The supernet.
        ema: The moving average of its weights.
        optimiser: The optimiser of them.
        sampler: Chooses the subnets of each step.
        watch: The watch over the loss.
        precision: The precision of a step, with its gradient scaler.
        unreadable: The training images that could not be read.
    """

    supernet: Supernet
    ema: ModelEmaV3
    optimiser: Optimizer
    sampler: Sampler
    watch: LossWatch
    precision: Precision
    unreadable: Unreadable

    def checkpoint(self, info: RunInfo, step: int, lr_scale: float) -> Checkpoint:
        """The present state, with every tensor of the weights in the memory of the CPU.

        Args:
            info: What the run is.
            step: Number of steps done.
            lr_scale: Factor of the schedule's learning rates.
        """
        return Checkpoint(
            info=info,
            step=step,
            weights=_on_cpu(self.supernet.state_dict()),
            ema=_on_cpu(self.ema.module.state_dict()),
            optimiser=OptimiserState.of(self.optimiser),
            sampler=self.sampler.state(),
            trainer=TrainerState(
                watch=self.watch.state(),
                torch_rng=torch.get_rng_state(),
                scaler=self.precision.state(),
                lr_scale=lr_scale,
                unreadable=self.unreadable.indices,
            ),
        )

    def restore(self, checkpoint: Checkpoint) -> float:
        """Go on from a checkpoint of the same run.

        Args:
            checkpoint: The checkpoint.

        Returns:
            The factor of the schedule's learning rates that it was written with.

        Raises:
            CheckpointError: It lacks something, or does not fit; what was checked before is
                restored already.
        """
        path = checkpoint.path
        ema, optimiser, sampler, trainer = checkpoint.parts()
        expected = self.supernet.state_dict()
        check_weights(checkpoint.weights, expected, f"{path}: weights", CHECKPOINT_FORMAT)
        check_weights(ema, expected, f"{path}: ema", CHECKPOINT_FORMAT)
        optimiser.restore(self.optimiser, checkpoint.step, f"{path}: optimiser", CHECKPOINT_FORMAT)
        self.sampler.restore(sampler)
        self.watch.restore(trainer.watch)
        self.precision.restore(trainer.scaler)
        self.unreadable.add(trainer.unreadable)
        try:
            torch.set_rng_state(trainer.torch_rng)
        except (RuntimeError, TypeError) as error:
            raise CHECKPOINT_FORMAT.failure(
                f"{path}: trainer.torch_rng is no state of torch's random generator"
            ) from error
        self.supernet.load_state_dict(checkpoint.weights)
        self.ema.module.load_state_dict(ema)
        return trainer.lr_scale


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A network's state with every tensor in the memory of the CPU."""
    return {name: tensor.detach().cpu() for name, tensor in state.items()}
