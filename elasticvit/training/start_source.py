"""The trained network that a training starts from: read, checked, and named by its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from torch import Tensor

from elasticvit.block_options import BlockOptions
from elasticvit.errors import CheckpointError
from elasticvit.nn import Subnet, Supernet
from elasticvit.nn.authors import CLASSIFIER, load_authors
from elasticvit.nn.blocks import AUTHORS
from elasticvit.nn.torch_file import read_torch_file
from elasticvit.reading import Format
from elasticvit.space import MOBILE, SearchSpace
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.run_info import CHECKPOINT_FILE, RUN_FILE
from elasticvit.training.starting import Network, check_start, start_weights

Way = Literal["start_from", "init"]
SUBNET_FILE = "subnet.pt"  # in the folder of a search, or of the training of one architecture


class AuthorsFile(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint of the authors, as their training writes it.

    Attributes:
        model: Parameters and statistics by the authors' names.
    """

    model: dict[str, Tensor]


FORMATS: list[Format[Any]] = [
    Format(
        kind=kind,
        what="the authors' checkpoint",
        error=CheckpointError,
        mend="put a good copy back, or name other weights",
        settings=("init",),
    )
    for kind in (AuthorsFile, dict[str, Tensor])
]


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
            or a folder that holds one; or, for `init`, the authors' checkpoint.
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
    if not path.exists():
        raise CheckpointError(
            f"there are no weights at {path}; name the folder of a training, a {SUBNET_FILE}"
            + (", or the authors' checkpoint" if way == "init" else ""),
            settings=(way,),
        )
    if path.name == CHECKPOINT_FILE:
        return load_supernet(path.parent)
    try:
        return Subnet.load(path)
    except CheckpointError:
        theirs = _authors_weights(path)
        if theirs is None:
            raise
        if way == "start_from":
            raise CheckpointError(
                f"{path} is the authors' checkpoint, which is of ImageNet's classes; name it as "
                "init, which makes the classifier anew",
                settings=("start_from", "init"),
            ) from None
        return _authors_supernet(path, theirs)


def authors_supernet(path: Path) -> Supernet | None:
    """The supernet of a checkpoint of the authors; None if the file is none.

    Raises:
        CheckpointError: Its weights are damaged.
    """
    weights = _authors_weights(path)
    return None if weights is None else _authors_supernet(path, weights)


def _authors_weights(path: Path) -> dict[str, Tensor] | None:
    """The weights of a checkpoint of the authors; None if the file is none."""
    for form in FORMATS:
        try:
            found = read_torch_file(path, form)
        except CheckpointError:
            continue
        weights: dict[str, Tensor] = found.model if isinstance(found, AuthorsFile) else found
        return weights if CLASSIFIER in weights else None
    return None


def _authors_supernet(path: Path, weights: dict[str, Tensor]) -> Supernet:
    """The authors' supernet with weights of theirs; raises `CheckpointError`."""
    bad = [name for name, tensor in weights.items() if not torch.isfinite(tensor.float()).all()]
    classes = weights[CLASSIFIER].shape[0] if weights[CLASSIFIER].dim() else 0
    if bad or not classes:
        raise FORMATS[0].failure(
            f"{path}: {bad[0] if bad else CLASSIFIER} holds numbers that are not finite, or none"
        )
    supernet = Supernet(MOBILE.with_classes(classes), AUTHORS)
    try:
        load_authors(supernet, weights)
    except CheckpointError as error:
        raise FORMATS[0].failure(f"{path}: {error}") from error
    return supernet.eval()
