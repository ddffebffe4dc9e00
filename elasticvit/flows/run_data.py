"""The data set of a training run, opened again by what follows the training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from elasticvit.errors import DataError, NextStep

if TYPE_CHECKING:
    from elasticvit.training.data import ImageData, Normalisation


def open_run_data(spec: str, classes: int, normalisation: Normalisation | None = None) -> ImageData:
    """The data set of a run.

    Args:
        spec: Canonical spec of the data set.
        classes: Number of classes that the network was trained with.
        normalisation: Mean and standard deviation of each channel that the network asks for; None
            for those of the data set.

    Raises:
        DataError: It is gone or unreadable, or its classes are no longer those of the run.
    """
    from elasticvit.training.data import open_data

    data = open_data(spec)
    if data.info.classes != classes:
        raise DataError(
            f"data set {spec} has {data.info.classes} classes now, and the network was trained on "
            f"it with {classes}; put the data set back as it was, or train again",
            next_step=NextStep("train", {"data": spec}),
        )
    return data if normalisation is None else replace(data, given_normalisation=normalisation)
