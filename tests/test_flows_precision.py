"""Precision as an axis of profiles, predictors and searches, on the computed device `fake`, whose
latencies follow from the bytes of the models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import elasticvit as ev
from devices.fake import latency_of_bytes_us
from devices.protocol import TimedModel
from elasticvit.cli.profile import main as profile_command
from elasticvit.cli.search import main as search_command
from elasticvit.errors import CheckpointError, NextStep, PredictorError, SettingError
from elasticvit.events import Event, Notice
from elasticvit.flows.export_settings import ExportSettings
from elasticvit.flows.export_supernet import supernet_subject
from elasticvit.flows.latency import load_latency
from elasticvit.flows.learn import learn_device
from elasticvit.flows.profile import profile
from elasticvit.flows.profile_host import arithmetic_warning
from elasticvit.flows.search import search
from elasticvit.flows.status import status
from elasticvit.flows.tables import export_table, import_table
from elasticvit.kernels import Kernel, lower
from elasticvit.searching.result import SearchResult
from elasticvit.space import TINY
from elasticvit.workspace import Workspace
from export.precise_kernels import kernel_models_in
from lut.dataset import Dataset
from lut.store import Store

PROFILE: dict[str, Any] = {"device": "fake", "space": "tiny", "budget_minutes": 0.02, "rounds": 2}
QUICK: dict[str, Any] = {"proxy": "macs", "population": 12, "generations": 4, "start": ()}


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the device was profiled in fp32, and then in int8."""
    root = tmp_path_factory.mktemp("precisions") / "ws"
    for precision in ("fp32", "int8"):
        profile(**PROFILE, precision=precision, workspace=root)
    return root


@pytest.fixture
def workspace(profiled: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(profiled, tmp_path / "ws")
    return Workspace.open(tmp_path / "ws")


def typical_ms(workspace: Workspace, precision: str) -> float:
    latency = load_latency("fake", precision=precision, workspace=workspace)
    drawn = latency.space.sample(200, np.random.default_rng(0))
    return float(np.median(latency.cost.price(drawn)))


def computed_ms(kernels: tuple[Kernel, ...], precision: str) -> float:
    return latency_of_bytes_us(TimedModel("", kernel_models_in(precision)(kernels))) / 1e3


def test_a_table_has_the_latencies_of_each_precision(profiled: Path) -> None:
    with Store(Workspace.open(profiled).lut_path, read_only=True) as store:
        for precision in ("fp32", "int8"):
            data = Dataset.of(store, "fake", TINY, precision=precision)
            kernels = list(data.fit_kernels.items())[:20]
            for kernel, ms in kernels:
                assert ms == pytest.approx(computed_ms((kernel,), precision), rel=1e-6)
            arch, ms = next(iter(data.fit_subnets.items()))
            exact = computed_ms(lower(arch, TINY.layout), precision)
            assert ms == pytest.approx(exact, rel=1e-6)


def test_a_search_takes_the_predictor_of_its_precision(workspace: Workspace) -> None:
    found = {}
    for named in ("fp32", "int8", None):
        precision = named or "int8"  # the one that was profiled last
        target = typical_ms(workspace, precision)
        folder = search(target_ms=target, precision=named, workspace=workspace, **QUICK).folder
        result = SearchResult.load(folder)
        assert result.precision == precision
        (cap,) = result.caps
        assert cap.precision == precision
        latency = load_latency("fake", precision=precision, workspace=workspace)
        assert cap.predicted == pytest.approx(float(latency.predict(result.arch).median_ms), 0.05)
        (winner,) = result.winners
        assert winner.measured
        for one in winner.measured:  # as whole subnets in this precision
            assert one.precision == precision
            exact = computed_ms(lower(one.arch, TINY.layout), precision)
            assert one.measured_ms == pytest.approx(exact, rel=1e-6)
        page = (folder / "report.html").read_text()
        assert ("in int8" in page) == (precision == "int8")
        found[named] = result.arch
    assert found[None] == found["int8"]
    with Store(workspace.lut_path, read_only=True) as store:
        assert {s.precision for s in store.series("fake")} == {"fp32", "int8"}


def test_a_precision_that_was_not_profiled_is_refused(workspace: Workspace) -> None:
    with pytest.raises(PredictorError, match="profiled in fp32, int8") as refused:
        search(target_ms=5, precision="fp16", workspace=workspace, **QUICK)
    step = NextStep("profile", {"device": "fake", "precision": "fp16"})
    assert refused.value.next_step == step
    options = ["--target-ms", "5", "--precision", "fp16", "--proxy", "macs"]
    told = CliRunner().invoke(search_command, [*options, "--workspace", str(workspace.root)])
    assert told.exit_code == 2
    assert "evit-profile --device fake --precision fp16" in told.stderr
    with pytest.raises(SettingError, match="precision is 'int4'"):
        search(target_ms=5, precision="int4", workspace=workspace, **QUICK)
    with pytest.raises(SettingError, match="precision is 'int4'"):
        profile(**PROFILE, precision="int4", workspace=workspace)


def test_devices_of_different_precisions_need_a_name(workspace: Workspace) -> None:
    shutil.copytree(workspace.predictor_path("fake"), workspace.predictors_path / "other")
    targets = {"fake": 5.0, "other": 5.0}
    with pytest.raises(SettingError, match="fake in int8, other in fp32"):
        search(target=targets, workspace=workspace, **QUICK)
    given = {"fake": workspace.predictor_path("fake", "fp32")}
    with pytest.raises(PredictorError, match="is of fp32, and the search is for int8"):
        search(target_ms=5, predictor=given, precision="int8", workspace=workspace, **QUICK)
    found = search(
        target={"fake": typical_ms(workspace, "fp32"), "other": 1e3},
        precision="fp32",
        verify=0,
        workspace=workspace,
        **QUICK,
    )
    assert {cap.precision for cap in found.result.caps} == {"fp32"}


def test_a_predictor_in_the_folder_of_another_precision_is_refused(workspace: Workspace) -> None:
    shutil.copytree(
        workspace.predictor_path("fake", "int8"), workspace.predictor_path("fake", "fp16")
    )
    with pytest.raises(PredictorError, match="is of int8; it must be of fp16"):
        load_latency("fake", precision="fp16", workspace=workspace)


def test_the_command_says_the_precision_wherever_it_shows_latencies(workspace: Workspace) -> None:
    target = f"{typical_ms(workspace, 'int8'):.4g}"
    runner, place = CliRunner(env={"COLUMNS": "200"}), ["--workspace", str(workspace.root)]
    sizes = ["--population", "12", "--generations", "4", "--proxy", "macs", "--verify", "1"]
    told = runner.invoke(search_command, [*place, *sizes, "--target-ms", target])
    assert told.exit_code == 0, told.output
    for words in ("latency on fake in int8", "timed on fake in int8", "on fake in int8: predicted"):
        assert words in told.output
    told = runner.invoke(profile_command, [*place, "--explain", "smallest"])
    assert "fake:fake, 1 thread on cores auto in int8" in " ".join(told.output.split())
    devices = status(workspace).devices
    assert [(d.name, d.precision, d.latest) for d in devices] == [
        ("fake", "fp32", False),
        ("fake", "int8", True),
    ]


def test_a_table_goes_out_and_in_with_its_precision(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    export_table(path, workspace=workspace)
    other = Workspace.open(tmp_path / "other")
    with pytest.raises(SettingError, match="measured in int8, not in fp16"):
        import_table(path, space="tiny", precision="fp16", workspace=other)
    found = import_table(path, space="tiny", workspace=other)
    assert found.series.precision == "int8"
    assert other.precision("fake") == "int8"
    assert load_latency("fake", workspace=other).precision == "int8"
    assert load_latency(str(path), space="tiny").precision == "int8"
    with pytest.raises(PredictorError, match="it was profiled in int8"):
        load_latency("fake", precision="fp32", workspace=other)


def test_a_device_is_learnt_from_predictors_of_its_precision(workspace: Workspace) -> None:
    shutil.copytree(workspace.predictor_path("fake"), workspace.predictors_path / "known")
    shutil.rmtree(workspace.predictors_path / "known" / "int8")
    with pytest.raises(PredictorError, match="no predictor of device 'known' in int8"):
        learn_device(
            **{**PROFILE, "precision": "int8"}, like="known", budget_kernels=20, workspace=workspace
        )


def test_an_export_is_predicted_in_its_own_precision(workspace: Workspace) -> None:
    for named in (None, "fp16"):
        settings = ExportSettings(supernet="tiny-cifar10", arch="smallest", precision=named)
        subject = supernet_subject(settings, workspace)
        assert subject.precision == (named or "fp32")
        if named == "fp16":  # which was not profiled
            assert not subject.predictions
            continue
        latency = load_latency("fake", precision=subject.precision, workspace=workspace)
        exact = latency.predict("smallest").median_ms
        assert subject.predictions["fake"].predicted_ms == pytest.approx(exact)


def test_a_workspace_of_an_earlier_version_is_of_fp32(workspace: Workspace) -> None:
    shutil.rmtree(workspace.predictor_path("fake", "int8"))
    workspace.update({"precisions": None})
    manifest = workspace.predictor_path("fake") / "predictor.json"
    document = json.loads(manifest.read_text())
    del document["precision"], document["sha256"]
    manifest.write_text(json.dumps(document))
    assert ev.load_latency(workspace=workspace).precision == "fp32"
    found = search(target_ms=typical_ms(workspace, "fp32"), verify=0, workspace=workspace, **QUICK)
    document = json.loads((found.folder / "search.json").read_text())
    assert document.pop("precision") == "fp32"
    for cap in document["caps"]:
        del cap["precision"]
    path = found.folder / "search.json"
    path.write_text(json.dumps(document))
    assert SearchResult.load(found.folder) == found.result
    path.write_text(json.dumps({**document, "precision": "int8"}))
    with pytest.raises(CheckpointError, match=r"precision is int8, but that of a cap .* is fp32"):
        SearchResult.load(found.folder)


@pytest.mark.parametrize("computes", [True, False])
def test_fp16_that_is_computed_in_fp32_is_told(
    monkeypatch: pytest.MonkeyPatch, computes: bool
) -> None:
    monkeypatch.setattr("devices.host.facts.computes_in_fp16", lambda: computes)
    assert (arithmetic_warning("fp16", ["fake", "host"]) is None) == computes
    assert arithmetic_warning("fp16", ["fake"]) is None
    assert arithmetic_warning("int8", ["host"]) is None


def test_the_profile_warns_of_fp16_on_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devices.host.facts.computes_in_fp16", lambda: False)
    told: list[Event] = []

    def stop_after_warning(event: Event) -> None:
        told.append(event)
        if isinstance(event, Notice):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        profile(
            device="host",
            space="tiny",
            precision="fp16",
            workspace=tmp_path / "ws",
            events=stop_after_warning,
        )
    (notice,) = (event for event in told if isinstance(event, Notice))
    assert notice.warning
    assert "computes models in fp16 in fp32" in notice.text
