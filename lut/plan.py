"""The plan of a profile: which models to time, how often, and in which order of importance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from elasticvit.arch import Arch
from elasticvit.errors import SettingError
from elasticvit.kernels import Kernel, lower
from elasticvit.space import SearchSpace
from lut.held_out import HeldOutSplit
from lut.keys import SUBNET, subnet_key
from lut.sample import kernel_sequences, other_heads, subnet_sequences

# A small subnet is timed in so many times the rounds of a large one. It costs less and varies more:
# by 4 to 6 % from load to load where a large one does by 1 to 3 %, by where its memory lies.
SMALL_ROUNDS = 2
HELD_OUT_LEVELS = 4  # in which the held-out models come in


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """What to measure.

    Attributes:
        seed: Random seed of the held-out split and of the choice of subnets.
        kernels, subnets: Number of kernels and subnets to fit with that every level of the plan
            adds.
        held_out_kernels, held_out_subnets: Number of held-out kernels and subnets in all; every
            level adds a quarter of them.
        held_out_rounds: Number of rounds of the held-out models; even, so that they can be
            compared with themselves. Small subnets are timed in twice as many (`SMALL_ROUNDS`),
            and so are those to fit with.
        max_kernels, max_subnets: Greatest number of kernels and subnets to fit with; the heads of
            other numbers of classes (`lut.sample.other_heads`) come on top.
        chosen: Exactly these kernels to fit with, beside `max_subnets` subnets, and nothing held
            out. None plans for the whole space.

    Raises:
        SettingError: A number that is too small, or an odd number of held-out rounds.
    """

    seed: int = 0
    kernels: int = 48
    subnets: int = 16
    held_out_kernels: int = 40
    held_out_subnets: int = 60
    held_out_rounds: int = 4
    max_kernels: int = 100_000
    max_subnets: int = 400
    chosen: tuple[Kernel, ...] | None = None

    def __post_init__(self) -> None:
        least = {"seed": 0, "kernels": 1, "subnets": 0, "held_out_kernels": 0}
        least |= {"held_out_subnets": 0, "held_out_rounds": 2, "max_kernels": 0, "max_subnets": 0}
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise SettingError(
                    f"{name} of a profile is {getattr(self, name)}; it must be at least {limit}",
                    settings=("seed",) if name == "seed" else (),
                )
        if self.held_out_rounds % 2:
            raise SettingError(
                f"held_out_rounds of a profile is {self.held_out_rounds}; it must be even, so that "
                "the rounds of a model can be halved and compared"
            )
        if self.chosen is not None and not self.chosen:
            raise SettingError("the plan has an empty list of chosen kernels; choose at least one")


@dataclass(frozen=True)
class Job:
    """A model to time.

    Attributes:
        key: Key in the table.
        kernels: The kernels that it is made of, input to output.
        held_out: Whether it is kept from fitting and choosing.
        rounds: Number of rounds in which it is timed.
    """

    key: str
    kernels: tuple[Kernel, ...]
    held_out: bool
    rounds: int

    @cached_property
    def gmacs(self) -> float:
        """Multiply-accumulates in billions."""
        return sum(kernel.macs for kernel in self.kernels) / 1e9

    @property
    def whole(self) -> bool:
        """Whether it is a whole subnet."""
        return self.key.startswith(SUBNET)


@dataclass(frozen=True)
class ProfilePlan:
    """All models that may be timed, in order of importance; a level limits how many are.

    Attributes:
        space: Space of the models.
        config: Numbers of models.
        first_kernels: Kernels to fit with that are timed at every level, beside those of the
            level: the heads of other numbers of classes.
        fit_kernels, held_kernels: Kernels to fit with and held-out kernels, in order of
            importance.
        fit_subnets, held_subnets: Subnets to fit with and held-out subnets, in order of
            importance.
    """

    space: SearchSpace
    config: PlanConfig
    first_kernels: Sequence[Kernel]
    fit_kernels: Sequence[Kernel]
    held_kernels: Sequence[Kernel]
    fit_subnets: Sequence[Arch]
    held_subnets: Sequence[Arch]

    @classmethod
    def of(cls, space: SearchSpace, config: PlanConfig) -> ProfilePlan:
        """The plan for a space; the same for the same configuration."""
        split = HeldOutSplit(seed=config.seed)
        if config.chosen is not None:
            sizes = replace(config, kernels=len(config.chosen), subnets=config.max_subnets)
            few = subnet_sequences(space, split, max(1, config.max_subnets)).fit
            return cls(space, sizes, (), config.chosen, (), few, ())
        fit, held = kernel_sequences(space, split)
        subnets = subnet_sequences(space, split, max(config.max_subnets, config.held_out_subnets))
        return cls(
            space,
            config,
            other_heads(space),
            fit[: config.max_kernels],
            held[: config.held_out_kernels],
            subnets.fit[: config.max_subnets],
            subnets.held_out[: config.held_out_subnets],
        )

    @property
    def levels(self) -> int:
        """The level beyond which nothing is added."""
        kernels = -(-len(self.fit_kernels) // max(1, self.config.kernels))
        subnets = -(-len(self.fit_subnets) // max(1, self.config.subnets))
        return max(HELD_OUT_LEVELS, kernels, subnets)

    @cached_property
    def reference(self) -> Job:
        """The model that is timed again and again to show drift: a subnet of middle size."""
        return replace(self._subnet(self.fit_subnets[0], False, 1), rounds=1)

    def samples(self) -> list[Job]:
        """A few models whose timings show how long timings take on a device."""
        kernels = self.fit_kernels[:2]
        return [self.reference, *(Job(k.key, (k,), False, 1) for k in kernels)]

    def jobs(self, level: int, rounds: int) -> list[Job]:
        """The jobs of a level.

        Args:
            level: Level of the plan, from 1.
            rounds: Number of rounds of the models to fit with.
        """
        config = self.config
        kernels = [*self.first_kernels, *self.fit_kernels[: level * config.kernels]]
        subnets = self.fit_subnets[: level * config.subnets]
        held_kernels = self.held_kernels[: _share(level, len(self.held_kernels))]
        held_subnets = self.held_subnets[: _share(level, len(self.held_subnets))]
        return [
            *(self._subnet(arch, False, rounds) for arch in subnets),
            *(Job(k.key, (k,), False, rounds) for k in kernels),
            *(self._subnet(arch, True, config.held_out_rounds) for arch in held_subnets),
            *(Job(k.key, (k,), True, config.held_out_rounds) for k in held_kernels),
        ]

    def _subnet(self, arch: Arch, held_out: bool, rounds: int) -> Job:
        layout = self.space.layout
        job = Job(subnet_key(arch, layout), lower(arch, layout), held_out, rounds)
        small = job.gmacs < self._middle_gmacs
        return replace(job, rounds=SMALL_ROUNDS * rounds) if small else job

    @cached_property
    def _middle_gmacs(self) -> float:
        """Half of the levels of complexity lie below it."""
        ends = (self.space.smallest, self.space.largest)
        gmacs = [sum(k.macs for k in lower(a, self.space.layout)) / 1e9 for a in ends]
        return math.sqrt(gmacs[0] * gmacs[1])


def _share(level: int, count: int) -> int:
    return -(-count * min(level, HELD_OUT_LEVELS) // HELD_OUT_LEVELS)
