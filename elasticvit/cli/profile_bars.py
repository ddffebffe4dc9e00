"""The progress of profiles, a bar a device."""

from __future__ import annotations

from collections.abc import Sequence

from elasticvit.cli.app import Report
from elasticvit.events import Event, Notice


class Bars:
    """A progress bar a device, with the time left that its profile itself expects."""

    def __init__(self, report: Report, devices: Sequence[str]) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as ProgressBars

        self._bars = ProgressBars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[key]}"),
            console=report.console,
            transient=True,
        )
        self._tasks = {
            name: self._bars.add_task(name, total=None, left="", key="") for name in devices
        }

    def handle(self, event: Event) -> None:
        """Show an event of a profile."""
        from elasticvit.flows.profile import ProfileProgress

        if isinstance(event, Notice):
            self._bars.console.print(event.text)
        elif isinstance(event, ProfileProgress):
            minutes, seconds = divmod(round(event.left_s), 60)
            key = event.key if len(event.key) <= 40 else f"{event.key[:37]}..."
            self._bars.update(
                self._tasks[event.device],
                completed=event.done,
                total=event.total,
                left=f"{minutes}:{seconds:02d} left",
                key=key,
            )

    def __enter__(self) -> Bars:
        if self._bars.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()
