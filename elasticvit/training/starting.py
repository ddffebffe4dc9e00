"""Spreading the weights of one trained network over a supernet before it is trained.

"Knowledge is easier scaled upward than downward" (SuperFast, DAC 2025): one subnet is trained
first, and all larger ones start from what it knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elasticvit.errors import ArchError, CheckpointError
from elasticvit.kernels import Place, walk
from elasticvit.nn import Subnet, Supernet
from elasticvit.nn.blocks import Block, MBConv
from elasticvit.nn.spread import silence, spread

Network = Subnet | Supernet


def start_weights(supernet: Supernet, source: Network) -> None:
    """Give a supernet the weights of a trained network, in place.

    Afterwards the supernet's subnet of the source's architecture has the source's logits, and so
    has every subnet that differs from it only by more depth, expansion, MLP ratio, V scale (with
    the clean qkv form) or larger filters. A wider subnet starts near it: layer norms see its new
    channels. Of a supernet all weights are taken, as far as both have them.

    A transformer block that the source lacks starts as a copy of the last one of its stage whose
    residual branch gives zero; an MBConv block likewise, unless the source's stage has its strided
    block alone: then it keeps its initial values, and gives its input too.

    Args:
        supernet: The supernet. Its classifier keeps its values if it has other classes.
        source: The trained subnet, or a supernet of the same layout apart from the classes.

    Raises:
        CheckpointError: The source does not fit the supernet's space (see `check_start`).
    """
    check_start(supernet, source)
    theirs = _blocks(source)
    last = {(place.stage, place.part): place.block for place in theirs}
    for place, _ in walk(supernet.space.largest, supernet.space.layout):
        block = supernet.block(place)
        if place in theirs:
            spread(theirs[place], block)
            continue
        nearest = theirs[Place(place.stage, last[place.stage, place.part], place.part)]
        if not _strided(nearest):
            spread(nearest, block)
        silence(block)


def check_start(supernet: Supernet, source: Network, settings: tuple[str, ...] = ()) -> None:
    """Check that a network's weights can start a supernet.

    Args:
        supernet: The supernet.
        source: The trained network.
        settings: Settings of the flow that name another source.

    Raises:
        CheckpointError: The layout or the block variants differ, or the source's architecture
            lies outside the supernet's space.
    """
    space = supernet.space
    own, theirs = space.layout.to_dict(), _layout(source)
    differs = [name for name in own if name != "classes" and own[name] != theirs[name]]
    differs += [
        name
        for name in ("norm", "qkv")
        if vars(supernet.options)[name] != vars(source.options)[name]
    ]
    if differs:
        raise CheckpointError(
            f"the weights to start from are of a network with another {', '.join(differs)} than "
            f"space {space.name}: their "
            + ", ".join(f"{name} is {_value(source, name)}" for name in differs)
            + "; name a network of this space, or train the space that they are of",
            settings=settings,
        )
    if isinstance(source, Subnet):
        try:
            space.check(source.arch)
        except ArchError as error:
            raise CheckpointError(
                f"the weights to start from are of an architecture outside space {space.name}: "
                f"{error}; name a subnet of this space, or train the space that it is of",
                settings=settings,
            ) from error


def _layout(network: Network) -> dict[str, Any]:
    layout = network.layout if isinstance(network, Subnet) else network.space.layout
    return layout.to_dict()


def _value(network: Network, name: str) -> Any:
    return {**vars(network.options), **_layout(network)}[name]


def _blocks(network: Network) -> Mapping[Place, Block[Any]]:
    """The blocks of a network by their places."""
    if isinstance(network, Subnet):
        places = [place for place, _ in walk(network.arch, network.layout)]
        blocks: Any = zip(places, network.blocks, strict=True)
        return dict(blocks)
    space = network.space
    return {place: network.block(place) for place, _ in walk(space.largest, space.layout)}


def _strided(block: Block[Any]) -> bool:
    """Whether a block changes the shape of its input, so that a later one cannot copy it."""
    return isinstance(block, MBConv) and (
        block.kernel.stride == 2 or block.kernel.cin != block.kernel.cout
    )
