"""The export flow as a library calls it: plain paths, events, results, and what failures leave."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_models import SEARCHED, finished_search

from elasticvit.errors import (
    CheckpointError,
    DataError,
    DeviceError,
    DeviceUnreachable,
    ExportError,
    FileError,
    NextStep,
    SettingError,
    WorkspaceError,
)
from elasticvit.events import Event, Phase
from elasticvit.files import file_error
from elasticvit.flows import export_place
from elasticvit.flows.export import ExportSettings, export
from elasticvit.flows.export_events import (
    ComparisonProgress,
    DeviceCheckStarted,
    ExportPlanned,
    ExportStarted,
    FreshRunStarted,
    ModelConverted,
    TimingStarted,
)
from elasticvit.flows.export_verify import verify_export
from elasticvit.flows.status import status
from elasticvit.nn import Subnet
from elasticvit.searching.result import SearchResult, subnet_file
from elasticvit.space import TINY
from elasticvit.workspace import Workspace
from export import conversion
from export.backend import Backend, find_backend
from export.bundle import CARD_FILE, STAGING, load_bundle, load_files
from export.card import Card
from export.parity import MAX_REL_DIFFS

QUICK: dict[str, Any] = {"format": "tflite", "images": 8}


@dataclass(frozen=True)
class Outcome:
    """What the search flow returns, as far as the export flow looks."""

    folder: Path


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace with a finished search, in another folder than the current one."""
    monkeypatch.setattr("elasticvit.flows.export_timing.ROUNDS", 3)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return finished_search(Workspace.open(tmp_path / "ws"))


def test_an_outcome_is_exported_to_a_plain_path(workspace: Workspace) -> None:
    before = sorted(workspace.root.rglob("*"))
    result = export(Outcome(workspace.latest("search")), "vit.tflite", **QUICK)
    assert (result.model, result.folder) == (Path("vit.tflite"), Path())
    assert sorted(p.name for p in Path().iterdir()) == [
        "vit.json",
        "vit.labels.txt",
        "vit.proof.npz",
        "vit.tflite",
    ]
    data, card = load_bundle(Path("vit.tflite"))
    assert card == result.card
    assert (card.file, card.bytes, card.arch) == ("vit.tflite", len(data), SEARCHED)
    assert card.timing is not None
    assert (card.timing.device, card.timing.predicted_ms, card.timing.target_ms) == ("fake", 1.5, 2)
    assert sorted(workspace.root.rglob("*")) == before


def test_a_bundle_goes_into_a_folder_of_ones_own(workspace: Workspace) -> None:
    result = export(workspace.latest("search"), folder="mine", **QUICK)
    assert result.model == Path("mine/model.tflite")
    assert sorted(p.name for p in Path("mine").iterdir()) == [
        "README.md",
        "RunModel.kt",
        "labels.txt",
        "model.json",
        "model.tflite",
        "proof.npz",
        "run_model.py",
    ]
    assert load_bundle(Path("mine"))[1] == result.card
    assert [p.name for p in Path().iterdir()] == ["mine"]
    assert workspace.folders("export") == []


def test_by_default_the_bundle_goes_into_the_workspace(workspace: Workspace) -> None:
    result = export(workspace=workspace, **QUICK)
    assert result.folder == workspace.latest("export")
    assert load_bundle(result.folder)[1] == result.card
    again = export(workspace.latest("search"), **QUICK)  # the workspace that it lies in
    assert again.folder.resolve() == workspace.latest("export").resolve() != result.folder
    assert list(Path().iterdir()) == []


def test_in_a_workspace_out_is_another_copy(workspace: Workspace) -> None:
    result = export(workspace=workspace, out="copy.tflite", **QUICK)
    assert result.model == Path("copy.tflite")
    data, card = load_bundle(workspace.latest("export"))
    assert Path("copy.tflite").read_bytes() == data
    assert card.file == "model.tflite"
    assert result.to_dict()["path"] == "copy.tflite"
    assert result.to_dict()["folder"] == str(result.folder)


def test_an_export_reports_by_events_and_prints_nothing(
    workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    events: list[Event] = []
    result = export(workspace=workspace, events=events.append, **QUICK)
    planned, phase, started, converted, *compared, fresh, timing = events
    subject = f"search {workspace.latest('search')}"
    assert planned == ExportPlanned(subject=subject, format="tflite", images=8, timed=True)
    assert isinstance(phase, Phase)
    assert started == ExportStarted(name=str(SEARCHED), format="tflite")
    assert converted == ModelConverted(bytes=result.card.bytes, seconds=result.seconds)
    assert compared == [ComparisonProgress(done=i, total=8) for i in range(1, 9)]
    assert fresh == FreshRunStarted()
    assert timing == TimingStarted(device="fake")
    assert capfd.readouterr() == ("", "")


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


def test_the_suffix_tells_the_format_unless_it_is_named(workspace: Workspace) -> None:
    result = export(workspace.latest("search"), "vit.onnx", images=4)
    assert result.card.format == "onnx"
    timing = result.card.timing
    assert timing is not None  # no device times it: it is timed on this computer
    assert (timing.device, timing.predicted_ms, timing.threads) == ("host", None, 1)
    assert timing.runtime.startswith("ONNX Runtime 1.")
    assert result.to_dict()["untimed"] is None
    with pytest.raises(ExportError, match=r"no format makes \.h5"):
        export(workspace.latest("search"), "vit.h5")
    with pytest.raises(SettingError, match=r"makes \.tflite files; name it vit\.tflite") as refused:
        export(workspace.latest("search"), "vit.onnx", **QUICK)
    assert refused.value.settings == ("out", "format")


@pytest.mark.parametrize(
    ("bad", "words", "name"),
    [
        ({"images": 0}, "images is 0; it must be a whole number from 1", "images"),
        ({"images": True}, "images is True", "images"),
        ({"images": 10**30}, "images is 10+; .* from 1 to 10,000,000", "images"),
        ({"max_accuracy_drop": -1}, "max_accuracy_drop is -1; it must be a", "max_accuracy_drop"),
        ({"proof_images": 65}, "proof_images is 65; it must be a whole", "proof_images"),
        ({"format": "onnx,onnx"}, "format is onnx,onnx: one is named twice", "format"),
        ({"device": "../x"}, "device is '../x'; it must be", "device"),
        ({"format": 5}, "format is 5; it must be the name of a format", "format"),
        ({"out": ""}, "out is ''; it must be a path", "out"),
        ({"out": "a\0b"}, "out is .*; it must be a path without null", "out"),
        ({"search": "a\0b"}, "search is .*; it must be a path without null", "search"),
        ({"out": "."}, r"out is \., which is a folder; name a file, such as model\.tflite", "out"),
        ({"search": 3}, "search is 3; it must be the folder of a search", "search"),
        ({"folder": __file__}, "which is a file; name a folder", "folder"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(bad: dict[str, Any], words: str, name: str) -> None:
    with pytest.raises(SettingError, match=words) as refused:
        ExportSettings(**bad)
    assert refused.value.settings == (name,)


def test_without_a_search_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no search in workspace") as refused:
        export(workspace=tmp_path / "new", **QUICK)
    assert refused.value.next_step == NextStep("search")
    assert not (tmp_path / "new").exists()
    with pytest.raises(CheckpointError, match=r"there is no .*search\.json"):
        export(tmp_path / "nowhere", "a.tflite", **QUICK)


def test_a_file_that_differs_from_torch_leaves_nothing_behind(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MAX_REL_DIFFS, "fp32", 0.0)
    for place in ({"out": "vit.tflite"}, {"folder": "mine"}, {}):
        with pytest.raises(ExportError, match="differs from torch") as refused:
            export(workspace.latest("search"), **QUICK, **place)
        assert refused.value.settings == ("format",)
    assert list(Path().iterdir()) == []
    assert workspace.folders("export") == []


@pytest.mark.parametrize("place", [{}, {"out": "vit.tflite"}, {"folder": "mine"}])
def test_a_file_that_is_too_inaccurate_is_kept_under_a_name_that_says_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, place: dict[str, str]
) -> None:
    search = workspace.latest("search")
    seen = export(search, "seen.tflite", **QUICK).card.parity
    worse = replace(seen, images=1000, torch_accuracy=60.0, exported_accuracy=50.0, lost=110)
    worse = replace(worse, gained=10)
    monkeypatch.setattr("elasticvit.flows.export_file.compare_file", lambda *_: worse)
    words = r"50\.00 % of 1,000 test images .* by torch 60\.00 %: 10\.00 points less"
    with pytest.raises(ExportError, match=words) as caught:
        export(search, **QUICK, **place)
    assert caught.value.settings == ("max_accuracy_drop", "format", "precision")
    folder = Path(place["folder"]) if "folder" in place else Path()
    if not place:
        (folder,) = workspace.folders("export")
    name = "vit" if "out" in place else "model"
    assert f"kept at {folder / name}.rejected.tflite" in str(caught.value)
    model, card = load_bundle(folder / f"{name}.rejected.tflite")
    assert (card.parity.lost, len(model), card.timing) == (110, seen_bytes(), None)
    assert not (folder / f"{name}.tflite").exists()
    assert not (folder / CARD_FILE).exists()
    found = status(workspace)
    assert (list(found.exports), list(found.damaged)) == ([], [])
    export(search, max_accuracy_drop=10, **QUICK, **place)


@pytest.mark.parametrize(
    ("formats", "bad", "names"),
    [
        ("tflite,onnx", "onnx", ["model.tflite"]),
        (
            "tflite,tflite-litert-torch,tflite-onnx2tf",
            "tflite",
            ["model.tflite", "model.tflite-onnx2tf.tflite"],
        ),
    ],
)
@pytest.mark.parametrize("place", [{}, {"folder": "mine"}])
def test_a_format_that_is_refused_takes_no_proven_file_with_it(
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    formats: str,
    bad: str,
    names: list[str],
    place: dict[str, str],
) -> None:
    real, failing = conversion.convert, [bad]

    def converted(backend: Backend, *rest: Any) -> bytes:
        if backend.name in failing:
            raise ExportError(f"{backend.name} fails; name another format", settings=["format"])
        return real(find_backend("tflite") if backend.tflite else backend, *rest)

    monkeypatch.setattr(conversion, "convert", converted)
    search, settings = workspace.latest("search"), {**QUICK, "format": formats, **place}
    with pytest.raises(ExportError, match=f"{bad} fails") as caught:
        export(search, **settings)
    folder = Path(place["folder"]) if place else workspace.latest("export")
    paths = ", ".join(str(folder / name) for name in names)
    assert str(caught.value).endswith(f"(proven and kept: {paths})")
    assert caught.value.settings == ("format",)
    assert [card.file for _, card in load_files(folder)] == names
    assert verify_export(folder).problems == ()
    assert not list(folder.glob(f"{STAGING}*"))
    assert list(status(workspace).damaged) == []
    failing[:] = formats.split(",")
    words = "; ".join(f"{name} fails.*" for name in failing)
    with pytest.raises(ExportError, match=words) as caught:
        export(search, **settings)
    assert "kept" not in str(caught.value)
    assert [card.file for _, card in load_files(folder)] == names  # as before


def test_logits_on_the_device_are_compared_with_those_here(workspace: Workspace) -> None:
    search, events = workspace.latest("search"), list[Event]()
    settings = {"check_on_device": True, "device": "host", "proof_images": 0, **QUICK}
    result = export(search, "vit.tflite", events=events.append, **settings)
    check = result.card.device_check
    assert check is not None
    assert (check.device, check.images, check.agreement) == ("host", 16, 100)
    assert check.max_rel_diff == 0  # the same runtime
    assert check.passed
    assert DeviceCheckStarted(device="host") in events
    assert not Path("vit.proof.npz").exists()
    assert load_bundle(Path("vit.tflite"))[1].device_check == check
    assert result.to_dict()["device_check"]["images"] == 16


@pytest.mark.parametrize("wrong", ["noise", "nan", "shape"])
def test_a_file_that_is_wrong_on_the_device_is_rejected(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    from devices.host.device import HostDevice

    real = HostDevice.compute

    def spoilt(*arguments: Any) -> Any:
        logits = real(*arguments).copy()
        if wrong == "shape":
            return logits[:, :5]
        logits[3] = np.nan if wrong == "nan" else logits[3][::-1]
        return logits

    monkeypatch.setattr(HostDevice, "compute", spoilt)
    search = workspace.latest("search")
    with pytest.raises(
        ExportError, match=r"export, kept at .*, is wrong on host \(LiteRT"
    ) as caught:
        export(search, "vit.tflite", device="host", check_on_device=True, **QUICK)
    what = "differ from those here by up to" if wrong == "noise" else "not finite"
    assert what in str(caught.value)
    _, card = load_bundle(Path("vit.rejected.tflite"))
    assert card.device_check is not None
    assert not card.device_check.passed
    assert not Path("vit.tflite").exists()


def test_a_device_that_hands_no_outputs_back_leaves_the_file(workspace: Workspace) -> None:
    search = workspace.latest("search")
    with pytest.raises(
        DeviceError, match=r"hands back no outputs.*kept, unchecked, at vit"
    ) as caught:
        export(search, "vit.tflite", check_on_device=True, **QUICK)
    assert caught.value.settings == ("device",)
    assert load_bundle(Path("vit.tflite"))[1].device_check is None
    with pytest.raises(SettingError, match="no format makes TFLite files"):
        export(search, "vit.onnx", check_on_device=True)


def seen_bytes() -> int:
    return Path("seen.tflite").stat().st_size


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


def test_missing_folders_are_refused_by_name(workspace: Workspace) -> None:
    search = workspace.latest("search")
    for name, value in (("out", "a/b/vit.tflite"), ("folder", "a/b")):
        with pytest.raises(
            SettingError, match=f"{name} is {value}: there is no folder a"
        ) as caught:
            export(search, **{name: value}, **QUICK)
        assert caught.value.settings == (name,)
    with pytest.raises(FileError, match="File name too long; choose a shorter name"):
        export(search, out="x" * 300 + ".tflite", **QUICK)
    assert list(Path().iterdir()) == []


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


def test_a_data_set_whose_classes_changed_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elasticvit.training import data

    real = data.open_data("digits")
    changed = replace(real, info=replace(real.info, classes=11))
    monkeypatch.setattr(data, "open_data", lambda spec: changed)
    with pytest.raises(
        DataError, match=r"digits has 11 classes now, and .* with 10; put"
    ) as caught:
        export(workspace=workspace, **QUICK)
    assert caught.value.next_step == NextStep("train", {"data": "digits"})


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


def test_a_search_with_several_goals_exports_the_one_that_is_named(workspace: Workspace) -> None:
    folder = workspace.latest("search")
    result = SearchResult.load(folder)
    (first,) = result.goals
    other = replace(SEARCHED, resolution=40)
    caps = (replace(first.caps[0], target=9.0, predicted=7.0, upper=8.0),)
    second = replace(first, arch=other, caps=caps, predicted_ms=7.0, accuracy=30.0)
    replace(result, winners=(first, second)).save(folder)
    Subnet(other, TINY.layout).save(folder / subnet_file(2))
    made = export(folder, "second.tflite", goal=2, **QUICK).card
    assert made.arch == other
    assert made.timing is not None
    assert (made.timing.predicted_ms, made.timing.target_ms) == (7.0, 9.0)
    assert (made.sources["goal"], made.sources["search_accuracy"]) == (2, 30.0)
    assert export(folder, "first.tflite", **QUICK).card.arch == SEARCHED
    words = r"goal is 3; the search in .* has 2 \(1: 2 ms; 2: 9 ms\)"
    with pytest.raises(SettingError, match=words) as caught:
        export(folder, "third.tflite", goal=3, **QUICK)
    assert caught.value.settings == ("goal",)
    with pytest.raises(SettingError, match="goal is 0"):
        ExportSettings(goal=0)
