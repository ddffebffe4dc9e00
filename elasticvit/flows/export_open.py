"""Opens the network that an export's settings name; see `export_subject`."""

from __future__ import annotations

from elasticvit.errors import DataError
from elasticvit.flows.export_place import ExportPlace
from elasticvit.flows.export_settings import ExportSettings
from elasticvit.flows.export_subject import ExportSubject


def open_subject(settings: ExportSettings, place: ExportPlace) -> ExportSubject:
    """The network that the settings name, or the subnet of the latest search.

    Raises:
        EvitError: There is no such network, or its weights or images cannot be read; see
            `export_search`, `export_supernet` and `export_timm`.
    """
    if settings.timm is not None:
        from elasticvit.flows.export_timm import timm_subject

        return timm_subject(settings)
    if settings.arch is not None:
        from elasticvit.flows.export_supernet import supernet_subject

        return supernet_subject(settings, place.workspace)
    from elasticvit.flows.export_search import SearchedSubnet

    assert place.search is not None
    return SearchedSubnet.load(place.search, settings.goal)


def check_calibration(settings: ExportSettings, subject: ExportSubject, precision: str) -> None:
    """Check that there are real images where the precision takes ranges from images.

    Random weights, which are good for timing alone, are content with random images.

    Raises:
        DataError: There are none, and the weights are trained.
    """
    from export.calibration import CALIBRATED

    untrained = settings.timm is not None and settings.weights is None
    if precision in CALIBRATED and not subject.labelled and not untrained:
        raise DataError(
            f"precision {precision} takes the ranges of activations from training images, and "
            "there is no data set: random images would give wrong ones; name data of the same "
            "classes, or another precision",
            settings=["data", "precision"],
        )
