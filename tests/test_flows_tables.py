"""Tables as files, as a library: whose they are, what they may replace, what they leave behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import elasticvit as ev
from elasticvit.cost import reachable_kernels
from elasticvit.errors import FileError, PredictorError, SettingError, StoreError
from elasticvit.flows.tables import export_table, import_table, latency_table
from elasticvit.workspace import Workspace
from lut.store import Store

SHARED = Path(__file__).parents[2] / "shared" / "data" / "block_luts"
needs_tables = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the block tables are not part of this project ({SHARED} absent)"
)
QUICK = {"device": "fake", "space": "tiny", "budget_minutes": 0.1, "rounds": 2}


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A workspace with a profile of the fake device, and its table as a file."""
    folder = tmp_path_factory.mktemp("tables")
    ev.profile(workspace=folder / "ws", **QUICK)
    assert export_table(folder / "fake.csv", workspace=folder / "ws").count > 50
    return folder / "ws", folder / "fake.csv"


def test_a_shared_table_names_its_device(profiled: tuple[Path, Path], tmp_path: Path) -> None:
    _, file = profiled
    result = import_table(file, space="tiny", workspace=tmp_path / "ws")
    assert result.device == "fake"
    assert result.errors["subnets"]["count"] > 0
    settings = Workspace.open(tmp_path / "ws").settings()
    assert (settings.device, settings.space) == ("fake", "tiny")
    again = import_table(file, space="tiny", workspace=tmp_path / "ws", force=True)
    assert again.added == 0


def test_another_name_has_to_be_forced(profiled: tuple[Path, Path], tmp_path: Path) -> None:
    _, file = profiled
    with pytest.raises(SettingError, match="measured on 'fake', not on 'mine'") as caught:
        import_table(file, "mine", space="tiny", workspace=tmp_path / "ws")
    assert caught.value.settings == ("device", "force")
    assert not (tmp_path / "ws").exists()
    forced = import_table(file, "mine", space="tiny", workspace=tmp_path / "ws", force=True)
    assert forced.device == "mine"


def test_a_measured_predictor_is_never_replaced_silently(profiled: tuple[Path, Path]) -> None:
    workspace, file = profiled
    before = (workspace / "predictors" / "fake" / "predictor.json").read_bytes()
    with pytest.raises(SettingError, match="comes from measurements"):
        import_table(file, workspace=workspace)
    assert (workspace / "predictors" / "fake" / "predictor.json").read_bytes() == before


def test_an_export_replaces_nothing_unasked(profiled: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, _ = profiled
    mine = tmp_path / "mine.csv"
    mine.write_text("years of work\n")
    with pytest.raises(StoreError, match=r"mine\.csv is there already") as caught:
        export_table(mine, workspace=workspace)
    assert caught.value.settings == ("force",)
    assert mine.read_text() == "years of work\n"
    with pytest.raises(StoreError, match=r"there is no folder .*nowhere"):
        export_table(tmp_path / "nowhere" / "t.csv", workspace=workspace)
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(StoreError, match=r"folder\.parquet is there already") as caught:
        export_table(tmp_path / "folder.parquet", workspace=workspace, force=True)
    assert caught.value.settings == ()
    with pytest.raises(FileError, match="shorter name"):
        export_table(tmp_path / f"{'t' * 300}.csv", workspace=workspace)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.parquet", "mine.csv"]
    assert export_table(mine, workspace=workspace, force=True).count > 50


def test_a_read_only_workspace_is_exported(profiled: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, file = profiled
    before = {path: path.stat().st_mtime_ns for path in workspace.rglob("*")}
    export_table(tmp_path / "again.csv", workspace=workspace)
    assert (tmp_path / "again.csv").read_bytes() == file.read_bytes()
    assert {path: path.stat().st_mtime_ns for path in workspace.rglob("*")} == before


def test_a_table_that_fits_no_predictor_leaves_nothing_of_it(
    profiled: tuple[Path, Path], tmp_path: Path
) -> None:
    workspace, file = profiled
    header, names, *rows = file.read_text().splitlines(keepends=True)
    facts = {**json.loads(header.removeprefix("# ")), "rows": 1, "device": "guest"}
    del facts["sha256"]
    small = tmp_path / "small.csv"
    small.write_text(f"# {json.dumps(facts)}\n{names}{rows[0]}")
    with pytest.raises(PredictorError):
        import_table(small, workspace=workspace)
    with Store(workspace / "lut.sqlite") as store:
        assert store.devices() == ["fake"]
        assert store.noted("guest", "split_seed") == []
    with pytest.raises(PredictorError):
        import_table(small, workspace=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_block_table_of_few_kernels_says_what_it_lacks(tmp_path: Path) -> None:
    table = tmp_path / "few.json"
    table.write_text('{"transffn_4_32_2_hard_swish_ln": 1.0}')
    result = import_table(table, "guest", space="tiny", workspace=tmp_path / "ws")
    assert result.to_dict()["architectures"] == []
    assert len(result.missing) > 10
    with pytest.raises(PredictorError):
        ev.load_latency("guest", space="tiny", workspace=tmp_path / "ws").predict("smallest")
    table.write_text('{"transds_16_16_48_2_4": 1.0}')
    with pytest.raises(StoreError, match=r"few\.json has no row that an architecture"):
        import_table(table, "other", space="tiny", workspace=tmp_path / "ws")


def test_what_is_named_is_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"device is '\.\./x'; it must be"):
        import_table(tmp_path / "none.csv", "../x", workspace=tmp_path / "ws")
    with pytest.raises(StoreError, match=r"ends in '\.xls'; a latency table ends in \.csv, "):
        import_table(tmp_path / "none.xls", "mine", workspace=tmp_path / "ws")
    assert not (tmp_path / "ws").exists()


@needs_tables
def test_a_block_table_has_to_be_told_its_device(tmp_path: Path) -> None:
    table = SHARED / "pixel6_lut_ln_v3.json"
    with pytest.raises(SettingError, match="does not say which device") as caught:
        import_table(table, workspace=tmp_path / "ws")
    assert caught.value.settings == ("device",)
    assert not (tmp_path / "ws").exists()
    result = import_table(table, "pixel6", workspace=tmp_path / "ws")
    rows = {row["architecture"]: row for row in result.to_dict()["architectures"]}
    assert rows["elastic_S1"]["ms"] == pytest.approx(13.576928, rel=1e-6)
    assert len(rows) == 9
    assert json.dumps(result.to_dict())


def test_nothing_is_left_behind_by_what_fails(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no .*none\.csv"):
        import_table(tmp_path / "none.csv", workspace=tmp_path / "ws")
    with pytest.raises(StoreError, match="no measurements of 'host'") as caught:
        export_table(tmp_path / "out.csv", workspace=tmp_path / "ws")
    assert caught.value.next_step is not None
    with pytest.raises(ev.EvitError, match="no profiled device"):
        ev.load_latency(workspace=tmp_path / "ws")
    with pytest.raises(ev.EvitError):
        ev.profile(device="pixel6", address="unix:/nowhere", workspace=tmp_path / "ws")
    assert not (tmp_path / "ws").exists()


def test_a_table_alone_predicts(profiled: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, file = profiled
    there = ev.load_latency(workspace=workspace)
    alone = ev.load_latency(file)  # it knows its space
    assert alone.space.name == "tiny"
    assert ev.load_latency(Workspace(workspace).predictor_path("fake")).space.name == "tiny"
    assert alone.device == there.device == "fake"
    for what in ("smallest", "largest", str(there.space.smallest)):
        assert alone.predict(what).median_ms == pytest.approx(there.predict(what).median_ms)


@needs_tables
def test_a_block_table_alone_predicts(tmp_path: Path) -> None:
    phone = ev.load_latency(SHARED / "pixel6_lut_ln_v3.json")
    prediction = phone.predict("elastic_S1")
    assert prediction.median_ms == pytest.approx(13.576928, rel=1e-6)
    assert prediction.upper_ms is None
    assert "conditions unrecorded" in prediction.source
    assert set(phone.space.names)
    assert len(reachable_kernels(phone.space)) > 1000


def test_a_new_workspace_takes_the_space_that_a_table_was_made_for(
    profiled: tuple[Path, Path], tmp_path: Path
) -> None:
    _, file = profiled
    result = import_table(file, workspace=tmp_path / "ws")
    assert result.space == "tiny"
    assert not any("are not of space" in remark for remark in result.remarks)
    assert Workspace.open(tmp_path / "ws").settings().space == "tiny"


def test_whole_subnets_of_another_space_are_told(
    profiled: tuple[Path, Path], tmp_path: Path
) -> None:
    _, file = profiled
    result = import_table(file, space="mobile", workspace=tmp_path / "ws")
    assert result.space == "mobile"
    (told,) = [remark for remark in result.remarks if "are not of space mobile" in remark]
    assert "name the space that the table was made for" in told


def test_a_new_table_that_another_process_has_open_is_not_removed(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "ws")
    with latency_table(workspace):
        assert workspace.lut_path.exists()
    assert not workspace.lut_path.exists()
    with latency_table(workspace):
        other = Store(workspace.lut_path)
    with other:
        assert workspace.lut_path.exists()
    with latency_table(workspace):
        reader = Store(workspace.lut_path, read_only=True)
    with reader:
        assert workspace.lut_path.exists()
