"""The authors' supernet from the file that their training writes.

The file holds `state_dict`, `model_ema` (the moving average, which they evaluate), `optimizer` and
`bank`; weights under `model`, or alone, are read as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from elasticvit.errors import CheckpointError
from elasticvit.nn.authors import CLASSIFIER, load_authors
from elasticvit.nn.blocks import AUTHORS
from elasticvit.nn.shipped import load_card, names_supernet
from elasticvit.nn.state_file import StateFile, read_state_file
from elasticvit.nn.supernet import Supernet
from elasticvit.reading import Format
from elasticvit.space import MOBILE


@dataclass(frozen=True, kw_only=True, eq=False)
class AuthorsFile:
    """The authors' supernet.

    Attributes:
        supernet: The supernet, on the CPU in evaluation mode. Its batch norms' statistics are a
            mixture over all architectures.
        place: Entry of the file that the weights were under; empty if they are the file itself.
        averaged: Whether they are the moving average of the training.
        unexpected: Names in the file that the network has no use for.
    """

    supernet: Supernet
    place: str
    averaged: bool
    unexpected: tuple[str, ...]


def authors_format(*settings: str) -> Format[dict[str, Tensor]]:
    """What a file of the authors should be.

    Args:
        settings: Settings of the flow that name the file.
    """
    return Format(
        kind=dict[str, Tensor],
        what="the authors' checkpoint",
        error=CheckpointError,
        mend="put a good copy back, or name other weights",
        settings=settings,
    )


def read_authors_file(path: Path, *settings: str) -> AuthorsFile:
    """The authors' supernet.

    Args:
        path: The file.
        settings: Settings of the flow that name it, for the errors.

    Raises:
        CheckpointError: The file is missing, damaged or another one, or weights are missing, too
            small or not finite; they are named.
    """
    form = authors_format(*settings)
    found = read_state_file(path, form)
    if CLASSIFIER not in found.weights:
        raise form.failure(
            f"{path} is not {form.what}: among its {len(found.weights):,} weights is no "
            f"{CLASSIFIER}" + (", and it is of a supernet of this project" if _is_own(path) else "")
        )
    return _filled(path, found, form)


def _is_own(path: Path) -> bool:
    """Whether a file holds a supernet of this project, which is intact and named elsewhere."""
    if not names_supernet(path):
        return False
    try:
        load_card(path)
    except CheckpointError:
        return False
    return True


def find_authors_file(path: Path, *settings: str) -> AuthorsFile | None:
    """The authors' supernet; None if the file holds no weights by their names.

    Raises:
        CheckpointError: It is theirs, and weights are missing, too small or not finite.
    """
    form = authors_format(*settings)
    try:
        found = read_state_file(path, form)
    except CheckpointError:
        return None
    return _filled(path, found, form) if CLASSIFIER in found.weights else None


def _filled(path: Path, found: StateFile, form: Format[dict[str, Tensor]]) -> AuthorsFile:
    weights = found.weights
    bad = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    classes = weights[CLASSIFIER].shape[0] if weights[CLASSIFIER].dim() else 0
    if bad or not classes:
        raise form.failure(
            f"{path}: {bad[0] if bad else CLASSIFIER} holds numbers that are not finite, or none"
        )
    supernet = Supernet(MOBILE.with_classes(classes), AUTHORS)
    try:
        unexpected = load_authors(supernet, weights)
    except CheckpointError as error:
        raise form.failure(f"{path}: {error}") from error
    return AuthorsFile(
        supernet=supernet.eval(),
        place=found.place,
        averaged=found.averaged,
        unexpected=unexpected,
    )
