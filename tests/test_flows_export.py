"""The export flow as a library calls it: plain paths, events, results, and clear refusals."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from export_flow import QUICK, workspace
from export_models import SEARCHED

from elasticvit.errors import (
    CheckpointError,
    DataError,
    ExportError,
    FileError,
    NextStep,
    SettingError,
    WorkspaceError,
)
from elasticvit.events import Event, Phase
from elasticvit.flows.export import ExportSettings, export
from elasticvit.flows.export_events import (
    ComparisonProgress,
    ExportPlanned,
    ExportStarted,
    FreshRunStarted,
    ModelConverted,
    TimingStarted,
)
from elasticvit.nn import Subnet
from elasticvit.searching.result import SearchResult, subnet_file
from elasticvit.space import TINY
from elasticvit.workspace import Workspace
from export.bundle import load_bundle

__all__ = ["workspace"]


@dataclass(frozen=True)
class Outcome:
    """What the search flow returns, as far as the export flow looks."""

    folder: Path


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
