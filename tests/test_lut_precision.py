"""Precisions side by side in one table: nothing of one is ever taken for another."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from old_tables import without_precision
from test_lut_profile import CONFIG, build, computed_us, device, planned_rounds
from test_lut_store import ROW

from devices.fake import FakeDevice
from devices.protocol import DeviceInfo, Rejected, TimedModel
from elasticvit.errors import DeviceUnreachable, StoreError
from elasticvit.kernels import Kernel, lower
from elasticvit.precisions import PRECISIONS
from elasticvit.space import TINY
from lut.contents import contents
from lut.dataset import Dataset, note_fitted
from lut.exchange import export_table, read_table
from lut.keys import subnet_key
from lut.profile import profile
from lut.store import Store
from predictors.evaluate import fit_dataset

FACTORS = {"fp32": 1.0, "fp16": 0.5, "int8": 0.25, "int8-full": 3.0}


def built_in(precision: str):
    """Stands for the builder of kernel models: the precision, then the keys."""

    def make(kernels: Sequence[Kernel]) -> bytes:
        return f"{precision}!".encode() + build(kernels)

    return make


def us_in_precision(model: TimedModel) -> float:
    precision, _, keys = model.data.partition(b"!")
    return FACTORS[precision.decode()] * computed_us(TimedModel(model.key, keys))


def run(store: Store, precision: str, on: FakeDevice | None = None) -> bool:
    with on or FakeDevice(us_in_precision) as opened:
        config = replace(CONFIG, precision=precision)
        rng = np.random.default_rng(0)
        summary = profile(opened, TINY, store, config, rng=rng, build=built_in(precision))
    assert summary.series.precision == precision
    return summary.complete


def expected_ms(kernels: Sequence[Kernel], precision: str) -> float:
    return us_in_precision(TimedModel("", built_in(precision)(kernels))) / 1e3


def test_profiles_of_several_precisions_that_break_again_and_again_never_mix(
    tmp_path: Path,
) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "lut.sqlite"
    unfinished = ["fp32", "int8", "fp16"]
    for _ in range(300):
        if not unfinished:
            break
        precision = unfinished[int(rng.integers(len(unfinished)))]
        kind = ("crash_after", "unreachable_after")[int(rng.integers(2))]
        breaking = FakeDevice(us_in_precision, **{kind: int(rng.integers(1, 150))})
        with Store(path) as store:
            try:
                complete = run(store, precision, breaking)
            except (RuntimeError, DeviceUnreachable):
                continue
        if complete:
            unfinished.remove(precision)
    assert not unfinished
    with Store(path, read_only=True) as store:
        for precision in ("fp32", "int8", "fp16"):
            data = Dataset.of(store, "fake", TINY, precision=precision)
            for kernel, ms in {**data.fit_kernels, **data.held_kernels}.items():
                assert ms == pytest.approx(expected_ms([kernel], precision))
            for arch, ms in {**data.fit_subnets, **data.held_subnets}.items():
                assert ms == pytest.approx(expected_ms(lower(arch, TINY.layout), precision))
            frame = store.measurements("fake", series=data.series)
            rows = list(zip(frame["key"], frame["round"], strict=True))
            assert len(rows) == len(set(rows))  # resumed, not repeated
            predictor = fit_dataset(replace(data, fit_subnets={}), TINY, device="fake")
            assert predictor.precision == precision
            kernels = list(data.held_kernels)
            exact = np.array([expected_ms([kernel], precision) for kernel in kernels])
            np.testing.assert_allclose(predictor.kernels.ms(kernels), exact, rtol=0.2)
        counts = {s.precision: s.count for s in store.series("fake")}
        assert planned_rounds(store)  # those of fp32, which is the default
    assert set(counts) == {"fp32", "int8", "fp16"}
    assert {one.precision for one in contents(path)} == set(counts)


def test_the_same_models_are_held_out_in_each_precision(tmp_path: Path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        assert run(store, "int8")
        assert run(store, "fp32")
        one, other = (Dataset.of(store, "fake", TINY, precision=p) for p in ("int8", "fp32"))
    assert set(one.held_kernels) == set(other.held_kernels)
    assert set(one.held_subnets) == set(other.held_subnets)


def test_what_a_search_chose_in_one_precision_stays_held_out_in_another(tmp_path: Path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        assert run(store, "fp32")
        arch = next(iter(Dataset.of(store, "fake", TINY).held_subnets))
        key = subnet_key(arch, TINY.layout)
        note_fitted(store, "fake", "int8", [key], have=())
        store.add("fake", replace(ROW, key=key, precision="int8"))
        chosen = Dataset.of(store, "fake", TINY, precision="int8")
        assert arch in Dataset.of(store, "fake", TINY).held_subnets
    assert set(chosen.fit_subnets) == {arch}


def test_a_model_that_is_refused_in_one_precision_is_timed_in_another(tmp_path: Path) -> None:
    info = DeviceInfo(name="phone", source="adb:1", runtime="r", runtime_hash="h")
    with Store(tmp_path / "lut.sqlite") as store:
        store.reject(info, Rejected("ffn size=8 width=96 mlp_ratio=2", "no kernel"), "int8")
        assert not store.rejected(info)
        assert store.rejected(info, "int8")


def test_a_precision_that_was_not_measured_is_named_with_those_that_were(tmp_path: Path) -> None:
    with Store(tmp_path / "lut.sqlite") as store:
        store.add("phone", replace(ROW, precision="fp16"))
        with pytest.raises(StoreError, match=r"in int8 in .* has them in fp16") as refused:
            store.latest("phone", "int8")
        with pytest.raises(StoreError, match="it is one of fp32"):
            store.add("phone", replace(ROW, precision="int4"))
    assert refused.value.next_step is not None
    assert refused.value.next_step.settings == {"device": "phone", "precision": "int8"}


def test_an_old_table_is_of_fp32(tmp_path: Path) -> None:
    path = tmp_path / "lut.sqlite"
    with Store(path) as store:
        with device() as opened:
            rng = np.random.default_rng(0)
            profile(opened, TINY, store, CONFIG, rng=rng, build=build)
        before = Dataset.of(store, "fake", TINY)
        store.note("fake", "fitted", subnet_key(TINY.smallest, TINY.layout), "fp32")
    with sqlite3.connect(path) as db:
        without_precision(db)
    db.close()
    for read_only in (True, False):  # read where it is, then brought to the present schema
        with Store(path, read_only=read_only) as store:
            (series,) = store.series("fake")
            assert series.precision == "fp32"
            assert Dataset.of(store, "fake", TINY) == replace(before, series=series)
            assert store.noted("fake", "fitted", "fp32")
            assert store.noted("fake", "split_seed") == [0]
            assert not store.series("fake", "int8")
    with Store(path) as store:
        store.add("fake", replace(ROW, precision="int8"))
        assert len(store.series("fake")) == 2


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_file_holds_one_precision_and_says_which(
    tmp_path: Path, ending: str, precision: str
) -> None:
    path = tmp_path / f"table{ending}"
    with Store(tmp_path / "lut.sqlite") as store:
        for number, other in enumerate(PRECISIONS):
            store.add("phone", *[replace(ROW, round=i, precision=other) for i in range(number + 1)])
        assert export_table(store, "phone", path, precision=precision) == len(
            store.measurements("phone", series=store.latest("phone", precision))
        )
    table = read_table(path)
    assert table.precision == precision
    assert {m.precision for m, _ in table.rows} == {precision}
    with Store(tmp_path / "other.sqlite") as store:
        assert table.add_to(store, "mine") == len(table.rows)
        assert table.add_to(store, "mine") == 0
        assert [s.precision for s in store.series("mine")] == [precision]


def test_a_file_whose_precision_was_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with Store(tmp_path / "lut.sqlite") as store:
        store.add("phone", replace(ROW, precision="int8"))
        export_table(store, "phone", path, precision="int8")
    text = path.read_text()
    for other in ('"precision": "fp32"', '"old": 1'):
        path.write_text(text.replace('"precision": "int8"', other))
        with pytest.raises(StoreError, match="changed or damaged"):
            read_table(path)
