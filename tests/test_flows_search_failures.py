"""Searches that are interrupted, disturbed or cannot be written: nothing is lost, and what is there
is left alone."""

import errno
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_search import (
    few_images,
    one_thread,
    same,
    workspace_with_devices,
)

from elasticvit.arch import ArchBatch
from elasticvit.errors import (
    CheckpointError,
    DataError,
    FileError,
    SettingError,
)
from elasticvit.events import Event, Notice
from elasticvit.flows import search_caps
from elasticvit.flows.asked import ASKED_FILE
from elasticvit.flows.search import SearchSettings, search
from elasticvit.flows.search_events import (
    SearchPlanned,
    SearchProgress,
)
from elasticvit.flows.search_place import LOCK_FILE
from elasticvit.searching import evaluate
from elasticvit.searching.evaluate import SupernetEvaluator, quick_gmacs
from elasticvit.searching.job import SearchJob
from elasticvit.searching.result import SearchResult
from elasticvit.workspace import Workspace
from predictors.extrapolation import ExtrapolationWarning
from predictors.kernel_table import KernelTable
from predictors.workspace_predictors import load_device_predictor

pytestmark = pytest.mark.usefixtures(one_thread.__name__, few_images.__name__)
SIZES: dict[str, Any] = {"population": 3, "generations": 1}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_with_devices(tmp_path / "ws")


class Stop(Exception):
    pass


def interrupt(settings: SearchSettings, workspace: Workspace) -> None:
    """Break a search off at its first progress."""

    def stop(event: Event) -> None:
        if isinstance(event, SearchProgress):
            raise Stop

    with pytest.raises(Stop):
        search(settings, workspace=workspace, events=stop)


@pytest.mark.parametrize("at", [1, 2, 4])
def test_a_handler_that_raises_stops_a_search_that_goes_on_later(
    workspace: Workspace, tmp_path: Path, at: int
) -> None:
    settings = SearchSettings(target_ms=4, population=4, generations=2, seed=3)
    whole = search(settings, workspace=workspace, out=tmp_path / "whole")
    seen: list[Event] = []

    def stop(event: Event) -> None:
        seen.append(event)
        if sum(isinstance(e, SearchProgress) for e in seen) == at:
            raise Stop

    with pytest.raises(Stop):
        search(settings, workspace=workspace, events=stop)
    (folder,) = workspace.folders("search")
    events: list[Event] = []
    again = search(settings, workspace=workspace, events=events.append)
    assert again.folder == folder == workspace.latest("search")
    (planned,) = [event for event in events if isinstance(event, SearchPlanned)]
    assert planned.resumes == folder
    same(again, whole)


def test_a_search_goes_on_in_the_folder_that_is_named(workspace: Workspace, tmp_path: Path) -> None:
    settings = SearchSettings(target_ms=4, out=tmp_path / "out", **SIZES)
    interrupt(settings, workspace)
    with pytest.raises(CheckpointError, match="a search with other seed"):
        search(settings, workspace=workspace, seed=9)
    found = search(settings, workspace=workspace)
    same(found, search(settings, workspace=workspace, out=None))
    with pytest.raises(SettingError, match="holds a finished search") as caught:
        search(settings, workspace=workspace)
    assert caught.value.settings == ("out",)


def test_an_interrupted_search_of_other_latencies_is_told(workspace: Workspace) -> None:
    settings = SearchSettings(target_ms=4, device="phone", **SIZES)
    interrupt(settings, workspace)
    (folder,) = workspace.folders("search")
    learnt = load_device_predictor(workspace, "phone")
    table = {kernel: 0.9 * ms for kernel, ms in learnt.kernels.table_ms.items()}
    place = workspace.predictor_path("phone", learnt.precision, learnt.cpu)
    replace(learnt, kernels=KernelTable(table)).save(place)
    told: list[Event] = []
    found = search(settings, workspace=workspace, events=told.append)
    assert found.folder != folder
    notices = [event.text for event in told if isinstance(event, Notice)]
    assert any(str(folder) in text and "predicted otherwise since" in text for text in notices)
    told.clear()
    search(settings, workspace=workspace, target_ms=3.9, events=told.append)
    assert not any("otherwise since" in e.text for e in told if isinstance(e, Notice))


def test_a_folder_with_other_things_is_left_alone(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for path in (tmp_path / "mine", tmp_path / "mine" / "letter.txt"):
        with pytest.raises(SettingError, match="neither an empty folder nor an interrupted"):
            search(target_ms=4, workspace=workspace, out=path)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_two_searches_in_one_folder_exclude_each_other(workspace: Workspace) -> None:
    settings = SearchSettings(target_ms=4, population=4, generations=2)
    interrupt(settings, workspace)
    (folder,) = workspace.folders("search")
    refused: list[CheckpointError] = []

    def second(event: Event) -> None:
        if isinstance(event, SearchProgress) and not refused:
            with pytest.raises(CheckpointError, match=f"in process {os.getpid()}; wait") as caught:
                search(settings, workspace=workspace)
            refused.append(caught.value)

    found = search(settings, workspace=workspace, events=second)
    assert str(folder) in str(refused[0])
    assert found.folder == folder == workspace.latest("search")
    assert workspace.folders("search") == [folder]


def test_a_search_is_seen_before_its_first_evaluation_is_done(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SearchSettings(target_ms=4, **SIZES)
    original = SupernetEvaluator.__call__
    refused: list[CheckpointError] = []

    def second(self: SupernetEvaluator, batch: ArchBatch, *rest: int) -> Any:
        if workspace.folders("search") and not refused:
            refused.append(CheckpointError("none yet"))
            with pytest.raises(CheckpointError, match="is under way in process"):
                search(settings, workspace=workspace)
        return original(self, batch, *rest)

    monkeypatch.setattr(SupernetEvaluator, "__call__", second)
    found = search(settings, workspace=workspace)
    assert len(refused) == 1
    assert workspace.folders("search") == [found.folder]


def test_a_folder_with_nothing_but_a_lock_is_empty(workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / LOCK_FILE).write_text("17")  # of a search that was killed before its first state
    assert search(target_ms=4, workspace=workspace, out=out, **SIZES).folder == out


def test_missing_folders_are_refused_by_name(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"out is .*b: there is no folder .*a; make") as caught:
        search(target_ms=4, workspace=workspace, out=tmp_path / "a" / "b", **SIZES)
    assert caught.value.settings == ("out",)
    assert not (tmp_path / "a").exists()
    with pytest.raises(FileError, match="File name too long; choose a shorter name"):
        search(target_ms=4, workspace=workspace, out=tmp_path / ("x" * 300), **SIZES)
    with pytest.raises(CheckpointError, match=r"gone.run\.json"):
        search(target_ms=4, workspace=workspace, run=tmp_path / "gone", **SIZES)


def test_a_read_only_workspace_is_refused_before_the_work(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    events: list[Event] = []
    with pytest.raises(FileError, match=r"cannot be written: folder .* is read-only for this"):
        search(target_ms=4, workspace=workspace, events=events.append, **SIZES)
    assert events == []


def test_a_full_disk_keeps_what_is_complete_and_the_search_goes_on(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full after some files, of states, subnet, pictures, front and result."""
    whole = search(target_ms=4, workspace=workspace, seed=1, **SIZES)
    free: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if not free:
            raise OSError(errno.ENOSPC, "No space left on device")
        free.pop()
        real(descriptor)

    for files in (0, 1, 2, 4):
        free[:] = [1] * files
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", fsync)
            with pytest.raises(FileError, match="cannot be written: No space left on device; free"):
                search(target_ms=4, workspace=workspace, seed=1, **SIZES)
        assert workspace.latest("search") == whole.folder
        left = [folder for folder in workspace.folders("search") if folder != whole.folder]
        assert len(left) == (files > 1)  # what was asked is nothing without a state
        for folder in left:
            assert {p.name for p in folder.iterdir()} <= {
                ASKED_FILE,
                "state.json",
                "subnet.pt",
                LOCK_FILE,
                "front.png",
            }
            assert all(path.stat().st_size for path in folder.iterdir())
    again = search(target_ms=4, workspace=workspace, seed=1, **SIZES)
    assert left == [again.folder]
    same(again, whole)


@pytest.mark.parametrize("out", [True, False])
def test_a_lock_that_cannot_be_written_leaves_no_folder(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: bool
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(FileError, match=r"\.lock cannot be written: No space left"):
        search(target_ms=4, workspace=workspace, out=tmp_path / "out" if out else None, **SIZES)
    assert not (tmp_path / "out").exists()
    assert not (workspace.root / "searches").exists()


def test_a_finished_search_is_named_if_it_cannot_be_remembered(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise FileError("settings.toml cannot be written")

    monkeypatch.setattr(Workspace, "set_latest", full)
    with pytest.raises(FileError, match=r"\(the finished search is kept in (.*)\)") as caught:
        search(target_ms=4, workspace=workspace, **SIZES)
    (folder,) = workspace.folders("search")
    assert str(folder) in str(caught.value)
    assert SearchResult.load(folder).complete


def test_a_data_set_whose_classes_changed_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elasticvit.training import data

    real = data.open_data("digits")
    changed = replace(real, info=replace(real.info, classes=11))
    monkeypatch.setattr(data, "open_data", lambda spec: changed)
    with pytest.raises(DataError, match=r"has 11 classes now, and the network was .* with 10"):
        search(target_ms=4, workspace=workspace, **SIZES)
    assert not (workspace.root / "searches").exists()


def test_a_damaged_state_is_named_and_stays(workspace: Workspace) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, SearchProgress):
            raise Stop

    with pytest.raises(Stop):
        search(target_ms=4, workspace=workspace, events=stop, **SIZES)
    (folder,) = workspace.folders("search")
    damaged = (folder / "state.json").read_bytes()[:-20]
    (folder / "state.json").write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"state\.json is not the state.*move the folder"):
        search(target_ms=4, workspace=workspace, **SIZES)
    assert (folder / "state.json").read_bytes() == damaged
    assert workspace.folders("search") == [folder]


@pytest.mark.parametrize("out", [True, False])
def test_a_search_that_fails_before_its_first_state_leaves_no_folder(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: bool
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise Stop

    monkeypatch.setattr("elasticvit.searching.goal.initial_population", broken)
    with pytest.raises(Stop):
        search(target_ms=4, workspace=workspace, out=tmp_path / "out" if out else None, **SIZES)
    assert not (tmp_path / "out").exists()
    assert not (workspace.root / "searches").exists()


def test_a_budget_ends_the_evolution_in_time(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elasticvit.searching.plan.FEWEST_FINALISTS", 1)
    found = search(
        target_ms=4, population=64, generations=40, budget_minutes=0.05, workspace=workspace
    ).result
    assert not found.complete
    assert found.evaluations < 64 + 40 * 256


def test_threads_are_as_before_afterwards(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(
        SearchJob,
        "unfinished",
        lambda self, *_: seen.append((self.parallel, torch.get_num_threads())),
    )
    search(target_mmacs=2, threads=16, workspace=workspace, **SIZES)
    assert (seen, torch.get_num_threads()) == ([(8, 2)], 1)


def test_every_torch_device_has_a_budget_of_arithmetic() -> None:
    assert quick_gmacs("cpu") == quick_gmacs("cpu:0") == evaluate.QUICK_GMACS["cpu"]
    assert quick_gmacs("cuda:3") == quick_gmacs(torch.device("cuda")) == 400.0
    assert quick_gmacs("mps") == quick_gmacs("xpu:1") == evaluate.ACCELERATOR_GMACS


def test_a_numbered_torch_device_gives_the_same(workspace: Workspace) -> None:
    plain = search(target_ms=4, workspace=workspace, **SIZES)
    same(search(target_ms=4, workspace=workspace, torch_device="cpu:0", **SIZES), plain)
    assert np.isfinite(plain.result.accuracy)


def test_latencies_that_are_extrapolated_are_a_warning_of_the_search(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = search_caps.resolve_caps

    def extrapolating(*args: Any) -> search_caps.Problem:
        warnings.warn("3 kernels lie outside", ExtrapolationWarning, stacklevel=2)
        return resolve(*args)

    monkeypatch.setattr(search_caps, "resolve_caps", extrapolating)
    events: list[Event] = []
    search(target_mmacs=1.0, **SIZES, workspace=workspace, events=events.append)
    assert Notice(text="3 kernels lie outside", warning=True) in events
