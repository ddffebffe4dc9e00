"""The pieces of a workspace, read one by one: training runs and exports.

Each function returns what it can read and tells a `Damages` of the rest. Nothing is written, and
torch is not loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from elasticvit.errors import EvitError
from elasticvit.flows.asked import ASKED_FILE, Asked, read_asked
from elasticvit.flows.status_result import (
    Damage,
    ExportStatus,
    RunStatus,
)
from elasticvit.flows.train_result import RESULT_FILE as TRAIN_RESULT_FILE
from elasticvit.flows.train_result import TrainResult
from elasticvit.process_lock import held_by
from elasticvit.training.run_info import CHECKPOINTS, LOCK_FILE, LOG_FILE, RunInfo
from elasticvit.workspace import Workspace


@dataclass
class Damages:
    """What could not be read so far."""

    found: list[Damage] = field(default_factory=list)

    @contextmanager
    def of(self, path: Path) -> Iterator[None]:
        """Take note of what fails inside, and go on behind it."""
        try:
            yield
        except EvitError as error:
            self.found.append(Damage(path=path, problem=str(error)))
        except OSError as error:
            problem = f"{path} cannot be read: {error.strerror or error}; check its permissions"
            self.found.append(Damage(path=path, problem=problem))


def run_statuses(workspace: Workspace, latest: Path | None, damages: Damages) -> list[RunStatus]:
    """The training runs, oldest first."""
    statuses = []
    for folder in folders(workspace.root / "runs", damages):
        with damages.of(folder):
            if not holds_work(folder, LOCK_FILE):
                continue
            info, asked = RunInfo.load(folder), read_asked(folder / ASKED_FILE)
            finished = (folder / TRAIN_RESULT_FILE).exists()
            accuracy = None
            if finished:
                accuracy = max(one.accuracy for one in TrainResult.load(folder).subnets)
            statuses.append(
                RunStatus(
                    folder=folder,
                    space=info.space.name,
                    data=info.data,
                    epochs=info.settings.epochs,
                    seed=info.seed,
                    finished=finished,
                    step=_last_step(folder / LOG_FILE),
                    checkpoints=_checkpoint_steps(folder / CHECKPOINTS),
                    process=held_by(folder / LOCK_FILE),
                    accuracy=accuracy,
                    changed_s=ended_s(asked) or changed_s(folder),
                    latest=folder == latest,
                    asked=None if asked is None else asked.settings,
                )
            )
    return statuses


def _checkpoint_steps(folder: Path) -> tuple[int, ...]:
    """The steps of the checkpoints in a folder, rising; the files themselves are not read."""
    named = folder.glob("[0-9]*.json") if folder.is_dir() else ()
    return tuple(sorted(int(path.stem) for path in named if path.stem.isdecimal()))


def _last_step(log: Path) -> int | None:
    """The step in the last whole line of a log."""
    if not log.exists():
        return None
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - 4096, 0))
        lines = file.read().decode(errors="replace").split("\n")
    steps = [line.partition(",")[0] for line in lines[1:-1]]
    return next((int(step) for step in reversed(steps) if step.isdecimal()), None)


def export_statuses(
    workspace: Workspace, latest: Path | None, damages: Damages
) -> list[ExportStatus]:
    """The exported models, oldest first, without those that were rejected."""
    from export.bundle import is_rejected, load_files

    statuses = []
    for folder in folders(workspace.root / "exports", damages):
        if is_rejected(folder):
            continue
        with damages.of(folder):
            cards = [card for _, card in load_files(folder)]
            card = cards[0]
            search, run = card.sources.get("search"), card.sources.get("run")
            statuses.append(
                ExportStatus(
                    model=folder / card.file,
                    arch=card.model if card.arch is None else str(card.arch),
                    formats=tuple(dict.fromkeys(one.format for one in cards)),
                    precision=card.precision,
                    format=card.format,
                    bytes=card.bytes,
                    search=None if search is None else str(search),
                    run=None if run is None else str(run),
                    device=None if card.timing is None else card.timing.device,
                    measured_ms=None if card.timing is None else card.timing.measured_ms,
                    changed_s=_created_s(card.created) or changed_s(folder),
                    latest=folder == latest,
                )
            )
    return statuses


def _created_s(created: str) -> float | None:
    """Seconds since the epoch of the time that a card tells; None if it cannot be read."""
    try:
        return datetime.strptime(created, "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return None


def folders(base: Path, damages: Damages) -> list[Path]:
    """The folders in a folder, by name; none if it is not there. Hidden ones, in which an export is
    under way, are left out."""
    found: list[Path] = []
    with damages.of(base):
        if base.is_dir():
            found = sorted(p for p in base.iterdir() if p.is_dir() and p.name[0] != ".")
    return found


def holds_work(folder: Path, *others: str) -> bool:
    """Whether a folder has anything in it yet but locks and other files of these names."""
    return any(path.name not in others for path in folder.iterdir())


def changed_s(folder: Path) -> float:
    """Time of the latest change of a file in a folder, in seconds since the epoch."""
    return max((file.stat().st_mtime for file in folder.iterdir()), default=0.0)


def ended_s(asked: Asked | None) -> float | None:
    """Time of the end as it was noted, which a copy of the folder keeps."""
    return None if asked is None else asked.ended_s
