"""`evit-export` in a workspace with a finished search."""

import json
from pathlib import Path
from typing import Any

import pytest
from click import Option
from click.testing import CliRunner, Result
from export_models import SEARCHED as ARCH
from export_models import finished_search

from devices.protocol import Measurement
from elasticvit.cli.export import main
from elasticvit.nn import Subnet
from elasticvit.searching.result import SUBNET_FILE
from elasticvit.space import TINY
from elasticvit.workspace import Workspace
from export.bundle import load_bundle
from lut.store import Store


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace whose latest search chose a subnet (with random weights) for the fake."""
    return finished_search(Workspace.open(tmp_path / "evit"))


def run(workspace: Workspace, *options: str) -> Result:
    arguments = ["--workspace", str(workspace.root), "--format", "tflite", *options]
    return CliRunner().invoke(main, [*arguments, "--images", "20"])


def closing(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.strip().splitlines()
    data: dict[str, Any] = json.loads(line)
    return data


def test_it_leaves_a_bundle_and_says_predicted_beside_measured(workspace: Workspace) -> None:
    result = closing(run(workspace, "--json"))
    folder = workspace.latest("export")
    model, card = load_bundle(folder)
    assert Path(result["path"]).read_bytes() == model
    assert result["bytes"] == len(model) == card.bytes
    assert (result["predicted_ms"], result["target_ms"]) == (1.5, 2.0)
    assert result["ratio"] == pytest.approx(1.5 / result["measured_ms"])
    assert result["torch_accuracy"] == result["exported_accuracy"]
    assert result["max_rel_diff"] < 1e-4
    assert (result["images"], result["partitions"]) == (20, 1)
    assert sum(result["operators"].values()) > 100
    assert card.timing is not None
    assert card.timing.source.startswith("fake:")
    assert card.labels == tuple(str(i) for i in range(10))
    assert card.input.shape == (1, ARCH.resolution, ARCH.resolution, 3)
    assert len(card.input.mean) == len(card.input.std) == 3
    assert card.sources["data"] == "digits"


def test_people_get_a_table(workspace: Workspace) -> None:
    result = run(workspace)
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    for text in (
        "predicted / measured",
        "same class as torch, %",
        "in standard deviations",
        "load here, ms",
        "memory here",
        "latency cap 2 ms:",
        "partitions of the CPU delegate",
    ):
        assert text in told


def test_a_file_that_takes_longer_than_the_cap_is_warned_of(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("elasticvit.flows.export_timing.latency_ms", lambda _: 2.5)
    done = run(workspace, "--json")
    assert closing(done)["kept"] is False
    told = " ".join(done.stderr.split())
    assert "takes 2.5 ms on fake, 25.0% more than the search's cap of 2 ms" in told
    assert "search again with a target of 1.6 ms or so" in told
    _, card = load_bundle(workspace.latest("export"))
    assert card.timing is not None
    assert card.timing.kept is False


def test_the_model_is_also_written_where_it_is_wanted(workspace: Workspace, tmp_path: Path) -> None:
    out = tmp_path / "mine.tflite"
    result = closing(run(workspace, "--json", "--out", str(out)))
    assert out.read_bytes() == load_bundle(workspace.latest("export"))[0]
    assert result["path"] == str(out)


def test_an_impossible_place_is_refused_before_the_work(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    result = run(workspace, "--out", str(tmp_path / "file" / "mine.tflite"))
    assert result.exit_code == 2
    assert "there is no folder" in result.output
    assert "exporting" not in result.output
    assert not workspace.folders("export")


def test_a_device_that_the_search_did_not_price_has_no_prediction(workspace: Workspace) -> None:
    result = closing(run(workspace, "--json", "--device", "host"))
    assert result["device"] == "host"
    assert result["measured_ms"] > 0
    assert result["predicted_ms"] is result["ratio"] is result["target_ms"] is None


def test_an_absent_device_spoils_nothing_unless_it_was_named(workspace: Workspace) -> None:
    search = workspace.latest("search") / "search.json"
    search.write_text(search.read_text().replace('"device": "fake"', '"device": "gone"'))
    result = closing(run(workspace, "--json"))
    assert "no device 'gone'" in result["untimed"]
    assert result["measured_ms"] is None
    named = run(workspace, "--device", "gone")
    assert named.exit_code == 2
    assert "the model is kept, untimed, at" in named.output
    assert load_bundle(workspace.latest("export"))[1].timing is None


def test_a_device_that_was_only_imported_is_timed_on_this_computer_instead(
    workspace: Workspace,
) -> None:
    search = workspace.latest("search") / "search.json"
    search.write_text(search.read_text().replace('"device": "fake"', '"device": "gone"'))
    with Store(workspace.lut_path) as store:
        store.add(
            "gone",
            Measurement(
                key="ffn size=4 width=64 mlp_ratio=2",
                samples_us=(100.0,),
                round=0,
                threads=1,
                cores="0",
                source="import:table.json",
                runtime="unrecorded",
                runtime_hash="0",
                time_s=1e9,
            ),
        )
    result = run(workspace)
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    assert "not timed: the latencies of gone were imported" in told
    assert "name device host" in told
    assert "--device: Device to time the model file on." in told


def test_ctrl_c_says_that_an_export_starts_anew(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("elasticvit.flows.export_file.compare_file", press)
    result = run(workspace)
    assert result.exit_code == 130
    assert "the same command starts it again from the beginning" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "coreml"), "no format 'coreml'; formats are tflite"),
        (("--out", "model.onnx"), "makes .tflite files; name it model.tflite"),
        (("--search", "nowhere"), "nowhere/search.json"),
    ],
)
def test_bad_input_is_one_message(workspace: Workspace, options, message: str) -> None:
    result = run(workspace, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_without_a_search_the_command_to_run_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--workspace", str(tmp_path / "new")])
    assert result.exit_code == 2
    assert "run: evit-search" in result.output


def test_every_option_has_a_text_and_the_formats_are_told_apart() -> None:
    text = CliRunner().invoke(main, ["--help"]).output
    for words in ("litert-torch", "fraction of", "by way of ONNX", "torch's exporter"):
        assert words in " ".join(text.split())
    assert all(p.help for p in main.params if isinstance(p, Option))


def test_a_subnet_that_the_search_did_not_choose_is_refused(workspace: Workspace) -> None:
    other = Subnet(TINY.largest, TINY.layout)
    other.save(workspace.latest("search") / SUBNET_FILE)
    result = run(workspace)
    assert result.exit_code == 2
    assert "the search chose" in result.output


def test_a_truncated_subnet_is_refused(workspace: Workspace) -> None:
    path = workspace.latest("search") / SUBNET_FILE
    path.write_bytes(path.read_bytes()[:1000])
    result = run(workspace)
    assert result.exit_code == 2
    assert "truncated or not a subnet" in result.output
