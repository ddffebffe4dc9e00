"""The sandwich rule of BigNAS (ECCV 2020): the largest subnet learns from labels; the smallest
one and random ones learn from the largest by in-place distillation."""

from __future__ import annotations

from elasticvit.training.sampling.draw import Draw
from elasticvit.training.sampling.uniform import UniformSampler


class SandwichSampler(UniformSampler):
    """The sandwich rule; a `Sampler` of a single level.

    With n subnets, n + 1 are run as by the other samplers: the largest one, and as its students
    the smallest one and n - 1 random ones. BigNAS's two random ones are the default.
    """

    def draw_at(self, level: int) -> Draw:
        """The largest subnet, and the smallest and random ones that learn from it."""
        return Draw(
            level=level,
            archs=(self.space.largest,),
            students=(self.space.smallest, *self.random_archs(self.subnets - 1)),
            chosen=("fixed",),
        )
