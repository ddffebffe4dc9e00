"""Exports that are interrupted, cannot be written or cannot be timed, and what they leave."""

import errno
import os
from pathlib import Path

import pytest
from export_flow import QUICK, workspace

from elasticvit.errors import DeviceError, DeviceUnreachable, ExportError, FileError
from elasticvit.events import Event
from elasticvit.files import file_error
from elasticvit.flows import export_place
from elasticvit.flows.export import export
from elasticvit.flows.export_events import ComparisonProgress, ExportStarted, TimingStarted
from elasticvit.workspace import Workspace
from export.bundle import load_bundle
from export.card import Card

__all__ = ["workspace"]


def test_a_killed_export_leaves_no_folder_with_a_name(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = workspace.folders("export")

    def kill(folder: Path, files: list[tuple[bytes, Card]], extras: dict[str, bytes]) -> None:
        (folder / "half").write_bytes(files[0][0])
        assert workspace.folders("export") == before
        raise KeyboardInterrupt

    monkeypatch.setattr(export_place, "write_files", kill)
    with pytest.raises(KeyboardInterrupt):
        export(workspace=workspace, **QUICK)
    assert workspace.folders("export") == before


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("place", [{}, {"out": "vit.tflite"}, {"folder": "mine"}])
def test_a_bundle_that_cannot_be_written_leaves_nothing_behind(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, place: dict[str, str]
) -> None:
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileError, match="cannot be written: No space left on device; free some"):
        export(workspace.latest("search"), **place, **QUICK)
    assert workspace.folders("export") == []
    assert not (workspace.root / "exports").exists()
    assert list(Path().iterdir()) == []


def test_what_is_complete_is_named_if_another_copy_cannot_be_written(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elasticvit.flows.export_place.write_atomic", write_atomic_full)
    with pytest.raises(FileError, match=r"copy\.tflite cannot .* \(the model is kept at") as caught:
        export(workspace=workspace, out="copy.tflite", **QUICK)
    assert caught.value.settings == ("out",)
    (folder,) = workspace.folders("export")
    assert workspace.latest("export") == folder
    assert str(folder) in str(caught.value)
    assert load_bundle(folder)[1].timing is not None


def write_atomic_full(path: Path, data: bytes) -> None:
    raise file_error(path, OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("place", [{}, {"out": "vit.tflite"}, {"folder": "mine"}])
def test_a_place_that_is_read_only_is_refused_before_the_work(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, place: dict[str, str]
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    events: list[Event] = []
    with pytest.raises(FileError, match=r"cannot be written: folder .* is read-only for this user"):
        export(workspace.latest("search"), events=events.append, **place, **QUICK)
    assert events == []


def test_only_what_an_export_wrote_is_replaced(workspace: Workspace) -> None:
    search = workspace.latest("search")
    Path("copy.tflite").write_bytes(b"somebody's")
    Path("vit.json").write_text("{}")
    for where, out in ((workspace, "copy.tflite"), (None, "vit.tflite")):
        with pytest.raises(ExportError, match="exists, and is not known to be of an earlier"):
            export(search, out, workspace=where, **QUICK)
    assert Path("copy.tflite").read_bytes() == b"somebody's"
    assert Path("vit.json").read_text() == "{}"
    for path in ("copy.tflite", "vit.json"):
        Path(path).unlink()
    for where, out in ((workspace, "copy.tflite"), (None, "vit.tflite")):
        first = export(search, out, workspace=where, **QUICK)
        again = export(search, out, workspace=where, **QUICK)
        assert again.model == first.model
    assert load_bundle(Path("vit.tflite"))[1] == again.card


def test_two_exports_to_one_path_exclude_each_other(workspace: Workspace) -> None:
    search = workspace.latest("search")
    refused: list[ExportError] = []

    def second(event: Event) -> None:
        if isinstance(event, ExportStarted):
            with pytest.raises(ExportError, match=f"process {os.getpid()} exports to") as caught:
                export(search, (Path() / "vit.tflite").resolve(), **QUICK)
            refused.append(caught.value)

    export(search, "vit.tflite", events=second, **QUICK)
    assert len(refused) == 1
    export(search, "vit.tflite", **QUICK)  # the lock is given back
    assert sorted(p.suffix for p in Path().iterdir()) == [".json", ".npz", ".tflite", ".txt"]


@pytest.mark.parametrize("place", [{}, {"out": "vit.tflite"}, {"folder": "mine"}])
def test_an_export_that_is_interrupted_while_timing_leaves_nothing(
    workspace: Workspace, place: dict[str, str]
) -> None:
    def press(event: Event) -> None:
        if isinstance(event, TimingStarted):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            export(workspace.latest("search"), events=press, **place, **QUICK)
    assert workspace.folders("export") == []
    assert list(Path().iterdir()) == []


def test_a_device_that_gives_no_measurement_spoils_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.fake.FakeDevice.measure", lambda *_: iter(()))
    result = export(workspace=workspace, **QUICK)
    assert "device fake gave no measurement" in str(result.card.untimed)
    assert result.untimed is not None
    assert result.untimed.settings == ("device",)


def test_a_device_whose_latencies_were_imported_advises_another(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise DeviceUnreachable("no phone answers", settings=["address"])

    monkeypatch.setattr("elasticvit.flows.export_timing.open_device", gone)
    monkeypatch.setattr("elasticvit.flows.export_timing.is_imported", lambda *_: True)
    result = export(workspace=workspace, **QUICK)
    assert result.untimed is not None
    assert result.untimed.settings == ("device",)
    assert result.card.untimed == str(result.untimed)
    assert "latencies of fake were imported" in str(result.untimed)
    assert "(no phone answers); name device host" in str(result.untimed)


def test_what_the_event_handler_raises_ends_the_export(workspace: Workspace) -> None:
    class Enough(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, ComparisonProgress):
            raise Enough

    with pytest.raises(Enough):
        export(workspace=workspace, events=stop, **QUICK)
    assert workspace.folders("export") == []


def test_a_named_device_that_is_absent_is_an_error_and_the_file_stands(
    workspace: Workspace,
) -> None:
    search = workspace.latest("search")
    with pytest.raises(DeviceError, match=r"the model is kept, untimed, at vit\.tflite"):
        export(search, "vit.tflite", device="gone", **QUICK)
    assert load_bundle(Path("vit.tflite"))[1].timing is None
