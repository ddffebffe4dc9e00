"""Threads and cores as an axis of profiles, predictors, tables and searches, on the computed device
`fake`: latencies of different ones never mix and never replace each other."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from elasticvit.cli.profile import main as profile_command
from elasticvit.cli.search import main as search_command
from elasticvit.cpu_setting import CpuSetting, matching_settings
from elasticvit.errors import NextStep, PredictorError, SettingError, StoreError
from elasticvit.events import Event, Notice
from elasticvit.flows.export_search import Prediction
from elasticvit.flows.export_timing import measurable_device, time_export
from elasticvit.flows.latency import load_latency
from elasticvit.flows.profile import profile
from elasticvit.flows.search import search
from elasticvit.flows.status import status
from elasticvit.flows.tables import export_table, import_table
from elasticvit.flows.train_plan import _cost
from elasticvit.flows.train_settings import TrainSettings
from elasticvit.kernels import lower
from elasticvit.space import TINY
from elasticvit.workspace import Workspace
from export.precise_kernels import kernel_models_in
from lut.exchange import export_table as write_table
from lut.exchange import read_table
from lut.store import Store
from predictors.predictor import load_predictor
from predictors.saved import MANIFEST

PROFILE: dict[str, Any] = {"device": "fake", "space": "tiny", "budget_minutes": 0.02, "rounds": 2}
QUICK: dict[str, Any] = {"proxy": "macs", "population": 12, "generations": 4, "start": ()}
ONE, FOUR = CpuSetting(), CpuSetting(4, "f0")


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the device was profiled on one thread, and then on four."""
    root = tmp_path_factory.mktemp("threads") / "ws"
    profile(**PROFILE, workspace=root)
    found = profile(**PROFILE, threads=4, cores="f0", workspace=root)
    assert any("kept beside it" in note for note in found.devices["fake"].notes)
    return root


@pytest.fixture
def workspace(profiled: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(profiled, tmp_path / "ws")
    return Workspace.open(tmp_path / "ws")


def of_an_earlier_version(workspace: Workspace) -> Path:
    """Make the predictor on four threads that of a version which did not note its threads; returns
    its folder, that of the device."""
    base, place = (workspace.predictor_path("fake", cpu=cpu) for cpu in (ONE, FOUR))
    predictor = replace(load_predictor(place), cpu=None)
    shutil.rmtree(place)
    shutil.rmtree(base)
    predictor.save(base)
    workspace.update({"cpu_settings": None})
    return base


def test_the_setting_that_is_taken_first() -> None:
    known = [CpuSetting(8), FOUR, ONE, None]
    assert matching_settings(known, FOUR)[0] == FOUR
    assert matching_settings(known, None) == [ONE, None, FOUR, CpuSetting(8)]
    assert matching_settings(known, FOUR, threads=8) == [CpuSetting(8)]
    assert matching_settings(known, FOUR, cores="auto") == [ONE, CpuSetting(8)]
    assert matching_settings([None], None, threads=1) == []


def test_a_predictor_of_other_threads_lies_beside_the_first(workspace: Workspace) -> None:
    for cpu in (ONE, FOUR):
        found = load_predictor(workspace.predictor_path("fake", cpu=cpu))
        assert found.cpu == cpu
        latency = load_latency("fake", threads=cpu.threads, workspace=workspace)
        assert latency.cpu == cpu
        assert str(cpu) in latency.source
    assert load_latency("fake", workspace=workspace).cpu == FOUR  # profiled last
    assert load_latency("fake", cores="auto", workspace=workspace).cpu == ONE
    profile(**PROFILE, workspace=workspace)
    assert load_latency("fake", workspace=workspace).cpu == ONE
    with pytest.raises(PredictorError, match=r"with 2 threads on cores big.*4 threads on cores f0"):
        load_latency("fake", threads=2, cores="big", workspace=workspace)
    folder = workspace.predictor_path("fake", cpu=FOUR)
    with pytest.raises(SettingError, match="is of 4 threads on cores f0"):
        load_latency(folder, threads=1, workspace=workspace)


def test_a_search_is_of_the_threads_that_are_named(workspace: Workspace) -> None:
    for named, cpu in ((None, FOUR), (1, ONE)):
        found = search(target_ms=5, device_threads=named, workspace=workspace, **QUICK)
        (cap,) = found.result.caps
        assert cap.cpu == cpu
        (winner,) = found.result.winners
        assert winner.measured
        for one in winner.measured:
            assert (one.threads, one.cores) == (cpu.threads, cpu.cores)
        assert str(cpu) in (found.folder / "report.html").read_text()
    with pytest.raises(PredictorError, match="with 3 threads") as refused:
        search(target_ms=5, device_threads=3, workspace=workspace, **QUICK)
    assert refused.value.next_step == NextStep("profile", {"device": "fake", "threads": 3})


def test_an_export_is_timed_as_it_was_predicted(workspace: Workspace) -> None:
    model = kernel_models_in("fp32")(lower(TINY.smallest, TINY.layout))
    for cpu in (ONE, FOUR, None):
        told = Prediction(predicted_ms=1.0, upper_ms=None, cpu=cpu)
        timing = time_export(workspace, "fake", model, TINY.layout, told)
        threads = (cpu or FOUR).threads
        assert timing.threads == threads


def test_an_export_is_timed_as_predicted_where_nothing_was_profiled(tmp_path: Path) -> None:
    model = kernel_models_in("fp32")(lower(TINY.smallest, TINY.layout))
    told = Prediction(predicted_ms=1.0, upper_ms=None, cpu=FOUR)
    for place in (None, Workspace.open(tmp_path / "empty")):
        timing = time_export(place, "fake", model, TINY.layout, told)
        assert timing.threads == FOUR.threads


def test_complexity_levels_are_of_the_threads_that_are_named(workspace: Workspace) -> None:
    told: list[Event] = []
    settings = TrainSettings(data="digits", complexity="ms", device_threads=1)
    _cost(workspace, TINY, settings, told.append)
    (notice,) = told
    assert isinstance(notice, Notice)
    assert "latencies of fake: fake:fake, 1 thread on cores auto" in notice.text
    with pytest.raises(
        SettingError, match="device_threads is 2, but complexity levels are in macs"
    ):
        TrainSettings(data="digits", device_threads=2)


def test_a_table_is_exported_with_one_setting(workspace: Workspace, tmp_path: Path) -> None:
    for named, cpu in ((None, FOUR), (1, ONE)):
        path = tmp_path / f"{named}.csv"
        found = export_table(path, threads=named, workspace=workspace)
        assert found.series.cpu == cpu
        assert [one.cpu for one in found.others] == [FOUR if cpu == ONE else ONE]
        header = json.loads(path.read_text().splitlines()[0].removeprefix("# "))
        assert (header["threads"], header["cores"]) == (cpu.threads, cpu.cores)
        rows = read_table(path).rows
        assert {(m.threads, cores) for m, cores in rows} == {(cpu.threads, cpu.cores)}
        assert len(rows) == found.count
    with pytest.raises(StoreError, match="with 2 threads: it was measured with"):
        export_table(tmp_path / "two.csv", threads=2, workspace=workspace)
    other = Workspace.open(tmp_path / "other")
    for name, cpu in (("1", ONE), ("None", FOUR)):
        imported = import_table(tmp_path / f"{name}.csv", space="tiny", workspace=other)
        assert imported.series.cpu == cpu
        assert not imported.remarks
        assert load_latency(workspace=other).cpu == cpu
    assert load_latency(threads=1, workspace=other).cpu == ONE


def test_a_table_of_several_settings_is_fitted_to_one(workspace: Workspace, tmp_path: Path) -> None:
    """Earlier versions exported all series of a device into one file."""
    parts = []
    with Store(workspace.lut_path, read_only=True) as store:
        for series in store.series("fake"):
            write_table(store, "fake", tmp_path / "part.csv", series=series, force=True)
            parts.append(read_table(tmp_path / "part.csv"))
    both = replace(parts[0], rows=parts[0].rows + parts[1].rows)
    other = Workspace.open(tmp_path / "other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lut.exchange.read_table", lambda path: both)
        found = import_table(tmp_path / "part.csv", space="tiny", workspace=other)
    assert found.series.cpu == ONE
    assert any("4 threads on cores f0" in remark for remark in found.remarks)


def test_the_commands_say_threads_and_cores(workspace: Workspace, tmp_path: Path) -> None:
    runner, place = CliRunner(env={"COLUMNS": "200"}), ["--workspace", str(workspace.root)]
    for named, cpu in (([], FOUR), (["--threads", "1"], ONE)):
        told = runner.invoke(profile_command, [*place, "--explain", "smallest", *named])
        assert f"predicted latency of smallest on fake (fake:fake, {cpu})" in told.output
        told = runner.invoke(profile_command, [*place, "--explain", "smallest", *named, "--json"])
        assert json.loads(told.stdout)["threads"] == cpu.threads
    told = runner.invoke(profile_command, [*place, "--explain", "smallest", "--threads", "2"])
    assert told.exit_code == 2
    assert "run: evit-profile --device fake --threads 2" in told.stderr
    told = runner.invoke(profile_command, [*place, "--import", "t.csv", "--threads", "2"])
    assert told.exit_code == 2
    sizes = ["--population", "12", "--generations", "4", "--proxy", "macs", "--verify", "0"]
    told = runner.invoke(search_command, [*place, *sizes, "--target-ms", "5"])
    assert f"numbers of fake: fake:fake, {FOUR}" in told.output
    told = runner.invoke(profile_command, [*place, "--export-lut", str(tmp_path / "t.csv")])
    assert (
        f"left out, name --threads and --cores to export it: fake:fake, fake, {ONE}" in told.output
    )


def test_the_status_shows_each_setting(workspace: Workspace) -> None:
    devices = status(workspace).devices
    shown = [(d.threads, d.cores, d.predictor, d.latest) for d in devices]
    assert shown == [(1, "auto", True, False), (4, "f0", True, True)]


def test_a_predictor_of_an_earlier_version_has_the_threads_of_its_table(
    workspace: Workspace,
) -> None:
    base = of_an_earlier_version(workspace)
    assert load_latency("fake", workspace=workspace).cpu == FOUR
    assert load_latency("fake", threads=4, workspace=workspace).cpu == FOUR
    with pytest.raises(PredictorError, match="profiled with 4 threads on cores f0"):
        load_latency("fake", threads=1, workspace=workspace)
    before = load_latency("fake", workspace=workspace).predict("smallest")
    profile(**PROFILE, workspace=workspace)
    assert load_predictor(base).cpu == ONE
    kept = load_latency("fake", threads=4, workspace=workspace)
    assert kept.predictor.cpu == FOUR
    assert kept.predict("smallest") == before


def test_a_predictor_in_the_folder_of_other_threads_is_refused(workspace: Workspace) -> None:
    place = workspace.predictor_path("fake", cpu=FOUR)
    shutil.copytree(place, place.with_name("2-threads-f0"))
    with pytest.raises(PredictorError, match="must be of 2 threads on cores f0"):
        load_latency("fake", threads=2, workspace=workspace)


def test_a_folder_that_must_not_be_looked_into_is_left_to_what_reads_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may look into every folder, so that this stands for one without permissions."""
    base, stat = workspace.predictor_path("fake"), Path.stat

    def denied(path: Path, **how: Any) -> os.stat_result:
        if base in path.parents and path.name == MANIFEST:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", denied)
    with pytest.raises(PredictorError, match="cannot be read: Permission denied"):
        load_latency("fake", workspace=workspace)


def test_a_device_that_was_only_imported_is_not_what_is_timed_by_default(
    workspace: Workspace, tmp_path: Path
) -> None:
    other = Workspace.open(tmp_path / "other")
    assert measurable_device(other) == "host"
    table = export_table(tmp_path / "phone.csv", "fake", workspace=workspace).path
    import_table(table, workspace=other)
    with closing(sqlite3.connect(other.lut_path)) as table_file, table_file:  # as of a phone
        table_file.execute("UPDATE series SET source = 'import:phone.csv of adb:1A2B'")
    assert other.device() == "fake"
    assert measurable_device(other) == "host"
    assert measurable_device(workspace) == "fake"
