"""What a checkpoint holds, as it is read from its files."""

from __future__ import annotations

import msgspec
from torch import Tensor

from elasticvit.errors import CheckpointError
from elasticvit.reading import Count, Format, Positive
from elasticvit.training.optimiser_state import OptimiserState
from elasticvit.training.precision import ScalerState
from elasticvit.training.run_info import FRESH, RunFile
from elasticvit.training.sampling.state import SamplerState
from elasticvit.training.watch import WatchState

SCHEMA = 2  # 1 is `checkpoint.pt`, a file of torch, which is still read


class TrainerState(msgspec.Struct, frozen=True, kw_only=True):
    """State of a training besides that of weights, optimiser and sampler.

    Attributes:
        watch: State of the loss watch.
        torch_rng: State of torch's random generator, as `torch.get_rng_state` gives it.
        scaler: State of the gradient scaler; None if the precision needs none.
        lr_scale: Factor of the learning rate since the training was last gone on with.
        unreadable: Indices of the training images that could not be read so far.
    """

    watch: WatchState
    torch_rng: Tensor
    scaler: ScalerState | None = None
    lr_scale: Positive = 1.0
    unreadable: tuple[Count, ...] = ()


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
