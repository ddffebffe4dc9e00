"""One architecture trained alone, from its weights in a supernet or from initial ones.

It is the supernet of a space with one choice a gene, so that loop, checkpoints, search and export
are those of any run. The paper's transfer experiment is of this kind: a subnet that is cut out of
the supernet and fine-tuned on another data set (ElasticViT, section 5).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import CostModel
from elasticvit.kernels import walk
from elasticvit.nn import Subnet, Supernet
from elasticvit.nn.attention import AttentionCore, position_index, qkv_rows
from elasticvit.space import SearchSpace
from elasticvit.training.levels import BOUND_SHARE, Levels
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.sampling.state import SamplerState, check_levels

NAME_MARK = "-subnet"
ROUNDED = 5e-3  # three digits are off by no more


def single_space(space: SearchSpace, arch: Arch) -> SearchSpace:
    """The space that holds one architecture of a space.

    Raises:
        ArchError: The architecture lies outside the space.
    """
    space.check(arch)
    if space.size() == 1:
        return space
    choices = tuple((gene,) for gene in arch.genes)
    return SearchSpace(space.name + NAME_MARK, space.layout, choices)


def single_levels(space: SearchSpace, cost: CostModel) -> Levels:
    """The one complexity level of a space with one architecture: its cost.

    Args:
        space: The space.
        cost: Cost that the level is measured in.
    """
    price = float(cost.price(ArchBatch.of([space.smallest]))[0])
    value = float(f"{(1 - ROUNDED) * price:.3g}")  # at most the price, so that its band holds it
    return Levels(
        unit=cost.unit, values=(value,), bound=BOUND_SHARE * value, smallest=(space.smallest,)
    )


class SingleSampler:
    """Draws one architecture at each step; a `Sampler`.

    Args:
        arch: The architecture.
        levels: The one complexity level.
    """

    def __init__(self, arch: Arch, levels: Levels) -> None:
        self.arch, self._levels = arch, levels

    @property
    def levels(self) -> Levels:
        return self._levels

    @property
    def banks(self) -> None:
        """There is nothing to remember."""
        return None

    def draw(self, share: float = 0.0) -> Draw:
        """The architecture."""
        return self.draw_at(0)

    def draw_at(self, level: int) -> Draw:
        """The architecture, whatever the level."""
        return Draw(level=level, archs=(self.arch,), students=(), chosen=("fixed",))

    def learn(self, draw: Draw, losses: Sequence[float]) -> None:
        """There is nothing to learn."""

    def state(self) -> SamplerState:
        """Its level; there is nothing random about it."""
        return SamplerState(values=self.levels.values, level=0, rng="", kept=((),))

    def restore(self, state: SamplerState) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: The state is of other complexity levels.
        """
        check_levels(state, self.levels)


def fill(supernet: Supernet, subnet: Subnet) -> None:
    """Give the supernet of one architecture the weights of the same architecture as a static
    network, in place, so that both give the same logits. Its classifier stays as it is where the
    subnet tells another number of classes apart.

    Args:
        supernet: Supernet of a space with one choice a gene.
        subnet: The static network; of the same layout, but for the number of classes.
    """
    assert subnet.arch == supernet.space.largest
    assert subnet.options == supernet.options
    same_classes = subnet.layout.classes == supernet.space.layout.classes
    places = [place for place, _ in walk(subnet.arch, subnet.layout)]
    for place, static in zip(places, subnet.blocks, strict=True):
        modules = dict(supernet.block(place).named_modules())
        for name, module in reversed(list(static.named_modules())):  # a core after its layers
            if isinstance(module, AttentionCore):
                target = modules[name]
                assert isinstance(target, AttentionCore)
                _fill_attention(target, module)
            elif name.rpartition(".")[2] != "classifier" or same_classes:
                _copy(modules[name], module)


def _copy(target: nn.Module, source: nn.Module) -> None:
    """Copy the parameters and statistics that the source itself holds, not those of its parts."""
    own = dict(target.named_parameters(recurse=False)) | dict(target.named_buffers(recurse=False))
    for name, tensor in (
        *source.named_parameters(recurse=False),
        *source.named_buffers(recurse=False),
    ):
        own[name].data.copy_(tensor.data)


def _fill_attention(target: AttentionCore, source: AttentionCore) -> None:
    """Fill an elastic core from a static one of the same kernel: the rows of its qkv matrix may be
    in another order, and its position bias has a row an offset instead of an entry a pair."""
    kernel = target.largest
    rows = qkv_rows(kernel, kernel, target.sliced)
    qkv = source.qkv.weight.data
    target.qkv.weight.data[slice(None) if rows is None else rows] = qkv
    target.position_bias.data.copy_(
        _by_offset(source.position_bias.data, position_index(kernel.size, kernel.size))
    )
    target.scale = source.scale


def _by_offset(dense: Tensor, index: Tensor) -> Tensor:
    """Position bias with a row an offset (offsets, heads) of one with an entry a pair of tokens
    (heads, N, N); entries of the same offset, which are equal unless a static network was trained,
    are averaged.

    Args:
        dense: The bias of all pairs.
        index: The offset of each pair (N * N,).
    """
    values = dense.flatten(1).T
    offsets = int(index.max()) + 1
    sums = torch.zeros(offsets, len(dense), dtype=torch.float64)
    sums.index_add_(0, index, values.double())
    counts = torch.bincount(index, minlength=offsets).clamp_min(1)
    return (sums / counts[:, None]).to(dense.dtype)
