"""The proof of an export repeated, with search and data set in reach and without."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from export_models import SEARCHED, finished_search

from devices import Device, open_device
from devices.host.device import HostDevice
from elasticvit.cli.export import main
from elasticvit.errors import ExportError, SettingError
from elasticvit.flows.export import ExportSettings, export
from elasticvit.flows.export_verify import verify_export
from elasticvit.nn import Subnet
from elasticvit.searching.result import SUBNET_FILE
from elasticvit.space import TINY
from elasticvit.testing.export_format import randomised
from elasticvit.workspace import Workspace
from export.bundle import CARD_FILE, load_bundle, load_files, sha256, write_bundle
from export.direct import DirectBackend
from export.proof_images import ProofImages, image_count, read_proof

FILES = {"README.md", "RunModel.kt", "labels.txt", "model.json", "model.tflite", "proof.npz"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a search and an export of it."""
    root = tmp_path_factory.mktemp("made") / "evit"
    workspace = finished_search(Workspace.open(root))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elasticvit.flows.export_timing.ROUNDS", 1)
        patch.setattr("export.fresh_run.PROCESSES", 1)
        patch.setattr("export.fresh_run.STEADY_MS", 5.0)
        export(workspace=workspace, format="tflite", images=30)
    return root


@pytest.fixture
def workspace(made: Path, tmp_path: Path) -> Workspace:
    """A copy of it; the search that its card names is the original's, which is moved away."""
    shutil.copytree(made, tmp_path / "evit")
    return Workspace.open(tmp_path / "evit")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A bundle on a computer that has neither the search nor the workspace."""
    away = made.with_name("away")
    (made / "searches").rename(away)
    (folder,) = (made / "exports").iterdir()
    yield shutil.copytree(folder, tmp_path / "bundle")
    away.rename(made / "searches")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def words(result: Result) -> str:
    return " ".join(result.output.split())


def test_a_bundle_alone_is_proven_by_its_images(bundle: Path) -> None:
    assert {path.name for path in bundle.iterdir()} == FILES | {"run_model.py"}
    result = verify_export(bundle)
    result.check()
    (one,) = result.files
    assert one.kept is not None
    assert (one.kept.images, one.kept.agreement) == (64, 100)
    assert one.kept.max_rel_diff < 1e-4
    assert one.moved == 0  # the same computer
    assert one.test is None
    assert "is not on this computer" in str(result.untested)
    assert one.partitions == one.card.partitions == 1


def test_the_test_part_is_gone_through_where_it_is_in_reach(workspace: Workspace) -> None:
    (folder,) = workspace.folders("export")
    result = verify_export(folder / "model.tflite")
    result.check()
    (one,) = result.files
    assert result.untested is None
    assert one.test is not None
    assert one.test.images == 30
    assert one.test.torch_accuracy == one.card.parity.torch_accuracy


def test_another_subnet_in_the_search_is_not_compared_with(made: Path, tmp_path: Path) -> None:
    root = shutil.copytree(made, tmp_path / "evit")
    workspace = Workspace.open(root)
    (folder,) = workspace.folders("export")
    card = folder / CARD_FILE
    search = str(workspace.latest("search"))
    data = json.loads(card.read_text())
    data["sources"]["search"] = search
    card.write_text(json.dumps(data))
    other = randomised(Subnet(SEARCHED, TINY.layout), seed=5)
    assert isinstance(other, Subnet)
    other.save(Path(search) / SUBNET_FILE)
    result = verify_export(folder)
    assert "has other weights now" in str(result.untested)
    result.check()


def swap(bundle: Path, seed: int) -> None:
    """Another model under the same name, with a card that names it."""
    _, card = load_bundle(bundle)
    other = randomised(Subnet(SEARCHED, TINY.layout), seed=seed)
    assert isinstance(other, Subnet)
    model = DirectBackend().convert(other)
    write_bundle(bundle, model, replace(card, bytes=len(model), sha256=sha256(model)))


def test_a_file_with_other_weights_is_not_proven(bundle: Path) -> None:
    swap(bundle, seed=5)
    result = verify_export(bundle)
    assert len(result.problems) >= 1
    with pytest.raises(ExportError, match=r"logits of 64 kept images differ from torch's by up to"):
        result.check()
    done = run("--verify", bundle)
    assert done.exit_code == 2
    assert "is not proven on this computer: model.tflite: logits of 64 kept" in words(done)
    assert "at most 0.001 is accepted" in words(done)
    assert "largest difference of a logit" in words(done)


@pytest.mark.parametrize("name", ["model.tflite", "proof.npz", "labels.txt", "model.json"])
def test_a_damaged_or_missing_file_is_named(bundle: Path, name: str) -> None:
    path = bundle / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ExportError, match=name):
        verify_export(bundle)
    path.unlink()
    with pytest.raises(ExportError, match=name):
        verify_export(bundle)
    assert run("--verify", bundle).exit_code == 2


def test_images_that_do_not_fit_the_card_are_refused(bundle: Path) -> None:
    _, card = load_bundle(bundle)
    kept = read_proof(bundle, card)
    assert kept is not None
    assert card.proof is not None
    assert kept.exported.keys() == {"model.tflite"}
    for change in (
        {"pixels": kept.pixels[:, :16]},
        {"labels": kept.labels + 100},
        {"reference": kept.reference[:, :5]},
        {"reference": np.full_like(kept.reference, np.nan)},
        {"exported": {"model.tflite": kept.reference[:3]}},
    ):
        data = replace(kept, **change).to_bytes()
        (bundle / "proof.npz").write_bytes(data)
        changed = replace(card, proof=replace(card.proof, sha256=sha256(data)))
        with pytest.raises(ExportError, match=r"proof\.npz does not hold the images of the card"):
            read_proof(bundle, changed)
    data = b"no archive"
    (bundle / "proof.npz").write_bytes(data)
    changed = replace(card, proof=replace(card.proof, sha256=sha256(data)))
    with pytest.raises(ExportError, match=r"proof\.npz does not hold the images of the card"):
        read_proof(bundle, changed)


def test_kept_images_are_rounded_and_torch_answers_the_rounded_ones(bundle: Path) -> None:
    _, card = load_bundle(bundle)
    kept = read_proof(bundle, card)
    assert isinstance(kept, ProofImages)
    inputs = kept.inputs(card.input)
    mean, std = (np.array(x, np.float32) for x in (card.input.mean, card.input.std))
    levels = (inputs * std + mean) * 255
    np.testing.assert_allclose(levels, kept.pixels, atol=1e-3)
    assert len(set(kept.labels.tolist())) > 5  # in a random order, not class by class
    assert (bundle / "proof.npz").stat().st_size < 300_000
    assert image_count((1, 224, 224, 3)) == 8
    assert image_count((1, 128, 128, 3)) == 20


def test_without_images_and_search_there_is_nothing_to_prove_with(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.open(shutil.copytree(made, tmp_path / "evit"))
    monkeypatch.setattr("elasticvit.flows.export_timing.ROUNDS", 1)
    settings = ExportSettings(format="tflite", images=4, proof_images=0)
    made_here = export(workspace.latest("search"), tmp_path / "vit.tflite", settings=settings)
    assert made_here.card.proof is None
    assert {p.name for p in tmp_path.iterdir()} == {
        "evit",
        "vit.json",
        "vit.labels.txt",
        "vit.tflite",
    }
    result = verify_export(tmp_path / "vit.tflite")
    result.check()
    assert result.files[0].kept is None
    assert result.files[0].test is not None
    shutil.rmtree(tmp_path / "evit")
    with pytest.raises(SettingError, match="has no images to prove it with, and the search"):
        verify_export(tmp_path / "vit.tflite")


def test_the_command_prints_both_and_closes_with_a_line(bundle: Path) -> None:
    done = run("--verify", bundle)
    assert done.exit_code == 0, done.output
    for text in ("kept images", "proven again: model.tflite", "not gone through again: the search"):
        assert text in words(done)
    closing = json.loads(run("--verify", bundle, "--json").stdout)
    assert closing["proven"] is True
    assert closing["files"][0]["kept"]["images"] == 64
    assert run("--verify", bundle, "--format", "onnx").exit_code == 2
    assert "--format: not with --verify" in words(run("--verify", bundle, "--format", "onnx"))
    assert run("--verify", bundle / "nowhere").exit_code == 2


def test_a_bundle_is_proven_on_a_device(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("--verify", bundle, "--check-on-device", "--device", "host", "--json")
    assert done.exit_code == 0, done.output
    (one,) = json.loads(done.stdout)["files"]
    assert one["device_check"]["device"] == "host"
    assert one["device_check"]["max_rel_diff"] == 0
    assert "100 % get the same class as on the exporting computer" in words(done)
    real = HostDevice.compute
    monkeypatch.setattr(HostDevice, "compute", lambda *given: -real(*given))
    wrong = run("--verify", bundle, "--check-on-device")
    assert wrong.exit_code == 2
    assert "model.tflite is wrong on host (LiteRT" in words(wrong)
    assert run("--verify", bundle, "--device", "host").exit_code == 2  # what for is not said
    fake = run("--verify", bundle, "--check-on-device", "--device", "fake")
    assert "hands back no outputs" in words(fake)


def test_the_device_is_looked_for_in_the_workspace_of_the_current_folder(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Workspace | None] = []

    def opened(device: str, workspace: Workspace | None) -> Device:
        seen.append(workspace)
        return open_device("host", workspace)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("elasticvit.flows.export_device_check.open_device", opened)
    done = run("--verify", bundle, "--check-on-device", "--device", "mine")
    assert done.exit_code == 0, done.output
    assert seen == [Workspace.open()]
    assert not Path(".evit").exists()


def test_a_format_that_was_called_otherwise_is_still_proven(bundle: Path) -> None:
    card = bundle / "model.json"
    card.write_text(card.read_text().replace('"format": "tflite"', '"format": "tflite-direct"'))
    proven = verify_export(bundle)
    proven.check()
    assert [one.card.format for one in proven.files] == ["tflite-direct"]


def test_every_file_of_a_bundle_is_proven(workspace: Workspace) -> None:
    result = export(workspace=workspace, format="tflite,onnx", images=4)
    assert [one.card.file for one in result.files] == ["model.tflite", "model.onnx"]
    names = {path.name for path in result.folder.iterdir()}
    assert names == FILES | {"run_model.py", "model.onnx", "model.onnx.json"}
    (first, tflite), (second, onnx) = load_files(result.folder)
    assert load_bundle(result.folder) == (first, tflite)  # who reads model.json sees the first
    assert load_bundle(result.folder / "model.onnx") == (second, onnx)
    assert (tflite.others, onnx.others) == (("model.onnx.json",), ())
    assert tflite.proof == onnx.proof
    assert [one["file"] for one in result.to_dict()["files"]] == ["model.tflite", "model.onnx"]
    proven = verify_export(result.folder)
    proven.check()
    assert [one.card.format for one in proven.files] == ["tflite", "onnx"]
    assert [one.partitions for one in proven.files] == [1, None]
    for word in ("`model.onnx`", "| 1 | - |"):
        assert word in (result.folder / "README.md").read_text()
