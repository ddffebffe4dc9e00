"""A training of one subnet alone: its space, its architecture, the weights it starts from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.arch import Arch
from elasticvit.errors import ArchError, CheckpointError, SettingError
from elasticvit.events import EventHandler, Phase
from elasticvit.find import ENDS, find_arch, read_arch
from elasticvit.flows.settings import space_of
from elasticvit.flows.train_settings import TrainSettings
from elasticvit.space import SearchSpace
from elasticvit.training.run_info import RUN_FILE, RunInfo
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.nn import Subnet, Supernet
    from elasticvit.training.config import TrainConfig

SUBNET_SPACE = "subnet"  # name of the space of a subnet's file


@dataclass(frozen=True, eq=False, kw_only=True)
class SingleTraining:
    """One subnet that is trained alone.

    Attributes:
        space: The space that holds its architecture alone, with the data set's number of classes.
        subnet: The subnet with the weights that training starts from; None: initial weights.
    """

    space: SearchSpace
    subnet: Subnet | None

    def configured(self, config: TrainConfig) -> TrainConfig:
        """The settings of its training: one subnet a step, and the weights that it starts from.

        Args:
            config: Settings of a training of its space.
        """
        config = replace(config, subnets=1, hss=1, bank=False, preference=False, grow=0.0)
        if self.subnet is None:
            return config
        from elasticvit.training.teacher import weights_of

        return replace(config, start=weights_of(self.subnet))

    def start(self, supernet: Supernet) -> None:
        """Fill the supernet of its space with the weights that training starts from."""
        from elasticvit.training.starting import start_weights

        if self.subnet is not None:
            start_weights(supernet, self.subnet)


def named_space(
    settings: TrainSettings, workspace: Workspace, events: EventHandler
) -> SearchSpace | None:
    """The space of a training as it is named or remembered, without the data set's number of
    classes: for a subnet that starts from a run or supernet that of these, for one from a file the
    architecture alone. None if none is.

    Raises:
        SpaceError: There is no such space.
        SettingError: The space is not that of the run.
        ArchError: The architecture of the file is not the one that is named.
        CheckpointError: The run or file is missing or damaged.
    """
    if settings.subnet is None or settings.start_from is None:
        if settings.space is None and workspace.settings().space is None:
            return None
        return space_of(workspace, settings.space, events)
    source = _source_space(_place(settings.start_from))
    of_file = source.name == SUBNET_SPACE  # any space that has its architecture is right
    space = None
    if settings.space is not None or (of_file and workspace.settings().space is not None):
        space = space_of(workspace, settings.space, events).with_classes(source.layout.classes)
    if settings.space is not None:
        assert space is not None
        fits = space.layout == source.layout if of_file else space == source
        if not fits:
            raise SettingError(
                f"space is {space.name}, but start_from {settings.start_from} is of "
                + ("another layout" if of_file else f"space {source.name}")
                + "; leave space out",
                settings=["space", "start_from"],
            )
    if of_file:
        _check_same(settings, source, space)
    return source


def _check_same(settings: TrainSettings, source: SearchSpace, space: SearchSpace | None) -> None:
    """Check that the architecture that is named is that of the file to start from.

    Args:
        settings: Settings of the flow.
        source: The architecture of the file, as a space of its own.
        space: The space that is named or remembered, which tells what is smallest and largest.

    Raises:
        ArchError: It is another one, or the space that it belongs to is not known.
    """
    theirs, named = source.smallest, settings.subnet
    its = f"start_from {settings.start_from} has the weights of one architecture, {theirs}"
    assert named is not None
    if str(named).strip() in ENDS:
        if space is None or space.layout != source.layout:
            raise ArchError(
                f"subnet is {named}, of a space that is not known, and {its}; name that "
                "architecture, or the space",
                settings=["subnet", "space"],
            )
        arch, told = _found(named, space), f"{named} of space {space.name}"
    else:
        arch, told = _found(named, None), str(named)
    if arch != theirs:
        words = told if told == str(arch) else f"{told}, {arch}"
        raise ArchError(
            f"subnet is {words}, but {its}; name that one, or start from a training run whose "
            "supernet has both",
            settings=["subnet", "start_from"],
        )


def _found(named: Arch | str, space: SearchSpace | None) -> Arch:
    """The architecture that is named, in a space or whatever its space.

    Raises:
        ArchError: There is no such architecture.
    """
    try:
        return read_arch(named) if space is None else find_arch(named, space)
    except ArchError as error:
        raise ArchError(f"subnet: {error}", settings=["subnet"]) from error


def open_single(
    settings: TrainSettings, space: SearchSpace, events: EventHandler
) -> SingleTraining | None:
    """What a training of one subnet is made from; None if a whole supernet is trained.

    Args:
        settings: Settings of the flow.
        space: The space, with the data set's number of classes.
        events: Receives a `Phase`.

    Raises:
        ArchError: There is no such architecture in the space.
        CheckpointError: The weights to start from are missing or damaged.
    """
    if settings.subnet is None:
        return None
    from elasticvit.training.single import single_space

    arch = _found(settings.subnet, space)
    subnet = None
    if settings.start_from is not None:
        events(Phase(text=f"reading the subnet's weights in {settings.start_from}"))
        subnet = _subnet(_place(settings.start_from), arch)
    return SingleTraining(space=single_space(space, arch), subnet=subnet)


def _place(start_from: Path | str) -> Path:
    """The folder of a run, or the file of a subnet: in the folder of a search its winner's."""
    from elasticvit.training.start_source import SUBNET_FILE

    path = Path(start_from).expanduser()
    if (path / SUBNET_FILE).exists() and not (path / RUN_FILE).exists():
        return path / SUBNET_FILE
    return path


def _subnet(source: Path, arch: Arch) -> Subnet:
    """The weights of an architecture in a run or a supernet, or those of a subnet's file."""
    from elasticvit.nn import Subnet
    from elasticvit.nn.shipped import names_supernet, read_supernet
    from elasticvit.training.checkpoint import load_supernet

    if (source / RUN_FILE).exists():
        return Subnet.cut(load_supernet(source), arch)
    if names_supernet(source):
        return Subnet.cut(read_supernet(source), arch)
    return Subnet.load(source)


def _source_space(source: Path) -> SearchSpace:
    """The space of a run or a supernet, or the architecture of a subnet's file as a space of its
    own."""
    if (source / RUN_FILE).exists():
        return RunInfo.load(source).space
    from elasticvit.nn.shipped import card_space, load_card, names_supernet

    if names_supernet(source) and not source.is_dir():
        return card_space(load_card(source), str(source))
    if source.is_dir() or not source.exists():
        raise CheckpointError(
            f"start_from is {source}, "
            + (
                "a folder without a training run or subnet"
                if source.is_dir()
                else "which does not exist"
            )
            + "; name the folder of a run or of a search, a supernet, or the file of a subnet",
            settings=["start_from"],
        )
    from elasticvit.nn import Subnet

    subnet = Subnet.load(source)
    choices = tuple((gene,) for gene in subnet.arch.genes)
    return SearchSpace(SUBNET_SPACE, subnet.layout, choices)
