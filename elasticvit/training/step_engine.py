"""Takes training steps: gradients of micro-batches, averaged over the ranks, and one update.

Nothing here waits for the device: losses stay on it until they are read (`loss_buffer`), and an
update that would spoil the weights is skipped there.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from elasticvit.nn import Supernet
from elasticvit.nn.side_by_side import SideBySide
from elasticvit.nn.torch_threads import torch_threads
from elasticvit.training.batch import Batch
from elasticvit.training.clipping import clip_gradients
from elasticvit.training.config import TrainConfig
from elasticvit.training.divergence import gradient_norm
from elasticvit.training.losses import AlphaDivergence
from elasticvit.training.mixing import blended, erased
from elasticvit.training.precision import Precision
from elasticvit.training.ranks import Ranks
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.step import StepValues, SubnetPasses, run_step
from elasticvit.training.step_side_by_side import run_step_side_by_side
from elasticvit.training.targets import TargetMaker, Targets


class StepEngine:
    """Trains a supernet step by step.

    Args:
        supernet: The supernet, in training mode on the device of the ranks.
        optimiser: A fused optimiser of its parameters.
        config: Settings of the training.
        targets: Makes what the sampled subnets learn from, for each batch.
        seed: Random seed of the run.
        ranks: This process among those that train together.

    Attributes:
        threads: Threads that run the subnets of a step at the same time; None: one after another.
    """

    def __init__(
        self,
        supernet: Supernet,
        optimiser: torch.optim.Optimizer,
        config: TrainConfig,
        targets: TargetMaker,
        *,
        seed: int,
        ranks: Ranks,
    ) -> None:
        self.supernet, self.optimiser, self.config = supernet, optimiser, config
        self.targets = targets
        self.seed, self.ranks = seed, ranks
        self.threads: SideBySide | None = None
        self.divergence = AlphaDivergence()
        self.precision = Precision(config.precision, ranks.device)

    def gradients(self, step: int, batch: Batch, draw: Draw) -> StepValues:
        """The gradients of a step, averaged over the ranks and not clipped yet.

        Args:
            step: Index of the step, on which mixed images depend.
            batch: This rank's images.
            draw: The subnets, the same on all ranks.

        Returns:
            Losses on the device, averaged over the ranks, and the norm of the gradients.
        """
        self.optimiser.zero_grad(set_to_none=True)
        values = self.add_gradients(step, batch, draw)
        self.ranks.average(self._shared(values), weight=len(batch))
        self.precision.unscale(self.optimiser)
        norm = gradient_norm(self.supernet.parameters())
        return values.with_gradient(self.precision.checked(norm))

    def update(self, values: StepValues) -> None:
        """Clip the gradients and let the optimiser take its step; the weights stay as they are
        where a loss or a gradient is not finite.

        Args:
            values: What `gradients` returned.
        """
        clip_gradients(self.supernet.parameters(), self.config.clip_factor)
        self.precision.update(self.optimiser, values.values)

    def add_gradients(self, step: int, batch: Batch, draw: Draw) -> StepValues:
        """Add the gradients of this rank's images to the supernet's, micro-batch by micro-batch:
        the mean over all images, with batch statistics of each micro-batch."""
        config, seed = self.config, (self.seed, step)
        total: StepValues | None = None
        for part in batch.parts(self.config.accumulate):
            images = part.images.contiguous(memory_format=torch.channels_last)
            mix = None
            if config.erasing > 0:
                images = erased(images, config.erasing, (*seed, self.ranks.rank))
            if config.mixup > 0 or config.cutmix > 0:
                images, mix = blended(images, mixup=config.mixup, cutmix=config.cutmix, seed=seed)
            share = len(part) / len(batch)
            values = self.run_step(
                images, self.targets(replace(part, images=images), mix, self.threads), draw, share
            )
            total = values.added(total, share)
        assert total is not None
        return total

    def run_step(
        self, images: Tensor, targets: Targets, draw: Draw, share: float = 1.0
    ) -> StepValues:
        """Add the gradients of images to the supernet's.

        Args:
            images: Normalised images (B, 3, R, R).
            targets: What the sampled subnets should say of these images.
            draw: The subnets.
            share: Share of the step's images that these are; gradients are multiplied by it.
        """
        passes = SubnetPasses(
            supernet=self.supernet,
            images=images,
            targets=targets,
            divergence=self.divergence,
            precision=self.precision,
            share=share,
        )
        if self.threads is None:
            return run_step(passes, draw)
        if len(draw.archs) + len(draw.students) == 1:  # a first one alone has all threads
            with torch_threads(self.threads.total):
                return run_step(passes, draw)
        return run_step_side_by_side(passes, draw, self.threads)

    def _shared(self, values: StepValues) -> list[Tensor]:
        """What the ranks average: losses, gradients and running statistics. With the latter, all
        ranks hold the same supernet at any time, whichever of them saves it."""
        gradients = [p.grad for p in self.supernet.parameters() if p.grad is not None]
        statistics = [b for b in self.supernet.buffers() if b.is_floating_point()]
        return [values.values, values.plain, *gradients, *statistics]
