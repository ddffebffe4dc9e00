"""The sessions of a workspace in which model files were timed, read from their folders."""

from __future__ import annotations

from pathlib import Path

from elasticvit.flows.status_parts import Damages, changed_s, folders
from elasticvit.flows.status_result import TimingStatus
from elasticvit.flows.timing_summary import SUMMARY_FILE, SUMMARY_FORMAT
from elasticvit.workspace import Workspace
from lut.raw_rounds import RAW_FILE, read_rounds


def timing_statuses(workspace: Workspace, damages: Damages) -> list[TimingStatus]:
    """The sessions, oldest first; one that is under way or was killed has no summary yet."""
    statuses = []
    for folder in folders(workspace.root / "timings", damages):
        with damages.of(folder):
            statuses.append(_status(folder))
    return statuses


def _status(folder: Path) -> TimingStatus:
    if not (folder / SUMMARY_FILE).exists():
        return TimingStatus(folder=folder, changed_s=changed_s(folder))
    found = SUMMARY_FORMAT.read_json(folder / SUMMARY_FILE)
    return TimingStatus(
        folder=folder,
        device=found.device,
        rounds=found.rounds,
        complete=found.complete,
        models={k: None if v.timing is None else v.timing.ms for k, v in found.models.items()},
        changed_s=_measured_s(folder) or changed_s(folder),
    )


def _measured_s(folder: Path) -> float | None:
    """Time of the latest round, which a copy of the folder keeps; None if there is none."""
    if not (folder / RAW_FILE).exists():
        return None
    return max((one.time_s for one in read_rounds(folder / RAW_FILE)), default=None)
