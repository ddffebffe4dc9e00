"""Which series of a device's latency table is meant."""

from __future__ import annotations

from pathlib import Path

from elasticvit.cpu_setting import CpuSetting, in_words, matching_settings
from elasticvit.errors import StoreError
from elasticvit.precisions import in_words as precision_in_words
from elasticvit.precisions import profile_step
from lut.series import Series


def choose_series(
    series: list[Series],
    last: CpuSetting | None,
    threads: int | None = None,
    cores: str | None = None,
) -> Series | None:
    """One of the series of a device in a precision, the latest first: of the threads and cores that
    `elasticvit.cpu_setting.matching_settings` takes first the latest; None if none agrees.

    Args:
        last, threads, cores: As in `matching_settings`.
    """
    found = matching_settings([one.cpu for one in series], last, threads, cores)
    return next((one for one in series if found and one.cpu == found[0]), None)


def no_such_series(
    path: Path, series: list[Series], threads: int | None, cores: str | None
) -> StoreError:
    """The error of threads and cores that a device was not measured with.

    Args:
        path: File of the table.
        series: The series of the device in the precision.
        threads, cores: Threads and cores that are named; None for any.
    """
    first = series[0]
    known = dict.fromkeys(one.cpu for one in series)
    named = [f"{threads} threads"] if threads is not None else []
    named += [f"cores {cores}"] if cores is not None else []
    return StoreError(
        f"{path} has no measurements of {first.device!r}{precision_in_words(first.precision)} with "
        f"{' on '.join(named)}: it was measured with {in_words(known)}; name threads and cores "
        "that it was measured with, or profile it so first",
        settings=("threads", "cores"),
        next_step=profile_step(first.device, first.precision, threads, cores),
    )
