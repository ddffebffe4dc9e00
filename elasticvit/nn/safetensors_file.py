"""Safetensors files with texts beside the tensors, which no other file describes.

Such a file is a JSON table of names, shapes and texts, then the bytes of the tensors; reading it
runs nothing. The library checks that the parts lie within the file and cover it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from elasticvit.reading import Format, shown_path


def read_safetensors(path: Path, form: Format[Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file, in the memory of the CPU, and the texts that stand beside them.

    Args:
        path: The file.
        form: What it should be.

    Raises:
        EvitError: The file is missing, unreadable, truncated or damaged; of the type `form.error`.
    """
    try:
        found = "" if path.is_file() else "is not a file" if path.exists() else "does not exist"
    except (OSError, ValueError) as error:  # a name that is too long, a null character
        raise form.failure(f"{shown_path(path)!r} is not a path of a file: {error}") from error
    if found:
        raise form.failure(f"{path} {found}; it should be {form.what}")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except SafetensorError as error:
        raise form.failure(f"{path} is truncated or not {form.what}: {error}") from error
    except OSError as error:
        raise form.failure(f"{path} cannot be read: {error.strerror or error}") from error


def safetensors_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of a file of tensors with texts beside them."""
    raw: bytes = safetensors.torch.save(dict(tensors), dict(metadata))
    return raw
