"""`evit-search` as a user runs it, on a supernet and predictors made in a moment."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from search_command import SIZES, closing, search, workspace
from small_search import SMALL, digits, few_images, one_thread

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import MacsCost, space_kernels
from elasticvit.kernels import Head
from elasticvit.nn import Subnet
from elasticvit.searching import judges
from elasticvit.searching.evaluate import SupernetEvaluator, accuracy
from elasticvit.searching.judge import Judged
from elasticvit.searching.result import SearchResult
from elasticvit.share_error import share_error
from elasticvit.space import TINY
from elasticvit.workspace import Workspace
from predictors.fit import table_predictor

__all__ = ["workspace"]
pytestmark = pytest.mark.usefixtures(one_thread.__name__, few_images.__name__)


def test_a_search_from_the_target_to_the_subnet(workspace: Workspace) -> None:
    done = search(workspace, "--target-ms", "4", *SIZES, "--json")
    line = closing(done)
    folder = workspace.latest("search")
    assert Path(line["folder"]) == folder
    result = SearchResult.load(folder)
    assert line["arch"] == result.arch.to_dict()
    assert (result.device, result.source, result.unit, result.target) == (
        *("phone", "fake:phone", "ms", 4.0),
    )
    assert result.predicted_ms < result.upper_ms <= 4.0
    assert result.upper_ms == pytest.approx(1.1 * result.predicted_ms)
    assert result.macs_m == pytest.approx(
        float(MacsCost(SMALL).price(ArchBatch.of([result.arch]))[0])
    )
    assert result.evaluations == 3 + 12
    assert result.complete
    (chosen,) = [point for point in result.front if point.arch == result.arch]
    assert chosen.accuracy == result.accuracy
    best = max(point.accuracy for point in result.front)  # of equals the cheaper one is chosen
    assert best - result.accuracy <= 2 * share_error(best, result.search_images)
    assert {p.name for p in folder.iterdir()} == {
        *(
            "search.json",
            "asked.json",
            "subnet.pt",
            "front.csv",
            "front.png",
            "front.svg",
            "report.html",
        ),
        *("state.json", ".lock"),
    }
    subnet = Subnet.load(folder / "subnet.pt")
    assert subnet.arch == result.arch
    images = digits().loader("test", resolution=subnet.arch.resolution, batch_size=64)
    assert accuracy(subnet, images) == result.test_accuracy
    said = done.stderr
    assert "upper bound of latency on phone at most 4 ms" in said
    assert "made to hold for 95%" in said
    assert "next: evit-export --format tflite" in said
    assert "about" in said.split("searching up to 15 architectures")[1].splitlines()[0]


def test_more_than_the_best_are_written_where_asked_for(workspace: Workspace) -> None:
    done = search(workspace, "--target-ms", "4,6", *SIZES, "--top", "3")
    assert done.exit_code == 0, done.output
    assert "The best for each target" in done.stdout
    folder = workspace.latest("search")
    assert f"report: {folder / 'report.html'}" in done.stdout.replace("\n", "")
    result = SearchResult.load(folder)
    rows = list(csv.DictReader((folder / "top.csv").open()))
    assert [(row["goal"], row["rank"]) for row in rows] == [(g, r) for g in "12" for r in "123"]
    for row in rows:
        winner = result.winners[int(row["goal"]) - 1]
        arch = Arch.parse(row["architecture"])
        assert float(row["upper_phone_ms"]) <= winner.caps[0].target
        if row["rank"] == "1":
            assert arch == winner.arch
            assert float(row["accuracy"]) == pytest.approx(winner.accuracy, rel=1e-5)
        else:
            goal = "" if row["goal"] == "1" else "-2"
            assert Subnet.load(folder / f"subnet{goal}-rank-{row['rank']}.pt").arch == arch


def test_its_threads_may_be_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once: set[tuple[int, int]] = set()
    judge = SupernetEvaluator.extend

    def judged(self, stretch):
        at_once.add((self.spread.parallel, torch.get_num_threads()))
        return judge(self, stretch)

    monkeypatch.setattr(SupernetEvaluator, "extend", judged)
    done = search(workspace, "--target-mmacs", "4", *SIZES, "--threads", "3")
    assert done.exit_code == 0, done.output
    assert at_once == {(3, 1)}


def test_a_table_from_elsewhere_is_called_that(workspace: Workspace) -> None:
    kernels = space_kernels(SMALL)
    table = {
        (replace(k, classes=1000) if isinstance(k, Head) else k): k.macs / 1e6 + 0.01
        for k in kernels
    }
    predictor = table_predictor(table, device="far", source="import:far.json")
    predictor.save(workspace.predictor_path("far"))
    done = search(workspace, "--device", "far", "--target-ms", "4", *SIZES, "--json")
    assert closing(done)["source"] == "import:far.json"
    assert "numbers of far: far.json, imported, conditions unrecorded" in done.stderr
    assert "a head of 10 classes is priced on far at the 1000 classes of its table" in done.stderr
    assert "no upper bound is known" in done.stderr


def test_tests_images_are_read_once_and_last(workspace: Workspace, monkeypatch) -> None:
    from elasticvit.training.data import ImageData

    read: list[str] = []
    loader = ImageData.loader

    def watched(self, split, **options):
        read.append(split)
        return loader(self, split, **options)

    monkeypatch.setattr(ImageData, "loader", watched)
    closing(search(workspace, "--target-ms", "4", *SIZES, "--json"))
    assert read.count("test") == 1
    assert read[-1] == "test"


def test_finalists_are_judged_again_with_more_images(workspace: Workspace, monkeypatch) -> None:
    monkeypatch.setattr(judges, "THOROUGH_FACTOR", 8.0)
    done = search(workspace, "--target-ms", "4", *SIZES, "--json")
    line = closing(done)
    assert "finalists on up to 216 images" in done.stderr
    sizes = json.loads((Path(line["folder"]) / "state.json").read_text())["settings"]["sizes"]
    assert sizes["recalibration_images"] == 128
    subnet = Subnet.load(Path(line["folder"]) / "subnet.pt")
    images = digits().loader("search", resolution=subnet.arch.resolution, batch_size=64)
    assert accuracy(subnet, images) == line["accuracy"]


def test_several_devices_each_keep_their_target(workspace: Workspace) -> None:
    names = ("--device", "phone", "--device", "board")
    one = closing(search(workspace, *names, "--target-ms", "6", *SIZES, "--json"))
    assert [c["device"] for c in one["caps"]] == ["phone", "board"]
    assert [c["target"] for c in one["caps"]] == [6.0, 6.0]
    assert one["caps"][1]["predicted"] <= 6.0
    assert one["caps"][1]["upper"] is None  # nothing is known about the board's error
    two = closing(
        search(workspace, *names, "--target-ms", "3", "--target-ms", "9", *SIZES, "--json")
    )
    assert two["caps"][0]["upper"] <= 3.0
    assert two["caps"][1]["predicted"] <= 9.0


def test_multiply_accumulates_alone(workspace: Workspace) -> None:
    line = closing(search(workspace, "--target-mmacs", "1.5", *SIZES, "--json"))
    assert (line["device"], line["unit"], line["target"]) == (None, "MMACs", 1.5)
    assert line["macs_m"] <= 1.5
    assert line["predicted_ms"] > 0  # from the device that was profiled, for information


def test_an_interrupted_search_goes_on_with_the_same_command(
    workspace: Workspace, tmp_path: Path, monkeypatch
) -> None:
    options = ("--target-ms", "4", "--population", "4", "--generations", "2", "--seed", "3")
    whole = closing(search(workspace, *options, "--json"))
    calls = SimpleNamespace(left=2)  # breaks inside the first generation
    original = SupernetEvaluator.__call__

    def breaking(self, batch: ArchBatch, *rest: int) -> Judged:
        calls.left -= 1
        if calls.left < 0:
            raise KeyboardInterrupt
        return original(self, batch, *rest)

    monkeypatch.setattr(SupernetEvaluator, "__call__", breaking)
    broken = search(workspace, *options, "--json")
    assert broken.exit_code == 130
    assert "the same command goes on from there" in broken.stderr
    assert str(workspace.latest("search")) == whole["folder"]
    monkeypatch.setattr(SupernetEvaluator, "__call__", original)

    other = search(workspace, "--target-ms", "4", *SIZES, "--json")  # not the same command
    assert "searching up to" in other.stderr
    again = search(workspace, *options, "--json")
    line = closing(again)
    assert "going on with" in again.stderr
    assert "going on with" not in other.stderr
    (folder,) = {p.parent for p in workspace.root.glob("*/*/state.json")} - {
        Path(whole["folder"]),
        Path(closing(other)["folder"]),
    }
    assert Path(line["folder"]) == folder
    assert {**line, "folder": ""} == {**whole, "folder": ""}


def test_a_run_of_another_space_is_nothing_special(workspace: Workspace, tmp_path: Path) -> None:
    other = Workspace.open(tmp_path / "other")
    other.remember(space=TINY, data="digits")
    run = str(workspace.latest("run"))
    line = closing(search(other, "--target-mmacs", "3", "--run", run, *SIZES, "--json"))
    assert (line["space"], line["run"]) == ("small", run)
    assert line["predicted_ms"] is None  # no device is known here
