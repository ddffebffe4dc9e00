"""Subnets: one architecture as a static module, cut out of the supernet.

A subnet is a plain chain of static blocks, which is what is exported and timed. What timm's
users know of image models (classifier, features, parameter groups) is in `ImageModel`.
"""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from elasticvit.arch import Arch
from elasticvit.block_options import BlockOptions
from elasticvit.errors import ArchError, CheckpointError, NextStep
from elasticvit.files import write_atomic
from elasticvit.kernels import Layout, lower, walk
from elasticvit.nn.blocks import Block, build_block
from elasticvit.nn.image_model import ImageModel
from elasticvit.nn.supernet import Supernet
from elasticvit.nn.torch_file import read_torch_file
from elasticvit.nn.weights import filled
from elasticvit.reading import Format

SCHEMA = 1


class Subnet(ImageModel):
    """One architecture as a static network.

    Args:
        arch: the architecture.
        layout: what its space fixes.
        options: block variants.
    """

    def __init__(self, arch: Arch, layout: Layout, options: BlockOptions | None = None) -> None:
        options = options or BlockOptions()
        blocks = (build_block(kernel, options) for kernel in lower(arch, layout))
        super().__init__(arch, layout, options, blocks)

    @classmethod
    def cut(cls, supernet: Supernet, arch: Arch) -> Subnet:
        """The architecture's static network with copies of the weights that the supernet uses
        for it, in the supernet's training or evaluation mode.

        Raises:
            ArchError: the architecture lies outside the supernet's space.
        """
        supernet.space.check(arch)
        layout = supernet.space.layout
        subnet = cls.__new__(cls)  # the blocks are cut, not drawn at random first
        blocks = (supernet.block(place).cut(kernel) for place, kernel in walk(arch, layout))
        ImageModel.__init__(subnet, arch, layout, supernet.options, blocks)
        device = next(supernet.parameters()).device
        return subnet.to(device).train(supernet.training)

    def save(self, path: Path) -> None:
        """Write architecture, layout, options and weights to one file, atomically.

        Raises:
            CheckpointError: the network was pruned or fused, so that `load` could not make it.
        """
        if self._head is None or not all(isinstance(block, Block) for block in self.blocks):
            raise CheckpointError(
                f"a pruned or fused network cannot be saved to {path}; save it before that, or "
                "save its state_dict"
            )
        buffer = io.BytesIO()
        torch.save(
            {
                "schema": SCHEMA,
                "arch": self.arch.to_dict(),
                "layout": self.layout.to_dict(),
                "options": asdict(self.options),
                "weights": {k: v.cpu() for k, v in self.state_dict().items()},
            },
            buffer,
        )
        write_atomic(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Subnet:
        """The subnet of `save`, on the CPU and in evaluation mode.

        Raises:
            CheckpointError: the file is missing, truncated, damaged or not a subnet, or its
                weights are not finite or of another network.
        """
        if not path.exists():
            raise CheckpointError(
                f"no subnet at {path}; search first", next_step=NextStep("search")
            )
        found = read_torch_file(path, SUBNET_FORMAT)
        try:
            kernels = lower(found.arch, found.layout)
        except ArchError as error:
            raise SUBNET_FORMAT.failure(f"{path}: {error}") from error
        if len(kernels) > len(found.weights):  # each block has weights
            raise SUBNET_FORMAT.failure(f"{path}: weights are of another network than arch")
        return filled(
            lambda: cls(found.arch, found.layout, found.options),
            found.weights,
            f"{path}: weights",
            SUBNET_FORMAT,
        )


class SubnetFile(msgspec.Struct, frozen=True, kw_only=True):
    """A subnet as its file holds it.

    Attributes:
        arch: the architecture.
        layout: what its space fixes.
        options: block variants.
        weights: parameters and statistics by name.
    """

    arch: Arch
    layout: Layout
    options: BlockOptions
    weights: dict[str, Tensor]


SUBNET_FORMAT = Format(
    kind=SubnetFile,
    what="a subnet",
    error=CheckpointError,
    mend="put a good copy back, or search again",
    next_step=NextStep("search"),
    schema=SCHEMA,
)
