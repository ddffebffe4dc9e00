"""The predictor on disk, and latency as a cost."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from test_predictors_kernels import true_ms
from test_predictors_network import inside_ms

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost, reachable_kernels
from elasticvit.errors import NextStep, PredictorError
from elasticvit.kernels import KINDS, lower
from elasticvit.published import PUBLISHED
from elasticvit.reading import seal
from elasticvit.space import MOBILE, TINY, SearchSpace
from elasticvit.testing.cost import CostContract
from elasticvit.workspace import Workspace
from lut.held_out import HeldOutSplit
from lut.sample import kernel_sequences, other_heads
from predictors.extrapolation import ExtrapolationWarning
from predictors.fit import fit_predictor, table_predictor
from predictors.predictor import LatencyCost, Predictor, load_predictor
from predictors.saved import MANIFEST
from predictors.workspace_predictors import load_device_predictor

TABLES = Path(__file__).parents[2] / "shared" / "data" / "block_luts"
SUMS = json.loads((Path(__file__).parent / "reference" / "block_lut_sums_ms.json").read_text())
EVEN = (128, 192, 256)  # resolutions at which no map's side is odd


def fitted(space: SearchSpace, n_subnets: int = 24) -> Predictor:
    sequence, _ = kernel_sequences(space, HeldOutSplit(seed=0))
    few = {k: true_ms(k) for k in sequence[:200]}
    archs = list(space.sample(n_subnets, np.random.default_rng(0)))
    subnets = {a: inside_ms(lower(a, space.layout)) for a in archs}
    return fit_predictor(few, subnets, space, device="made-up", source="fake:test")


@pytest.fixture(scope="module")
def tiny_predictor() -> Predictor:
    return fitted(TINY)


@pytest.fixture(scope="module")
def tiny_table() -> Predictor:
    rows = {k: true_ms(k) for k in reachable_kernels(TINY)}
    return table_predictor(rows, device="table", source="import:made-up.json")


class TestMacsCost(CostContract):
    @pytest.fixture(params=[MOBILE, TINY], ids=lambda s: s.name)
    def space(self, request) -> SearchSpace:
        return request.param

    @pytest.fixture
    def cost(self, space: SearchSpace) -> MacsCost:
        return MacsCost(space)


class TestLatencyCost(CostContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return TINY

    @pytest.fixture
    def cost(self, space: SearchSpace, tiny_predictor: Predictor) -> LatencyCost:
        return tiny_predictor.cost(space)


class TestTableCost(CostContract):
    @pytest.fixture
    def space(self) -> SearchSpace:
        return TINY

    @pytest.fixture
    def cost(self, space: SearchSpace, tiny_table: Predictor) -> LatencyCost:
        return tiny_table.cost(space)


def test_a_price_is_the_sum_over_lowered_kernels(tiny_predictor: Predictor) -> None:
    batch = TINY.sample(50, np.random.default_rng(1))
    prices = tiny_predictor.cost(TINY).price(batch)
    sums = [tiny_predictor.predict_ms(lower(a, TINY.layout)) for a in batch]
    np.testing.assert_allclose(prices, sums, rtol=1e-9)


def test_a_subnet_is_explained_kernel_by_kernel(tiny_predictor: Predictor) -> None:
    arch = TINY.largest
    rows = tiny_predictor.explain(arch, TINY)
    kernels = lower(arch, TINY.layout)
    assert [row.kernel for row in rows] == [*(k.key for k in kernels), ""]
    assert (rows[0].place, rows[-2].place, rows[-1].place) == (
        "first.0.block",
        "head.0.block",
        "subnet",
    )
    assert sum(row.ms for row in rows) == pytest.approx(tiny_predictor.predict_ms(kernels))
    with pytest.raises(PredictorError, match="does not cover"):
        tiny_predictor.explain(MOBILE.largest, MOBILE)


def test_subnets_are_priced_unchecked_when_asked(tiny_predictor: Predictor) -> None:
    inside, outside = lower(TINY.smallest, TINY.layout), lower(MOBILE.largest, MOBILE.layout)
    assert tiny_predictor.subnet_ms(inside) == tiny_predictor.predict_ms(inside)
    assert tiny_predictor.subnet_ms(outside) > 0
    with pytest.raises(PredictorError, match="does not cover"):
        tiny_predictor.predict_ms(outside)


def test_one_profile_prices_any_usual_number_of_classes() -> None:
    """From the kernels of a profile's first level alone."""
    first = [*kernel_sequences(TINY, HeldOutSplit(seed=0))[0][:48], *other_heads(TINY)]
    archs = list(TINY.sample(24, np.random.default_rng(0)))
    subnets = {a: inside_ms(lower(a, TINY.layout)) for a in archs}
    predictor = fit_predictor(
        {k: true_ms(k) for k in first}, subnets, TINY, device="made-up", source="fake:test"
    )
    for classes in (2, 3, 10, 77, 100, 1000, 1500):
        space = TINY.with_classes(classes)
        batch = space.sample(60, np.random.default_rng(1))
        truth = np.array([inside_ms(lower(a, space.layout)) for a in batch])
        error = predictor.cost(space).price(batch) / truth - 1
        assert np.sqrt((error**2).mean()) < 0.05, classes
    with pytest.raises(PredictorError, match="classes=2000"):
        predictor.cost(TINY.with_classes(2000))


def test_prices_are_right_and_bounds_above_them(tiny_predictor: Predictor) -> None:
    cost = tiny_predictor.cost(TINY)
    batch = TINY.sample(100, np.random.default_rng(2))
    truth = np.array([inside_ms(lower(a, TINY.layout)) for a in batch])
    assert np.mean(np.abs(cost.price(batch) / truth - 1) < 0.05) > 0.97
    assert (cost.upper(batch) > cost.price(batch)).all()
    assert (cost.upper(batch) < 1.2 * cost.price(batch)).all()
    assert tiny_predictor.report.subnets_sum_of_kernels.bias_pct < -15
    assert abs(tiny_predictor.report.subnets_held_out.bias_pct) < 1


def test_subnets_alone_are_enough() -> None:
    archs = list(TINY.sample(150, np.random.default_rng(4)))
    subnets = {a: inside_ms(lower(a, TINY.layout)) for a in archs}
    predictor = fit_predictor({}, subnets, TINY, device="d", source="fake:test")
    new = TINY.sample(100, np.random.default_rng(5))
    truth = np.array([inside_ms(lower(a, TINY.layout)) for a in new])
    assert np.mean(np.abs(predictor.cost(TINY).price(new) / truth - 1) < 0.05) > 0.95


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(PredictorError, match=r"nothing was measured on phone"):
        fit_predictor({}, {}, TINY, device="phone", source="x")


@pytest.mark.parametrize("value", [0.0, -3.0, float("nan"), float("inf")])
def test_impossible_latencies_are_refused(value: float) -> None:
    with pytest.raises(PredictorError, match=r"must be positive"):
        fit_predictor({}, {TINY.smallest: value}, TINY, device="d", source="x")


@pytest.mark.parametrize("source", ["emulated:arm64", "adb-emulated:emulator-5554"])
def test_emulated_measurements_are_refused(source: str) -> None:
    rows = {k: true_ms(k) for k in reachable_kernels(TINY)[:9]}
    with pytest.raises(PredictorError, match=r"come from an emulator"):
        table_predictor(rows, device="d", source=source)
    with pytest.raises(PredictorError, match=r"come from an emulator"):
        fit_predictor(rows, {}, TINY, device="d", source=source)


@pytest.mark.parametrize("name", ["tiny_predictor", "tiny_table"])
def test_saved_and_loaded_predictors_are_equal(name: str, request, tmp_path: Path) -> None:
    predictor = request.getfixturevalue(name)
    predictor.save(tmp_path)
    again = load_predictor(tmp_path)
    batch = TINY.sample(100, np.random.default_rng(3))
    np.testing.assert_array_equal(again.cost(TINY).price(batch), predictor.cost(TINY).price(batch))
    np.testing.assert_array_equal(again.cost(TINY).upper(batch), predictor.cost(TINY).upper(batch))
    assert (again.device, again.source) == (predictor.device, predictor.source)
    assert again.report == predictor.report
    again.save(tmp_path)  # over itself: nothing left behind
    assert len(list(tmp_path.iterdir())) == 2


def test_predictors_are_saved_under_the_names_of_the_first_version(
    tiny_predictor: Predictor, tiny_table: Predictor, tmp_path: Path
) -> None:
    """So that they are read by all versions of this schema, whatever the classes are called."""
    tiny_predictor.save(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert manifest["schema"] == 1
    assert manifest["kernels"]["type"] == "regressors"
    assert set(manifest["network"]) == {
        *("overall", "call_ms", "weight_ms", "subnet_ms", "by_kind", "parts")
    }
    assert manifest["network"]["subnet_ms"] == tiny_predictor.network.constant_ms
    with np.load(tmp_path / manifest["arrays"]["file"]) as arrays:
        assert {name.split("/")[0] for name in arrays.files} == {*KINDS, "network"}
    tiny_table.save(tmp_path)
    assert json.loads((tmp_path / MANIFEST).read_text())["kernels"]["type"] == "table"


def test_a_predictor_of_a_newer_version_is_refused(tiny_table: Predictor, tmp_path: Path) -> None:
    tiny_table.save(tmp_path)
    path = tmp_path / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    with pytest.raises(PredictorError, match=r"schema 99.*update elasticvit"):
        load_predictor(tmp_path)


class _Bomb:
    exploded = False

    def __reduce__(self):
        return (setattr, (_Bomb, "exploded", True))


def test_pickles_are_never_loaded(tiny_table: Predictor, tmp_path: Path) -> None:
    """Neither as the manifest nor as an array of objects whose checksum is right."""
    import hashlib
    import io

    tiny_table.save(tmp_path)
    buffer = io.BytesIO()
    np.savez(buffer, **{"table/key": np.array([_Bomb()]), "table/ms": np.ones(1)})
    (tmp_path / "evil.npz").write_bytes(buffer.getvalue())
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    manifest["arrays"] = {"file": "evil.npz", "sha256": digest}
    (tmp_path / MANIFEST).write_text(json.dumps(seal(manifest)))
    with pytest.raises(PredictorError, match=r"evil.npz is damaged"):
        load_predictor(tmp_path)
    (tmp_path / MANIFEST).write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(PredictorError, match=r"is not a predictor"):
        load_predictor(tmp_path)
    assert not _Bomb.exploded


@pytest.mark.parametrize("what", ["half arrays", "no arrays", "half manifest", "not an object"])
def test_corrupt_predictors_are_refused(what: str, tiny_table: Predictor, tmp_path: Path) -> None:
    tiny_table.save(tmp_path)
    (arrays,) = tmp_path.glob("*.npz")
    manifest = tmp_path / MANIFEST
    if what == "half arrays":
        arrays.write_bytes(arrays.read_bytes()[: arrays.stat().st_size // 2])
    elif what == "no arrays":
        arrays.unlink()
    elif what == "half manifest":
        manifest.write_text(manifest.read_text()[:100])
    else:
        manifest.write_text("[]")
    with pytest.raises(PredictorError, match=r"profile the device again") as caught:
        load_predictor(tmp_path)
    assert caught.value.next_step == NextStep("profile")


def test_a_missing_predictor_names_those_there_are(tiny_table: Predictor, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(PredictorError, match=r"profile the device first") as caught:
        load_device_predictor(workspace, "pixel6")
    assert caught.value.next_step == NextStep("profile", {"device": "pixel6"})
    assert caught.value.settings == ("device",)
    tiny_table.save(workspace.predictor_path("pixel4"))
    with pytest.raises(PredictorError, match=r"there is one for pixel4"):
        load_device_predictor(workspace, "pixel6")
    assert load_device_predictor(workspace, "pixel4").cost(TINY).unit == "ms"


def test_a_space_outside_what_was_measured_is_refused_by_name(tiny_predictor: Predictor) -> None:
    with pytest.raises(PredictorError, match=r"not cover \w+ size=\d+.* and \d+ more") as caught:
        tiny_predictor.cost(MOBILE)
    assert caught.value.settings == ("extrapolate",)
    assert caught.value.next_step == NextStep("profile", {"device": "made-up", "space": "mobile"})
    assert "extrapolate" not in str(caught.value)  # not every command can


def test_a_table_lacks_exactly_what_it_lacks(tiny_table: Predictor) -> None:
    gone = sorted(k for k in tiny_table.kernels.table_ms if k.kind == "ffn")[17]  # type: ignore
    rows = {k: v for k, v in tiny_table.kernels.table_ms.items() if k != gone}  # type: ignore
    predictor = table_predictor(rows, device="table", source="import:x")
    with pytest.raises(PredictorError) as caught:
        predictor.cost(TINY)
    assert gone.key in str(caught.value)
    assert "more" not in str(caught.value)


def test_extrapolation_warns_and_widens_only_what_it_touches(tiny_table: Predictor) -> None:
    table = tiny_table.kernels.table_ms  # type: ignore[union-attr]
    gone = {k for k in table if k.kind == "attention" and k.width == 128}
    rows = {k: v for k, v in table.items() if k not in gone}
    predictor = table_predictor(rows, device="table", source="import:x")
    with pytest.warns(ExtrapolationWarning, match=rf"{len(gone)} kernels lie outside"):
        cost = predictor.cost(TINY, extrapolate=True)
    batch = TINY.sample(300, np.random.default_rng(0))
    touched = np.array([bool(gone & set(lower(a, TINY.layout))) for a in batch])
    assert touched.any()
    assert not touched.all()
    price, upper, whole = cost.price(batch), cost.upper(batch), tiny_table.cost(TINY)
    np.testing.assert_allclose(price[~touched], whole.price(batch)[~touched], rtol=1e-9)
    np.testing.assert_allclose(price[touched], whole.price(batch)[touched], rtol=0.05)
    np.testing.assert_array_equal(upper[~touched], price[~touched])
    assert (upper[touched] > 1.02 * price[touched]).all()


def test_regressors_extrapolate_when_asked(tiny_predictor: Predictor) -> None:
    with pytest.warns(ExtrapolationWarning):
        cost = tiny_predictor.cost(MOBILE, extrapolate=True)
    batch = ArchBatch.of([MOBILE.smallest, MOBILE.largest])
    assert np.isfinite(cost.price(batch)).all()
    assert (cost.upper(batch) > 1.1 * cost.price(batch)).all()


@pytest.mark.skipif(
    not TABLES.is_dir(), reason="the public block tables are not beside the project"
)
@pytest.mark.parametrize("device", ["pixel4", "pixel6", "xiaomi11"])
def test_imported_tables_price_the_published_architectures(device: str) -> None:
    """The tables' authors round halved sides down, the network rounds up: where no side is odd
    the sums are theirs, and elsewhere they are the sums over what runs."""
    from lut.importer import read_block_table

    table = read_block_table(TABLES / f"{device}_lut_ln_v3.json")
    predictor = table_predictor(table.table_ms, device=device, source=table.source)
    prices = predictor.cost(MOBILE).price(ArchBatch.of(list(PUBLISHED.values())))
    for (name, arch), price in zip(PUBLISHED.items(), prices, strict=True):
        assert price == pytest.approx(table.sum_ms(arch, MOBILE.layout), rel=1e-9)
        assert table.authors_sum_ms(arch, MOBILE.layout) == pytest.approx(
            SUMS[device][name], rel=1e-6
        )
        if arch.resolution in EVEN:
            assert price == pytest.approx(SUMS[device][name], rel=1e-6)
        else:
            assert SUMS[device][name] < price < 1.1 * SUMS[device][name]
