"""Tensors in a safetensors file: written whole or not at all, checked before they are used."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import safetensors.torch
from msgspec import Meta
from safetensors import SafetensorError
from torch import Tensor

from elasticvit.files import replacing
from elasticvit.reading import Count, Format

BLOCK_BYTES = 2**20  # read at a time for a checksum
SYSTEM_ERROR = re.compile(r"(?P<reason>[^:]+) \(os error (?P<number>\d+)\)")


class TensorFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of tensors as another file names it.

    Attributes:
        file: Name of the file, in the same folder.
        bytes: Size of the file.
        sha256: Checksum of the file.
    """

    file: Annotated[str, Meta(pattern=r"^[0-9]+b?\.safetensors$")]
    bytes: Count
    sha256: str


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> TensorFile:
    """Write a safetensors file; tensors that lie in memory as the file has them are not copied.

    Args:
        path: The file.
        tensors: Tensors by name, no two of which share memory.

    Raises:
        FileError: It cannot be written; an old one stays as it was.
    """
    packed = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        try:
            safetensors.torch.save_file(packed, temporary)
        except SafetensorError as error:
            cause = SYSTEM_ERROR.search(str(error))
            if cause is None:
                raise
            raise OSError(int(cause["number"]), cause["reason"].strip()) from error
        found = _facts(temporary)
    return TensorFile(file=path.name, bytes=found[0], sha256=found[1])


def read_tensors(folder: Path, named: TensorFile, form: Format[Any]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in the memory of the CPU.

    Args:
        folder: Folder of the file.
        named: The file as another file names it.
        form: What the file should be a part of.

    Raises:
        EvitError: The file is missing, unreadable, truncated or another one; of the type
            `form.error`.
    """
    path = folder / named.file
    check_tensor_file(path, named, form)
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load_file(path)
    except (SafetensorError, OSError, KeyError) as error:  # a type that torch does not have
        raise form.failure(f"{path} is not a file of tensors: {error}") from error
    return tensors


def check_tensor_file(path: Path, named: TensorFile, form: Format[Any]) -> None:
    """Compare size and checksum of a file with those that another file names.

    Raises:
        EvitError: The file is missing, unreadable, truncated or another one; of the type
            `form.error`.
    """
    try:
        if path.exists() and not path.is_file():
            raise form.failure(f"{path} is not a file; it should hold the tensors of {form.what}")
        size = path.stat().st_size
        if size != named.bytes:
            state = "truncated" if size < named.bytes else "of another checkpoint"
            raise form.failure(
                f"{path} is {state}: it has {size:,} bytes and should have {named.bytes:,}"
            )
        digest = _facts(path)[1]
    except FileNotFoundError as error:
        raise form.failure(f"there is no {path}, the tensors of {form.what}") from error
    except OSError as error:
        raise form.failure(f"{path} cannot be read: {error.strerror or error}") from error
    if digest != named.sha256:
        raise form.failure(
            f"{path} was changed or damaged, or is of another checkpoint: its checksum does not "
            "match"
        )


def _facts(path: Path) -> tuple[int, str]:
    """Size and checksum of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()
