"""What every sampler does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from elasticvit.training.levels import Levels
from elasticvit.training.sampling.bank import Banks
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.sampling.state import SamplerState


class Sampler(Protocol):
    """Chooses the subnets of each step.

    The same seed gives the same draws in every process, as long as all are told the same losses,
    so the ranks of a distributed run agree without talking. `state` brings a sampler of the same
    kind, space and levels to the same point through `restore`, so that its draws go on bit for bit.
    """

    @property
    def levels(self) -> Levels:
        """The complexity levels; a single one that is the whole space without levels."""
        ...

    @property
    def banks(self) -> Banks | None:
        """The memory banks; None if it remembers nothing."""
        ...

    def draw(self, share: float = 0.0) -> Draw:
        """The next step's subnets.

        Args:
            share: Share of the training that is done, from 0 to 1.

        Raises:
            TargetError: No architecture within the band of the level was found.
        """
        ...

    def draw_at(self, level: int) -> Draw:
        """Random subnets of a level, without moving the walk and without what was remembered.

        Raises:
            TargetError: No architecture within the band of the level was found.
        """
        ...

    def learn(self, draw: Draw, losses: Sequence[float]) -> None:
        """Take note of how good the subnets of a step were.

        Args:
            draw: What the step ran.
            losses: For each of `draw.archs` the mean cross entropy with the labels of the batch,
                neither mixed nor smoothed; the same on all ranks.
        """
        ...

    def state(self) -> SamplerState:
        """What it has done so far."""
        ...

    def restore(self, state: SamplerState) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: The state belongs to other complexity levels or another space, or is
                damaged.
        """
        ...
