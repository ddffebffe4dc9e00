"""The trained network that a training starts from: read, checked, and named by its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch

from elasticvit.block_options import BlockOptions
from elasticvit.errors import CheckpointError
from elasticvit.nn import Subnet, Supernet
from elasticvit.nn.authors_file import find_authors_file
from elasticvit.nn.shipped import list_supernets, names_supernet, read_supernet
from elasticvit.space import SearchSpace
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.run_info import CHECKPOINT_FILE, RUN_FILE
from elasticvit.training.starting import Network, check_start, start_weights

Way = Literal["start_from", "init"]
SUBNET_FILE = "subnet.pt"  # in the folder of a search, or of the training of one architecture


@dataclass(frozen=True, kw_only=True, eq=False)
class StartSource:
    """Weights that a training starts from.

    Attributes:
        way: The setting that names them: `start_from`, weights for the same classes; or `init`,
            weights for any classes, with a classifier anew where the classes differ in number.
        path: File or folder that they were read from.
        network: The trained network, on the CPU.
    """

    way: Way
    path: Path
    network: Network

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the architecture or space, the block variants and all weights."""
        network = self.network
        form = network.arch if isinstance(network, Subnet) else network.space.choices
        digest = hashlib.sha256(f"{form} {network.options}".encode())
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def options(self) -> BlockOptions:
        """Block variants of the network, which the training keeps."""
        return replace(self.network.options, head_dropout=0.0)

    @property
    def classes(self) -> int:
        """Number of classes of the network."""
        network = self.network
        layout = network.layout if isinstance(network, Subnet) else network.space.layout
        return layout.classes

    @property
    def space(self) -> SearchSpace | None:
        """Space of the network, if it is a supernet."""
        return None if isinstance(self.network, Subnet) else self.network.space

    def check(self, space: SearchSpace) -> None:
        """Check that the weights can start a supernet.

        Args:
            space: Space of the supernet, with the data set's number of classes.

        Raises:
            CheckpointError: They are of another layout, of an architecture outside the space, or
                of other classes where these must be the same.
        """
        with torch.device("meta"):
            supernet = Supernet(space, self.options)
        check_start(supernet, self.network, (self.way, "space"))
        if self.way == "start_from" and self.classes != space.layout.classes:
            raise CheckpointError(
                f"the weights in {self.path} tell {self.classes:,} classes apart, the data set has "
                f"{space.layout.classes:,}; start from weights of the same classes, or name them "
                "as init, which makes the classifier anew",
                settings=("start_from", "init"),
            )

    def apply(self, supernet: Supernet) -> None:
        """Give a supernet these weights, in place (see `start_weights`)."""
        start_weights(supernet, self.network)


def open_source(path: Path | str, way: Way) -> StartSource:
    """The weights that a path names.

    Args:
        path: The folder of a finished or interrupted training; its `checkpoint.pt`; a `subnet.pt`
            or a folder that holds one; a supernet in one file, or the name of one that comes with
            the package; or, for `init`, the authors' checkpoint.
        way: The setting that names it.

    Raises:
        CheckpointError: There is nothing of this kind, or it is damaged.
    """
    path = Path(path).expanduser()
    return StartSource(way=way, path=path, network=_network(path, way))


def _network(path: Path, way: Way) -> Network:
    if path.is_dir():
        if (path / SUBNET_FILE).exists():
            return Subnet.load(path / SUBNET_FILE)
        if (path / RUN_FILE).exists():
            return load_supernet(path)
        raise CheckpointError(
            f"{path} holds no weights to start from: neither {SUBNET_FILE} nor a training run; "
            "name another folder, or a file of weights",
            settings=(way,),
        )
    if names_supernet(path):
        return read_supernet(path)
    if not path.exists():
        raise CheckpointError(
            f"there are no weights at {path}; name the folder of a training, a {SUBNET_FILE}, a "
            f"supernet ({', '.join(list_supernets())}, or a .safetensors file)"
            + (", or the authors' checkpoint" if way == "init" else ""),
            settings=(way,),
        )
    if path.name == CHECKPOINT_FILE:
        return load_supernet(path.parent)
    try:
        return Subnet.load(path)
    except CheckpointError:
        theirs = find_authors_file(path, "init")
        if theirs is None:
            raise
        if way == "start_from":
            raise CheckpointError(
                f"{path} is the authors' checkpoint, which is of ImageNet's classes; name it as "
                "init, which makes the classifier anew",
                settings=("start_from", "init"),
            ) from None
        return theirs.supernet
