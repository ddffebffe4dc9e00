"""The supernet: every architecture of a space in one set of weights.

There is no "active" architecture inside it: `forward` takes the one to run, so that several
can be in flight in one step and nothing is left behind by pricing or searching.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from elasticvit.arch import Arch
from elasticvit.block_options import BlockOptions
from elasticvit.kernels import Kernel, Place, walk
from elasticvit.nn.blocks import Block, build_block
from elasticvit.nn.layers import resize
from elasticvit.space import SearchSpace


class Supernet(nn.Module):
    """Elastic vision transformer over a search space.

    Args:
        space: the space; the network holds the weights of its largest architecture.
        options: block variants (`elasticvit.nn.blocks.AUTHORS` for the published weights).
    """

    def __init__(self, space: SearchSpace, options: BlockOptions | None = None) -> None:
        super().__init__()
        self.space, self.options = space, options or BlockOptions()
        self.blocks = nn.ModuleDict(
            {
                _name(place): build_block(kernel, self.options, static=False)
                for place, kernel in walk(space.largest, space.layout)
            }
        )

    def block(self, place: Place) -> Block[Kernel]:
        """The elastic block at a place."""
        return cast("Block[Kernel]", self.blocks[_name(place)])

    def forward(self, images: Tensor, arch: Arch) -> Tensor:
        """Logits (B, classes) of images (B, channels, H, W), resized to the architecture's
        resolution where they differ from it."""
        x = resize(images, arch.resolution)
        for place, kernel in walk(arch, self.space.layout):
            x = self.block(place)(x, kernel)
        return x


def _name(place: Place) -> str:
    return str(place).replace(".", "_")
