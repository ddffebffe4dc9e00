"""Supernets in one file: weights in 16 bits and a card that says what they are.

A few small ones come with the package, so that a search and an export can be tried on photographs
at once. They were trained by this project's own commands; how is told by their cards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import msgspec
import torch

from elasticvit.block_options import BlockOptions
from elasticvit.errors import CheckpointError, SpaceError
from elasticvit.files import write_atomic
from elasticvit.nn.safetensors_file import read_safetensors, safetensors_bytes
from elasticvit.nn.supernet import Supernet
from elasticvit.nn.weights import filled
from elasticvit.reading import Count, Format, Percent, Positive, Share, Whole, shown
from elasticvit.space import SearchSpace

SUFFIX = ".safetensors"
CARD = "card"  # name of the text beside the tensors
FOLDER = "weights"  # of the package


class JudgedSubnet(msgspec.Struct, frozen=True, kw_only=True):
    """A subnet and what it was judged at, as evidence of what the weights can do.

    Attributes:
        architecture: Text form of the architecture.
        macs_m: Multiply-accumulates in millions.
        test_accuracy: Accuracy on the test part after recalibration, in percent.
    """

    architecture: str
    macs_m: Positive
    test_accuracy: Percent


class SupernetCard(msgspec.Struct, frozen=True, kw_only=True):
    """What the weights of a supernet are.

    Attributes:
        name: Name of the supernet.
        space: Search space, in the form of `SearchSpace.to_toml`.
        options: Variants of the blocks.
        data: Name of the data set that it was trained on.
        classes: Names of the classes, by label.
        mean, std: Mean and standard deviation of each channel that images are normalised by, for
            pixels in 0..1.
        training: Command, steps, seconds and machine of the training, by name.
        judged: Subnets judged on the test part.
        test_images, recalibration_images: Numbers of images that they were judged and
            recalibrated on.
        licence: Licence of the weights.
    """

    schema: int = 1
    name: str
    space: str
    options: BlockOptions
    data: str
    classes: tuple[str, ...]
    mean: tuple[Share, ...]
    std: tuple[Positive, ...]
    training: dict[str, str | float | int]
    judged: tuple[JudgedSubnet, ...] = ()
    test_images: Count = 0
    recalibration_images: Whole = 1
    licence: str = ""


CARD_FORMAT: Format[SupernetCard] = Format(
    kind=SupernetCard,
    what="a supernet in one file",
    error=CheckpointError,
    mend="name another supernet, or install the package anew if it came with it",
    schema=1,
)


def list_supernets() -> tuple[str, ...]:
    """Names of the supernets that come with the package."""
    folder = files("elasticvit") / FOLDER
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


def names_supernet(name: str | Path) -> bool:
    """Whether a name is that of a supernet that comes with the package, or a path has the suffix of
    a supernet's file."""
    return str(name) in list_supernets() or Path(name).suffix == SUFFIX


def read_supernet(name: str | Path) -> Supernet:
    """A trained supernet, on the CPU in evaluation mode.

    Batch norm has to be recalibrated for each subnet that is cut out of it
    (`elasticvit.nn.judging.recalibrate`), on images normalised as `load_card` says.

    Args:
        name: Name of a supernet that comes with the package, such as `tiny-cifar10`, or a file
            that `save_supernet` wrote.

    Raises:
        CheckpointError: There is no such supernet, or it is damaged.
    """
    return read_described(name)[0]


def read_described(name: str | Path) -> tuple[Supernet, SupernetCard]:
    """A trained supernet as `read_supernet` finds it, and its card, from one reading of the file.

    Raises:
        CheckpointError: There is no such supernet, or it is damaged.
    """
    tensors, card = _read(name)
    space = card_space(card, str(name))
    weights = {
        key: value.float() if value.dtype == torch.float16 else value
        for key, value in tensors.items()
    }
    make = partial(Supernet, space, card.options)
    return filled(make, weights, f"{name}: tensors", CARD_FORMAT), card


def load_card(name: str | Path) -> SupernetCard:
    """What a supernet that comes with the package, or lies in a file, is.

    Raises:
        CheckpointError: There is no such supernet, or it is damaged.
    """
    return _read(name)[1]


def card_space(card: SupernetCard, where: str) -> SearchSpace:
    """The search space of a card.

    Raises:
        CheckpointError: It describes none.
    """
    try:
        return SearchSpace.from_toml(card.space, "space")
    except SpaceError as error:
        raise CARD_FORMAT.failure(f"{where}: {error}") from error


def save_supernet(path: Path, supernet: Supernet, card: SupernetCard) -> None:
    """Write a supernet into one file, floating-point weights in 16 bits.

    Raises:
        CheckpointError: A weight does not fit 16 bits.
        FileError: The file cannot be written.
    """
    tensors = {}
    for name, value in supernet.state_dict().items():
        packed = value.detach().cpu().half() if value.is_floating_point() else value.cpu()
        if not torch.isfinite(packed).all():
            raise CheckpointError(f"{name} has values that 16 bits cannot hold")
        tensors[name] = packed.contiguous()
    text = json.dumps(msgspec.to_builtins(card))
    write_atomic(path, safetensors_bytes(tensors, {CARD: text}))


def _read(name: str | Path) -> tuple[Mapping[str, Any], SupernetCard]:
    known = list_supernets()
    if str(name) in known:
        with as_file(files("elasticvit") / FOLDER / f"{name}{SUFFIX}") as path:
            tensors, texts = read_safetensors(path, CARD_FORMAT)
    elif Path(name).suffix == SUFFIX:
        tensors, texts = read_safetensors(Path(name), CARD_FORMAT)
    else:
        raise CheckpointError(
            f"no supernet {shown(str(name))}; with the package come {', '.join(known) or 'none'}; "
            f"or name the folder of a training run, or a {SUFFIX} file"
        )
    if CARD not in texts:
        raise CARD_FORMAT.failure(f"{name} has no card beside its tensors")
    return tensors, CARD_FORMAT.parse_json(texts[CARD], f"{name}: card")
