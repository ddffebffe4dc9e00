"""Weights from a file, checked against the network that they are for, before they are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from elasticvit.reading import Format

M = TypeVar("M", bound=nn.Module)


def filled(
    build: Callable[[], M], weights: Mapping[str, Tensor], where: str, form: Format[Any]
) -> M:
    """A network with weights from a file, in evaluation mode.

    The weights are compared with the form of the network first, so that a file which describes
    a larger network than it holds weights of takes no memory.

    Args:
        build: Function that makes the network.
        weights: Parameters and statistics by name.
        where: What a message calls the weights: the file and its field.
        form: What the file should be.

    Raises:
        EvitError: A weight is missing, unknown, of another shape or type, or not finite; of the
            type `form.error`.
    """
    with torch.device("meta"):  # tensors without values
        expected = build().state_dict()
    check_weights(weights, expected, where, form)
    network = build()
    network.load_state_dict(dict(weights))
    return network.eval()


def check_weights(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str, form: Format[Any]
) -> None:
    """Check the names, shapes, types and values of weights.

    Args:
        weights: Parameters and statistics by name.
        expected: Those of the network.
        where: What a message calls the weights: the file and its field.
        form: What the file should be.

    Raises:
        EvitError: See `filled`.
    """
    missing = [name for name in expected if name not in weights]
    unknown = [name for name in weights if name not in expected]
    for names, verdict in ((missing, "is missing"), (unknown, "is unknown")):
        if names:
            more = f", and {len(names) - 1} more" if len(names) > 1 else ""
            raise form.failure(f"{where} is of another network: {names[0]!r} {verdict}{more}")
    for name, tensor in expected.items():
        check_tensor(weights[name], tensor, f"{where}: {name}", form)


def check_tensor(tensor: Tensor, expected: Tensor, where: str, form: Format[Any]) -> None:
    """Check the shape, type and values of one tensor.

    Raises:
        EvitError: The shape or type differs, or a value is not finite; of the type `form.error`.
    """
    if tensor.is_sparse or tensor.is_quantized or tensor.is_meta or tensor.is_nested:
        raise form.failure(f"{where} is a tensor of another kind; it must be a plain one")
    if (tensor.shape, tensor.dtype) != (expected.shape, expected.dtype):
        raise form.failure(f"{where} is {_form(tensor)}; it must be {_form(expected)}")
    if not torch.isfinite(tensor).all():
        raise form.failure(f"{where} holds numbers that are not finite")


def _form(tensor: Tensor) -> str:
    """Shape and type of a tensor in words."""
    sides = " x ".join(map(str, tensor.shape)) or "one number"
    return f"{sides} of {str(tensor.dtype).removeprefix('torch.')}"
