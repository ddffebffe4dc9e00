"""Subnets: one architecture as a static module, cut out of the supernet.

A subnet is a plain chain of static blocks, which is what is exported and timed.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from elasticvit.arch import Arch
from elasticvit.errors import CheckpointError
from elasticvit.kernels import Layout, lower, walk
from elasticvit.nn.blocks import BlockOptions, build_block
from elasticvit.nn.layers import resize
from elasticvit.nn.supernet import Supernet
from elasticvit.workspace import write_atomic

SCHEMA = 1


class Subnet(nn.Module):
    """One architecture as a static network.

    Args:
        arch: the architecture.
        layout: what its space fixes.
        options: block variants.
    """

    def __init__(self, arch: Arch, layout: Layout, options: BlockOptions | None = None) -> None:
        super().__init__()
        self.arch, self.layout, self.options = arch, layout, options or BlockOptions()
        self.blocks = nn.Sequential(*(build_block(k, self.options) for k in lower(arch, layout)))

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
        nn.Module.__init__(subnet)
        subnet.arch, subnet.layout, subnet.options = arch, layout, supernet.options
        places = walk(arch, layout)
        subnet.blocks = nn.Sequential(*(supernet.block(place).cut(k) for place, k in places))
        device = next(supernet.parameters()).device
        return subnet.to(device).train(supernet.training)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, channels, H, W), resized where they do not fit."""
        logits: Tensor = self.blocks(resize(images, self.arch.resolution))
        return logits

    def save(self, path: Path) -> None:
        """Write architecture, layout, options and weights to one file, atomically."""
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
            CheckpointError: the file is missing, truncated or not a subnet.
        """
        try:
            data = torch.load(path, map_location="cpu", weights_only=True)
            if data["schema"] != SCHEMA:
                raise CheckpointError(
                    f"{path} has schema {data['schema']!r}, this version reads {SCHEMA}; "
                    "update elasticvit, or search again"
                )
            subnet = cls(
                Arch.from_dict(data["arch"]),
                Layout.from_dict(data["layout"]),
                BlockOptions(**data["options"]),
            )
            subnet.load_state_dict(data["weights"])
        except FileNotFoundError as error:
            raise CheckpointError(f"no subnet at {path}; run evit-search first") from error
        except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{path} is truncated or not a subnet: {error}") from error
        return subnet.eval()
