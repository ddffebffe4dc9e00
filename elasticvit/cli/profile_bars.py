"""The progress of profiles, a bar a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from elasticvit.cli.app import Report

if TYPE_CHECKING:
    from lut.profile import Progress


class Bars:
    """A progress bar a device, with the time left that its profile itself expects."""

    def __init__(self, report: Report, devices: Sequence[str]) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[key]}"),
            console=report.console,
            transient=True,
        )
        self._tasks = {
            name: self._progress.add_task(name, total=None, left="", key="") for name in devices
        }

    def show(self, device: str, at: Progress) -> None:
        """Show where a device's profile stands."""
        minutes, seconds = divmod(round(at.left_s), 60)
        key = at.key if len(at.key) <= 40 else f"{at.key[:37]}..."
        self._progress.update(
            self._tasks[device],
            completed=at.done,
            total=at.total,
            left=f"{minutes}:{seconds:02d} left",
            key=key,
        )

    def notice(self, text: str) -> None:
        """Tell what a person should know while a device works."""
        self._progress.console.print(text)

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
