"""What a command is doing now, and how far it is.

In a terminal it is a live line with a spinner, a bar and the elapsed time; where the output is
captured each phase is a line when it begins, and `Heartbeat` prints how far it is every ten
seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING

from rich.console import Console

from elasticvit.cli.heartbeat import Heartbeat
from elasticvit.cli.output import Stream
from elasticvit.cli.wording import duration, elapsed

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

UPDATES_A_SECOND = 4  # of the live line: few, since latencies are measured meanwhile


@dataclass
class Doing:
    """A piece of work that is under way.

    Attributes:
        name: What is done, such as `fitting the predictor of host`.
        unit: What `done` and `total` count, in the plural; empty if nothing is counted.
        done, total: How far it is; `total` is None if that is not known.
        detail: What else there is to say.
        task: Its line in a terminal.
        since_s: Monotonic time of its beginning.
    """

    name: str
    unit: str = ""
    done: int = 0
    total: int | None = None
    detail: str = ""
    task: TaskID | None = None
    since_s: float = field(default_factory=time.monotonic)

    @property
    def counts(self) -> str:
        """How far it is, in words."""
        return "" if self.total is None else f"{self.done} of {self.total} {self.unit}"

    @property
    def took_s(self) -> float:
        """Seconds since its beginning."""
        return time.monotonic() - self.since_s


class Activity:
    """Shows what a command is doing; a context manager.

    Args:
        console: Console of the command's output for people.
        stream: Stream of the console.
        shown: Whether anything is shown at all.
        verbose: Whether to print how long each phase took.
    """

    def __init__(self, console: Console, stream: Stream, *, shown: bool, verbose: bool) -> None:
        self._console, self._shown, self._verbose = console, shown, verbose
        self._doing: dict[str, Doing] = {}
        self._lock = RLock()  # devices report from threads of their own
        self._bars: Progress | None = None
        self._heartbeat = Heartbeat(stream, self.line, self._say)

    def phase(self, name: str) -> None:
        """Something else begins; what was under way has ended."""
        with self._lock:
            self._end(list(self._doing))
            self._begin(Doing(name))
            if self._shown and (self._verbose or not self._console.is_terminal):
                self._say(name)

    def progress(
        self, name: str, done: int, total: int | None, unit: str, detail: str = ""
    ) -> None:
        """How far a piece of work is; several, of different names, may be under way at once."""
        with self._lock:
            doing = self._doing.get(name)
            if doing is None or not doing.unit:
                self._end([other.name for other in self._doing.values() if not other.unit])
                doing = Doing(name, unit)
                self._begin(doing)
            doing.done, doing.total, doing.detail = done, total, detail
            if self._bars is not None and doing.task is not None:
                self._bars.update(
                    doing.task, completed=done, total=total, counts=doing.counts, detail=detail
                )

    def end(self) -> None:
        """Nothing is under way any more."""
        with self._lock:
            self._end(list(self._doing))

    @property
    def doing(self) -> str:
        """Names of what is under way; empty if nothing is."""
        with self._lock:
            return ", ".join(self._doing)

    def line(self) -> str | None:
        """What is under way, for how long, and how far it is; None if nothing is shown."""
        with self._lock:
            if not self._doing:
                return None
            return "\n".join(map(_still, self._doing.values())) if self._shown else None

    def _begin(self, doing: Doing) -> None:
        self._doing[doing.name] = doing
        if self._shown and self._console.is_terminal:
            if self._bars is None:
                self._bars = live_bars(self._console)
                self._bars.start()
            doing.task = self._bars.add_task(doing.name, total=None, counts="", detail="")

    def _end(self, names: list[str]) -> None:
        for doing in map(self._doing.pop, names):
            if self._bars is not None and doing.task is not None:
                self._bars.remove_task(doing.task)
            if self._shown and self._verbose:
                self._say(f"{doing.name}: took {duration(doing.took_s)}")

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def silence(self) -> None:
        """Show nothing from now on."""
        self._shown = False

    def __enter__(self) -> Activity:
        if self._shown and not self._console.is_terminal:
            self._heartbeat.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._heartbeat.__exit__()
        if self._bars is not None:
            self._bars.stop()


def _still(doing: Doing) -> str:
    parts = [part for part in (doing.counts, doing.detail) if part]
    far = f": {', '.join(parts)}" if parts else ""
    return f"still {doing.name}, {elapsed(doing.took_s)}{far}"


def live_bars(console: Console) -> Progress:
    """The live lines of a terminal, one a piece of work."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.table import Column

    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[counts]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", markup=False, table_column=rest),
        console=console,
        expand=True,
        transient=True,
        refresh_per_second=UPDATES_A_SECOND,
    )
