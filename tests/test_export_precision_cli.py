"""`evit-export --precision` in a workspace with a finished search."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from export_models import finished_search

from elasticvit.cli.export import main
from elasticvit.errors import SettingError
from elasticvit.flows.export import ExportSettings
from elasticvit.flows.export_calibration import calibration_images
from elasticvit.searching.result import SearchResult
from elasticvit.training.data import open_data
from elasticvit.workspace import Workspace
from export.bundle import load_bundle
from export.calibration import IMAGES


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return finished_search(Workspace.open(tmp_path / "evit"))


def run(workspace: Workspace, *options: str) -> Result:
    arguments = ["--workspace", str(workspace.root), "--format", "tflite", *options]
    return CliRunner().invoke(main, [*arguments, "--images", "20"])


def closing(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    data: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return data


def searched_in(workspace: Workspace, precision: str) -> None:
    folder = workspace.latest("search")
    result = SearchResult.load(folder)
    caps = tuple(replace(cap, precision=precision) for cap in result.caps)
    winners = tuple(
        replace(winner, caps=tuple(replace(cap, precision=precision) for cap in winner.caps))
        for winner in result.winners
    )
    replace(result, precision=precision, caps=caps, winners=winners).save(folder)


def test_int8_full_is_calibrated_with_training_images(workspace: Workspace) -> None:
    result = closing(run(workspace, "--json", "--precision", "int8-full"))
    model, card = load_bundle(workspace.latest("export"))
    assert result["precision"] == card.precision == "int8-full"
    assert result["tensor_types"] == card.tensor_types
    assert card.tensor_types["INT8"] > 50
    assert result["partitions"] == 1
    assert result["bytes"] == len(model) < 600_000
    assert card.calibration is not None
    assert (card.calibration.images, card.calibration.part) == (IMAGES, "train")
    assert result["calibration_images"] == IMAGES
    assert "ai-edge-quantizer" in card.versions
    assert 1e-3 < card.parity.max_rel_diff < 1


def test_a_latency_stands_beside_no_prediction_of_another_precision(workspace: Workspace) -> None:
    result = closing(run(workspace, "--json", "--precision", "int8"))
    assert (result["predicted_ms"], result["ratio"], result["target_ms"]) == (None, None, 2.0)
    searched_in(workspace, "int8")
    result = closing(run(workspace, "--json"))
    assert (result["precision"], result["predicted_ms"]) == ("int8", 1.5)


def test_people_are_told_types_and_where_fp16_is_computed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elasticvit.flows.export_remark.computes_in_fp16", lambda: False)
    told = " ".join(run(workspace, "--precision", "fp16").output.split())
    assert "with tflite in fp16 ..." in told
    assert "fp16: tensors in the file are" in told
    assert told.count("it is computed in fp32") == 1
    monkeypatch.setattr("elasticvit.flows.export_remark.computes_in_fp16", lambda: True)
    told = " ".join(run(workspace, "--precision", "fp16").output.split())
    assert "computed in fp32" not in told


def test_too_few_training_images_leave_nothing(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.calibration.IMAGES", 3)
    result = run(workspace, "--precision", "int8-full")
    assert result.exit_code == 2
    told = " ".join(result.output.split())
    assert "needs at least 16 calibration images, there are 3; take a data set" in told
    assert "--precision" in told
    assert not workspace.folders("export")


def test_calibration_images_are_the_same_every_time_and_no_test_images() -> None:
    data = open_data("digits")
    first, account = calibration_images(data, 32)
    again, _ = calibration_images(data, 32)
    assert len(first) == IMAGES
    assert account is not None
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    assert first[0].shape == (1, 32, 32, 3)
    seen = {image.tobytes() for image in first}
    for batch, _ in data.loader("test", resolution=32, batch_size=64):
        for image in batch.permute(0, 2, 3, 1).contiguous().numpy():
            assert image.tobytes() not in seen


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(SettingError, match="precision is 'int4'; it is one of fp32, fp16"):
        ExportSettings(precision="int4")
