"""Tables as files, as a library: whose they are, what they may replace, what they leave behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import elasticvit as ev
from elasticvit.cost import reachable_kernels
from elasticvit.errors import SettingError, StoreError
from elasticvit.flows.tables import export_table, import_table
from elasticvit.workspace import Workspace

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
    assert export_table(folder / "fake.csv", workspace=folder / "ws") > 50
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
    alone = ev.load_latency(file, space="tiny")
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
