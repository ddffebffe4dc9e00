"""The panel of a run: a few subnets that stand for the whole supernet and are judged again and
again while it trains.

They are chosen when the run begins and are kept in its folder, so that figures of different times
can be compared, also after a run was killed and resumed. This module does not load torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import CostModel, MacsCost
from elasticvit.errors import CheckpointError
from elasticvit.files import write_atomic
from elasticvit.reading import Count, Format, Positive
from elasticvit.space import SearchSpace
from elasticvit.training.levels import Levels
from elasticvit.training.sampling.reservoir import Reservoir

SCHEMA = 1
PANEL_FILE = "panel.json"
A_LEVEL = 3  # subnets of each complexity level
DRAWS = 24  # at a level, until that many different ones are found
SEED = 0x9A5E1  # parts the draws of the panel from those of the training
SMALLEST, LARGEST = "smallest", "largest"


@dataclass(frozen=True, kw_only=True)
class PanelMember:
    """A subnet of the panel.

    Attributes:
        name: `smallest`, `largest`, or the level and a letter, such as `300 MMACs b`.
        level: Index of the complexity level it stands for; None for the smallest and the largest
            subnet of the space.
        arch: The architecture.
        macs_m: Multiply-accumulates, in millions.
        cost: Cost in the unit of the complexity levels.
    """

    name: str
    level: Count | None
    arch: Arch
    macs_m: Positive
    cost: Positive

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**vars(self), "arch": self.arch.to_dict()}


class PanelFile(msgspec.Struct, frozen=True, kw_only=True):
    """A panel as `panel.json` holds it; see `Panel`."""

    schema: int = SCHEMA
    unit: str
    levels: tuple[Positive, ...]
    members: Annotated[tuple[PanelMember, ...], Meta(min_length=1)]


PANEL_FORMAT = Format(
    kind=PanelFile,
    what="the panel of a training run",
    error=CheckpointError,
    mend="put a good copy back, or remove it: the same subnets are then chosen again",
    schema=SCHEMA,
)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The subnets of the panel, smallest first, then by level, the largest last.

    Attributes:
        unit: Unit of the complexity levels, `MMACs` or `ms`.
        levels: Lower edges of the complexity levels, rising.
        members: The subnets, no two alike.
    """

    unit: str
    levels: tuple[float, ...]
    members: tuple[PanelMember, ...]

    def of_level(self, level: int) -> tuple[PanelMember, ...]:
        """The subnets that stand for a level."""
        return tuple(member for member in self.members if member.level == level)

    @property
    def macs_m(self) -> float:
        """Multiply-accumulates of all subnets together, in millions an image."""
        return sum(member.macs_m for member in self.members)

    def save(self, run: Path) -> None:
        """Write `panel.json` into the run's folder.

        Raises:
            FileError: It cannot be written.
        """
        members = [member.to_dict() for member in self.members]
        facts = {"schema": SCHEMA, "unit": self.unit, "levels": self.levels, "members": members}
        text = json.dumps(facts, indent=1)
        write_atomic(run / PANEL_FILE, text + "\n")

    @classmethod
    def load(cls, run: Path, space: SearchSpace) -> Panel:
        """Read `panel.json`.

        Raises:
            CheckpointError: It is missing or damaged, or its subnets lie outside the space.
        """
        path = run / PANEL_FILE
        file = PANEL_FORMAT.read_json(path)
        for member in file.members:
            arch, layout = member.arch, space.layout
            form = (len(arch.conv), len(arch.attn))
            fits = form == (layout.n_conv, len(layout.attn_strides))
            if not fits or not space.valid(ArchBatch.of([arch]))[0]:
                raise PANEL_FORMAT.failure(
                    f"{path}: {member.name} is {arch}, which lies outside space {space.name}"
                )
        if any((member.level or 0) >= len(file.levels) for member in file.members):
            raise PANEL_FORMAT.failure(
                f"{path}: a level is not among the {len(file.levels)} levels"
            )
        return cls(unit=file.unit, levels=file.levels, members=file.members)


def choose_panel(space: SearchSpace, cost: CostModel, levels: Levels, seed: int) -> Panel:
    """The panel of a run: smallest and largest subnet, and three of each complexity level, drawn
    uniformly from its band; fewer where a band holds fewer.

    Args:
        space: The search space.
        cost: Cost that the complexity levels are measured in.
        levels: The complexity levels.
        seed: Random seed of the run.

    Raises:
        TargetError: A level holds no architecture.
    """
    reservoir = Reservoir(space, cost, levels, np.random.default_rng([seed, SEED]))
    found: dict[Arch, tuple[str, int | None]] = {space.smallest: (SMALLEST, None)}
    for level, value in enumerate(levels.values):
        drawn = dict.fromkeys(reservoir.draw(level, DRAWS))
        new = [arch for arch in drawn if arch not in found and arch != space.largest]
        for letter, arch in zip("abc", new[:A_LEVEL], strict=False):
            found[arch] = (f"{value:g} {levels.unit} {letter}", level)
    found.setdefault(space.largest, (LARGEST, None))
    batch = ArchBatch.of(list(found))
    return Panel(
        unit=levels.unit,
        levels=levels.values,
        members=tuple(
            PanelMember(name=name, level=level, arch=arch, macs_m=float(macs), cost=float(price))
            for (arch, (name, level)), macs, price in zip(
                found.items(), MacsCost(space).price(batch), cost.price(batch), strict=True
            )
        ),
    )


def panel_of(run: Path, space: SearchSpace, cost: CostModel, levels: Levels, seed: int) -> Panel:
    """The panel of a run, chosen and kept in its folder if there is none yet; see `choose_panel`.

    Raises:
        CheckpointError: The panel in the folder is damaged or of another space.
        FileError: It cannot be written.
        TargetError: A level holds no architecture.
    """
    if (run / PANEL_FILE).exists():
        return Panel.load(run, space)
    panel = choose_panel(space, cost, levels, seed)
    panel.save(run)
    return panel
