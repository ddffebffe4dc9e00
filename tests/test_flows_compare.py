"""Exports, winners of searches and other files compared in one session."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from add_models import FLOAT32, INT32, add_model
from click.testing import CliRunner, Result
from export_models import finished_search, randomised
from pages import browser_program, open_browser, page_problems

import elasticvit as ev
from devices.fake import FakeDevice
from elasticvit.cli.export import main
from elasticvit.errors import ExportError, SettingError
from elasticvit.flows.compare import compare
from elasticvit.flows.compare_candidates import candidates
from elasticvit.flows.compare_charts import accuracy_chart, colours, short
from elasticvit.flows.compare_page import render
from elasticvit.flows.compare_result import CSV_FILE, PAGE_FILE, Comparison
from elasticvit.nn import Subnet
from elasticvit.searching.result import SUBNET_FILE, SearchResult
from elasticvit.space import TINY
from elasticvit.workspace import Workspace
from export.bundle import load_bundle, sha256, write_bundle, write_files
from export.inspect import delegation


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks how models are delegated without a process of its own for each."""
    monkeypatch.setattr("elasticvit.flows.model_files.delegation_apart", delegation)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a search and an export of its winner."""
    workspace = finished_search(Workspace.open(tmp_path_factory.mktemp("compare") / "ws"))
    ev.export(format="tflite", images=20, device="fake", workspace=workspace)
    return workspace


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "other_net.tflite"
    path.write_bytes(add_model(FLOAT32, INT32))
    return path


def compared(workspace: Workspace, *models: Path | str, **changes: Any) -> Comparison:
    settings = {"device": "fake", "rounds": 4, **changes}
    return compare(models=models, workspace=workspace, **settings)


def test_exports_winners_and_files_are_compared_in_one_session(
    exported: Workspace, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.open_device", lambda *_, **__: FakeDevice(noise=0.02))
    result = compared(
        exported, f"mine={exported.latest('export')}", exported.latest("search"), plain
    )
    first, second, third = result.models
    assert first.name == "mine"
    assert [one.candidate.kind for one in result.models] == ["export", "search", "file"]
    assert str(TINY.smallest) in first.candidate.described
    assert first.ratio is None
    assert second.ratio is not None
    assert second.ratio.low < 1 < second.ratio.high  # the same model
    assert not second.ratio.told_apart
    assert third.ratio is not None
    assert third.ratio.told_apart
    assert third.ratio.rounds == 4
    assert first.candidate.accuracy is not None
    assert (first.candidate.accuracy.images, first.candidate.accuracy.data) == (20, "digits")
    assert second.candidate.accuracy is not None
    assert second.candidate.accuracy.of == "torch"
    assert third.candidate.accuracy is None
    assert [one.name for one in result.judged] == ["mine", second.name]
    with result.csv.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [one.name for one in result.models]
    assert float(rows[2]["ratio"]) == pytest.approx(third.ratio.value)
    assert rows[2]["left_operators"] == "1"
    assert {row["device"] for row in rows} == {"fake"}
    assert {result.csv.name, result.page.name} == {CSV_FILE, PAGE_FILE}


def test_the_page_tells_all_and_opens_in_a_browser(
    exported: Workspace, plain: Path, tmp_path: Path
) -> None:
    long = tmp_path / f"a{'_very' * 20}_long_name.tflite"
    long.write_bytes(plain.read_bytes())
    result = compared(exported, exported.latest("export"), exported.latest("search"), plain, long)
    text = result.page.read_text()
    for words in (
        "4 models on fake",
        "these latencies are computed, not measured",
        "left to the reference kernels: 1 ADD",
        "--compare",
        "Accuracy over latency",
        plain.name.removesuffix(".tflite"),
    ):
        assert words in text
    program = browser_program()
    if program is None:
        pytest.skip("no Chromium")
    with open_browser(program, tmp_path / "profile") as browser:
        assert page_problems(browser, result.page) == []


def test_without_accuracies_there_are_bars_alone(exported: Workspace, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.tflite" for name in ("one", "two")]
    for path, types in zip(paths, ((FLOAT32,), (INT32,)), strict=True):
        path.write_bytes(add_model(*types))
    result = compared(exported, *paths)
    assert result.judged == ()
    text = result.page.read_text()
    assert "Accuracy over latency" not in text
    assert 'aria-label="one: ' in text


def test_accuracies_of_different_data_are_not_drawn_together(exported: Workspace) -> None:
    result = compared(exported, exported.latest("export"), exported.latest("search"))
    first, second = result.models
    assert second.candidate.accuracy is not None
    other = replace(second.candidate.accuracy, data="cifar10")
    moved = replace(second, candidate=replace(second.candidate, accuracy=other))
    result = replace(result, models=(first, moved))
    assert result.judged == ()
    assert "different data sets (cifar10, digits)" in render(result)


def test_a_model_that_another_one_beats_is_a_ring_and_names_do_not_collide(
    exported: Workspace,
) -> None:
    result = compared(exported, exported.latest("export"), f"b={exported.latest('search')}")
    first, second = result.models
    assert first.candidate.accuracy is not None
    assert second.timing is not None
    better, worse = (replace(first.candidate.accuracy, percent=p) for p in (90.0, 80.0))
    first = replace(first, candidate=replace(first.candidate, accuracy=better))
    slow = replace(second.timing, ms=1.5 * second.timing.ms, high_ms=2 * second.timing.ms)
    beaten = replace(second, candidate=replace(second.candidate, accuracy=worse), timing=slow)
    chart = accuracy_chart([first, beaten], colours(result.models))
    assert chart.count('fill="var(--paper)"') == 1
    assert short("x" * 99).startswith("…")
    assert len(short("x" * 99)) < 30


def test_a_device_that_goes_away_leaves_the_table_of_what_it_did(
    exported: Workspace, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.open_device", lambda *_, **__: FakeDevice(unreachable_after=5))
    result = compared(exported, exported.latest("export"), plain)
    assert result.timing.ended is not None
    assert result.models[1].ratio is not None
    assert result.models[1].ratio.rounds == 2
    assert "The session ended early" in result.page.read_text()


def test_a_model_that_is_refused_stays_in_the_table(
    exported: Workspace, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject = {"other_net": "unknown operator"}
    monkeypatch.setattr("devices.open_device", lambda *_, **__: FakeDevice(reject=reject))
    result = compared(exported, exported.latest("export"), plain)
    assert result.models[1].refused == "unknown operator"
    assert result.models[1].timing is None
    assert "other_net was refused: unknown operator" in result.page.read_text()


def test_a_file_beside_its_card_is_an_export(exported: Workspace, plain: Path) -> None:
    model = exported.latest("export") / "model.tflite"
    result = compared(exported, model, plain)
    assert result.models[0].candidate.kind == "export"
    plain.with_suffix(".json").write_text("{}")  # of something else
    assert compared(exported, model, plain).models[1].candidate.kind == "file"


def test_the_card_of_another_file_is_not_the_one_of_a_file(
    exported: Workspace, tmp_path: Path, plain: Path
) -> None:
    _, card = load_bundle(exported.latest("export"))
    onnx = replace(card, format="onnx", file="other_net.onnx", bytes=4, sha256=sha256(b"onnx"))
    write_bundle(tmp_path, b"onnx", onnx)  # with other_net.json beside other_net.tflite
    (found, _) = candidates([plain, exported.latest("export")], lambda _: None)
    assert (found.kind, found.accuracy) == ("file", None)
    assert found.model.data == plain.read_bytes()


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        (["{plain}"], SettingError, "name 2 to 100"),
        (["{plain}", "{plain}"], SettingError, "name each file once"),
        (["a={plain}", "a={export}"], SettingError, "two models are called a"),
        (["{plain}", "gone.tflite"], ExportError, "cannot be read"),
        (["{plain}", "{folder}"], ExportError, "the folder of neither an export"),
        (["/={plain}", "{export}"], SettingError, "the name of a model is '/'"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    models: list[str], error: type[Exception], message: str, exported: Workspace, plain: Path
) -> None:
    places = {"plain": plain, "export": exported.latest("export"), "folder": exported.root}
    with pytest.raises(error, match=message):
        compared(exported, *(text.format(**places) for text in models))


def test_all_tflite_files_of_an_export_are_compared(
    exported: Workspace, tmp_path: Path, plain: Path
) -> None:
    data, card = load_bundle(exported.latest("export"))
    names = ("model.tflite", "model.tflite-litert-torch.tflite")
    first = replace(
        card,
        format="onnx",
        file="model.onnx",
        bytes=4,
        sha256=sha256(b"onnx"),
        others=tuple(f"{name}.json" for name in names),
    )
    second = replace(card, format="tflite-litert-torch", file=names[1])
    write_files(tmp_path / "all", [(b"onnx", first), (data, card), (data, second)])
    result = compared(exported, tmp_path / "all", plain)
    assert [one.name for one in result.models[:2]] == ["all tflite", "all tflite-litert-torch"]
    assert [one.candidate.kind for one in result.models] == ["export", "export", "file"]
    assert result.models[1].candidate.described.endswith(", tflite-litert-torch")
    alone = compared(exported, tmp_path / "all" / names[1], exported.latest("export"))
    assert alone.models[0].name == "model.tflite-litert-torch"
    assert alone.models[0].candidate.kind == "export"


def test_an_export_of_another_format_is_refused(tmp_path: Path, plain: Path) -> None:
    workspace = finished_search(Workspace.open(tmp_path / "ws"))
    folder = ev.export(format="onnx", images=20, device="fake", workspace=workspace).folder
    with pytest.raises(ExportError, match="in format onnx; devices time TFLite models"):
        compared(workspace, folder, plain)


def test_a_winner_is_written_in_the_precision_that_it_was_searched_for(
    tmp_path: Path, plain: Path
) -> None:
    workspace = finished_search(Workspace.open(tmp_path / "ws"))
    folder = workspace.latest("search")
    result = SearchResult.load(folder)
    caps = tuple(replace(cap, precision="int8") for cap in result.caps)
    winners = tuple(replace(winner, caps=caps) for winner in result.winners)
    before = compared(workspace, folder, plain).models[0].candidate
    replace(result, precision="int8", caps=caps, winners=winners).save(folder)
    first = compared(workspace, folder, plain).models[0].candidate
    assert before.accuracy is not None
    assert first.accuracy is None  # torch's, in fp32, is not the one of this file
    assert first.model.facts.weight_type == "int8"
    assert first.described.endswith("tflite in int8")


def test_a_winner_with_other_weights_than_the_search_chose_is_refused(
    tmp_path: Path, plain: Path
) -> None:
    workspace = finished_search(Workspace.open(tmp_path / "ws"))
    other = randomised(Subnet(TINY.largest, TINY.layout))
    assert isinstance(other, Subnet)
    other.save(workspace.latest("search") / SUBNET_FILE)
    with pytest.raises(ExportError, match="the search chose"):
        compared(workspace, workspace.latest("search"), plain)


def run(workspace: Workspace, *options: str) -> Result:
    return CliRunner().invoke(main, ["--workspace", str(workspace.root), *options])


def test_the_command_prints_the_table_and_the_page(exported: Workspace, plain: Path) -> None:
    folder = str(exported.latest("export"))
    options = ("--compare", f"mine={folder}", str(plain), "--device", "fake", "--rounds", "3")
    done = run(exported, *options)
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    for text in ("of mine", "other_net", "accuracy, %", PAGE_FILE, CSV_FILE):
        assert text in told
    assert f"evit-export --compare mine={folder} {plain} --device fake --rounds 3" in done.output
    (line,) = run(exported, *options, "--json").stdout.strip().splitlines()
    data = json.loads(line)
    assert [row["name"] for row in data["compared"]] == ["mine", "other_net"]
    assert data["session"]["models"]["other_net"]["left_operators"] == {"ADD": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--compare", "a", "b", "--out", "x.tflite"), "--out: not with --compare"),
        (("--compare", "a", "b", "--format", "onnx"), "--format: not with --compare"),
        (("--rounds", "5"), "--rounds: for --compare alone"),
        (("a.tflite",), "a.tflite: folders and files are named after --compare alone"),
        (("--compare", "a.tflite"), "name 2 to 100"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    exported: Workspace, options: tuple[str, ...], message: str
) -> None:
    done = run(exported, *options)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
