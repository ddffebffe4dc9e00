"""Where a search reads and writes: the training run, the folder of the result, and its lock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from elasticvit.errors import CheckpointError, FileError, SettingError, WorkspaceError
from elasticvit.files import writing
from elasticvit.flows.places import check_parent
from elasticvit.flows.search_caps import no_target
from elasticvit.flows.search_settings import SearchSettings
from elasticvit.process_lock import process_lock
from elasticvit.searching.result import RESULT_FILE
from elasticvit.searching.state_file import STATE_FILE
from elasticvit.workspace import Workspace

LOCK_FILE = ".lock"


def by_scores(settings: SearchSettings, workspace: Workspace) -> bool:
    """Whether architectures are ordered without a supernet: as the settings ask, or where the
    workspace has a target and a space but no training run."""
    if settings.proxy is not None or settings.accuracies is not None:
        return True
    if settings.run is not None or settings.supernet is not None or workspace.folders("run"):
        return False
    last = workspace.settings()
    if last.latest.run is not None:  # it is gone, which is said
        return False
    named = settings.space is not None or last.space is not None
    return settings.has_target and named


def run_folder(settings: SearchSettings, workspace: Workspace) -> Path:
    """Folder of the training run.

    Raises:
        TargetError: There is none, and no target either; what the space can do comes first.
        WorkspaceError: There is none.
    """
    if settings.run is not None:
        return Path(settings.run)
    try:
        return workspace.latest("run")
    except WorkspaceError as error:
        if settings.has_target or workspace.settings().space is None:
            raise
        raise no_target(settings, workspace, workspace.space()) from error


def checked_out(settings: SearchSettings) -> Path | None:
    """The folder that was named for the result; None if none was.

    Raises:
        SettingError: It holds a finished search, or anything but an interrupted one, or the folder
            around it is missing.
        FileError: It cannot be read.
    """
    if settings.out is None:
        return None
    out = Path(settings.out)
    check_parent("out", out)
    with writing(out):
        finished = (out / RESULT_FILE).exists()
        begun = (out / STATE_FILE).exists()
        empty = not out.exists() or (
            out.is_dir() and all(path.name == LOCK_FILE for path in out.iterdir())
        )
    if finished:
        raise SettingError(f"{out} holds a finished search; name another folder", settings=["out"])
    if not (begun or empty):
        raise SettingError(
            f"{out} is neither an empty folder nor an interrupted search; name another",
            settings=["out"],
        )
    return out


@contextmanager
def working_in(folder: Path, workspace: Workspace) -> Iterator[Path]:
    """Keep other processes from searching in a folder while the context lasts; if the work fails
    before there is a state to go on from, the folder is removed.

    Raises:
        CheckpointError: Another process searches there.
        FileError: The folder cannot be written to.
    """
    busy = (
        f"the search in {folder} is under way in process {{process}}; wait until that process has "
        "ended, or stop it, then repeat this"
    )
    with ExitStack() as held:
        try:
            held.enter_context(process_lock(folder / LOCK_FILE, CheckpointError, busy))
        except FileError:
            _remove_new(folder, workspace)
            raise
        held.enter_context(workspace.nothing_left_behind(folder, keep=STATE_FILE))
        yield folder


def _remove_new(folder: Path, workspace: Workspace) -> None:
    """Remove a folder that holds nothing but a lock that could not be written."""
    with suppress(OSError):  # what cannot be removed stays
        if all(path.name == LOCK_FILE for path in folder.iterdir()):
            (folder / LOCK_FILE).unlink(missing_ok=True)
            folder.rmdir()
            workspace.prune(folder.parent)
