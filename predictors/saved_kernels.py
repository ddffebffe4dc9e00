"""Kernels of a saved predictor, by their keys."""

from __future__ import annotations

from elasticvit.errors import ArchError
from elasticvit.kernels import Kernel
from predictors.saved import SavedArrays


def saved_kernels(arrays: SavedArrays, name: str) -> tuple[Kernel, ...]:
    """The kernels whose keys an array holds.

    Raises:
        EvitError: The array is missing or damaged, or a key is not that of a kernel; of the type
            of the format's error.
    """
    try:
        return tuple(Kernel.from_key(key) for key in arrays.texts(name))
    except ArchError as error:
        arrays.refuse(f"array {name}: {error}")
