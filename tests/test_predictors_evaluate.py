"""Predictors from data sets, judged on what is held out, and what is said about their numbers."""

from dataclasses import replace

import numpy as np
import pytest
from test_predictors_kernels import true_ms
from test_predictors_network import inside_ms

from elasticvit.cost import reachable_kernels
from elasticvit.kernels import Head, Kernel, lower
from elasticvit.space import TINY
from lut.dataset import Dataset
from lut.series import IMPORTED, UNRECORDED, Series
from predictors.evaluate import KERNELS, SUBNETS, SUMS, fit_dataset, held_out_errors
from predictors.fit import table_predictor
from predictors.fit_report import FitReport
from predictors.kernel_regressors import KernelRegressors
from predictors.kernel_table import KernelTable
from predictors.provenance import origin, remarks

SERIES = Series(1, "phone", "adb:1", "LiteRT 2", "abc", 1, "big", 500)
ALL = [reachable_kernels(TINY)[int(i)] for i in np.random.default_rng(0).permutation(500)]
ARCHS = list(TINY.sample(60, np.random.default_rng(1)))


def kernels_ms(kernels: list[Kernel]) -> dict[Kernel, float]:
    return {k: true_ms(k) for k in kernels}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    subnets = {a: inside_ms(lower(a, TINY.layout)) for a in ARCHS}
    return Dataset(
        series=SERIES,
        fit_kernels=kernels_ms(ALL[:400]),
        held_kernels=kernels_ms(ALL[400:]),
        fit_subnets=dict(list(subnets.items())[:30]),
        held_subnets=dict(list(subnets.items())[30:]),
    )


def test_a_measured_data_set_is_fitted_and_judged_on_what_it_held_out(dataset: Dataset) -> None:
    predictor = fit_dataset(dataset, TINY, "phone")
    assert isinstance(predictor.kernels, KernelRegressors)
    assert (predictor.device, predictor.source) == ("phone", "adb:1")
    assert (predictor.report.kernels, predictor.report.subnets) == (400, 30)
    errors = held_out_errors(predictor, dataset, TINY)
    assert list(errors) == [KERNELS, SUMS, SUBNETS]
    assert [errors[name]["count"] for name in errors] == [100, 30, 30]
    assert errors[KERNELS]["within_5_pct"] > 95
    assert errors[SUMS]["bias_pct"] < -15  # kernels are slower inside this made-up device
    assert abs(errors[SUBNETS]["bias_pct"]) < 2
    assert errors[SUBNETS]["upper_nominal_pct"] == pytest.approx(95)


def test_only_what_was_held_out_is_judged(dataset: Dataset) -> None:
    predictor = fit_dataset(dataset, TINY, "phone")
    few = replace(dataset, held_kernels={})
    assert list(held_out_errors(predictor, few, TINY)) == [SUMS, SUBNETS]
    assert held_out_errors(predictor, replace(few, held_subnets={}), TINY) == {}


def test_subnets_with_kernels_that_nobody_timed_are_not_judged(dataset: Dataset) -> None:
    arch = next(iter(dataset.held_subnets))
    known = {kernel: kernel.macs / 1e6 for kernel in lower(arch, TINY.layout)}
    table = table_predictor(known, device="phone", source="import:t.json")
    errors = held_out_errors(table, replace(dataset, held_kernels={}), TINY)
    assert 1 <= errors[SUBNETS]["count"] < len(dataset.held_subnets)


def test_a_table_of_unknown_conditions_is_looked_up_whole(dataset: Dataset) -> None:
    series = replace(SERIES, source=f"{IMPORTED}t.json", runtime=UNRECORDED)
    unrecorded = replace(dataset, series=series)
    predictor = fit_dataset(unrecorded, TINY, "phone")
    assert isinstance(predictor.kernels, KernelTable)
    assert predictor.kernels.table_ms == {**dataset.fit_kernels, **dataset.held_kernels}
    assert held_out_errors(predictor, unrecorded, TINY) == {}


def test_the_origin_of_the_numbers_is_named(dataset: Dataset) -> None:
    predictor = fit_dataset(dataset, TINY, "phone")
    assert origin(predictor) == "adb:1, 1 thread on cores big"
    table = table_predictor(kernels_ms(ALL[:9]), device="phone", source=f"{IMPORTED}t.json")
    assert origin(table) == "t.json, imported, conditions unrecorded"
    few = replace(predictor, report=FitReport(like=("pixel4", "pixel6"), kernels=50))
    assert origin(few) == (
        "adb:1, 1 thread on cores big, 50 kernels measured and the rest learnt from pixel4, pixel6"
    )


def test_heads_that_are_read_at_more_classes_are_remarked(dataset: Dataset) -> None:
    rows = kernels_ms(reachable_kernels(TINY))
    table = table_predictor(rows, device="phone", source=f"{IMPORTED}t.json")
    assert remarks(table, TINY) == []
    (remark,) = remarks(table, TINY.with_classes(3))
    assert "a head of 3 classes is priced on phone at the 10 classes of its table" in remark
    more = rows | {replace(k, classes=100): 1.0 for k in rows if isinstance(k, Head)}
    both = table_predictor(more, device="phone", source=f"{IMPORTED}t.json")
    assert remarks(both, TINY.with_classes(50)) == []  # between the two
    assert remarks(fit_dataset(dataset, TINY, "phone"), TINY.with_classes(3)) == []
