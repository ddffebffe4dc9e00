"""What a sampler has done so far, as checkpoints hold it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from elasticvit.arch import ArchBatch
from elasticvit.errors import CheckpointError
from elasticvit.reading import Count, Format, NotNegative, shown
from elasticvit.rng_state import RngState
from elasticvit.space import SearchSpace
from elasticvit.training.levels import Levels
from elasticvit.training.run_info import FRESH

Gene = Annotated[int, Meta(ge=1, le=32_767)]
Genes = tuple[Gene, ...]


class BankEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A subnet that a memory bank remembers.

    Attributes:
        genes: Genes of the architecture.
        loss: Mean cross entropy when it was evaluated last.
        judged: Number of steps that were done then.
    """

    genes: Genes
    loss: float
    judged: Count


class BanksState(msgspec.Struct, frozen=True, kw_only=True):
    """The memory banks and what surrounds them.

    Attributes:
        rng: State of the random generator of the draws from them, as JSON.
        steps: Number of steps whose losses they were told.
        earned: Work that upkeep may still do; see `upkeep.Upkeep`.
        entries: For each level the subnets that are remembered.
    """

    rng: str
    steps: Count
    earned: NotNegative
    entries: tuple[tuple[BankEntry, ...], ...]


class SamplerState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a sampler.

    Attributes:
        values: Lower edges of the complexity levels.
        level: Level of the last step; None before the first.
        rng: State of the random generator, as JSON.
        kept: For each level the genes of the architectures that are left in its reservoir.
        banks: The memory banks; None without them, as in checkpoints of earlier versions.
    """

    values: tuple[float, ...]
    level: Count | None
    rng: str
    kept: tuple[tuple[Genes, ...], ...]
    banks: BanksState | None = None


RNG_FORMAT = Format(
    kind=RngState,
    what="the state of a random generator",
    error=CheckpointError,
    mend="put a good copy back, or start a fresh training",
    next_step=FRESH,
)


def rng_json(rng: np.random.Generator) -> str:
    """The state of a random generator as JSON."""
    return json.dumps(rng.bit_generator.state)


def restore_rng(rng: np.random.Generator, text: str, name: str) -> None:
    """Bring a random generator into a state.

    Args:
        rng: The generator.
        text: The state as `rng_json` gives it.
        name: What a message calls it, such as `sampler.rng`.

    Raises:
        CheckpointError: It is none.
    """
    RNG_FORMAT.parse_json(text, f"{name} in the checkpoint").restore(rng)


def check_levels(state: SamplerState, levels: Levels) -> None:
    """Check that a state is of a run with these complexity levels.

    Raises:
        CheckpointError: It is of others.
    """
    if state.values != levels.values:
        raise CheckpointError(
            f"the checkpoint has complexity levels {shown(list(state.values))}, this run "
            f"{list(levels.values)}; start a fresh training",
            next_step=FRESH,
        )


def check_genes(rows: Sequence[Genes], space: SearchSpace, most: int) -> ArchBatch:
    """The architectures that a state holds.

    Args:
        rows: Genes of each.
        space: The search space.
        most: Greatest number of them.

    Raises:
        CheckpointError: There are more, or one lies outside the space.
    """
    if len(rows) > most or any(len(row) != len(space.names) for row in rows):
        raise damaged(
            f"architectures of another form than the {len(space.names)} genes of the space, or "
            f"more than {most} of them at a level"
        )
    genes = np.array(rows, dtype=np.int16).reshape(-1, len(space.names))
    batch = ArchBatch(genes, space.layout.n_conv)
    if not space.valid(batch).all():
        raise damaged("architectures that lie outside the space")
    return batch


def damaged(found: str) -> CheckpointError:
    """The error of a state that cannot be.

    Args:
        found: What it holds.
    """
    return CheckpointError(
        f"the state of the sampler in the checkpoint holds {found}; put a good copy back, or start "
        "a fresh training",
        next_step=FRESH,
    )
