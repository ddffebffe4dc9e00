"""Network models that are fitted anew, and subnets of other numbers of classes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from devices.protocol import Measurement
from elasticvit.cost import space_kernels
from elasticvit.errors import ArchError, PredictorError
from elasticvit.kernels import Kernel, lower
from elasticvit.space import TINY
from lut.calibration import table_calibration_models
from lut.dataset import Dataset, note_fitted, split_of
from lut.keys import subnet_key
from lut.store import Store
from lut.subnet_layouts import subnet_kernels, whole_subnets
from predictors.fit import with_subnets
from predictors.fit_report import FitReport
from predictors.interval import Interval
from predictors.kernel_table import KernelTable
from predictors.network_correction import fit_network_correction
from predictors.predictor import Predictor
from predictors.refit import refit_network

ARCHS = list(TINY.sample(24, np.random.default_rng(0)).unique())
OTHER = TINY.with_classes(7)


def predictor(**changes: object) -> Predictor:
    table = {k: k.macs / 1e6 + 0.01 for k in space_kernels(TINY)}
    made = Predictor(device="fake", source="fake:fake", kernels=KernelTable(table))
    return replace(made, **changes)


def latency_ms(kernels: tuple[Kernel, ...]) -> float:
    return 1.3 * sum(k.macs / 1e6 + 0.01 for k in kernels)


def test_a_network_model_learns_what_all_subnets_have_in_common() -> None:
    lowered = [lower(arch, TINY.layout) for arch in ARCHS]
    before = predictor()
    after = refit_network(before, lowered, [latency_ms(ks) for ks in lowered])
    assert after.kernels is before.kernels
    assert after.report.subnets == len(ARCHS)
    assert after.report.subnets_held_out is not None
    for arch in TINY.sample(20, np.random.default_rng(1)):
        kernels = lower(arch, TINY.layout)
        assert after.subnet_ms(kernels) == pytest.approx(latency_ms(kernels), rel=0.02)
        assert before.subnet_ms(kernels) < 0.8 * after.subnet_ms(kernels)


def test_the_interval_of_a_predictor_that_was_learnt_does_not_narrow() -> None:
    wide = Interval(lower=0.8, upper=1.25, coverage=0.95)
    learnt = predictor(report=FitReport(like=("phone",)), interval=wide)
    lowered = [lower(arch, TINY.layout) for arch in ARCHS]
    after = refit_network(learnt, lowered, [latency_ms(ks) for ks in lowered])
    assert after.interval.lower <= 0.8
    assert after.interval.upper >= 1.25
    assert after.report.like == ("phone",)


def test_subnets_with_kernels_that_a_table_lacks_are_left_out() -> None:
    lowered = [lower(arch, TINY.layout) for arch in ARCHS]
    unknown = max({k for kernels in lowered for k in kernels}, key=lambda k: k.macs)
    table = {k: ms for k, ms in predictor().kernels.table_ms.items() if k != unknown}
    lacking = predictor(kernels=KernelTable(table))
    fits = [unknown not in kernels for kernels in lowered]
    assert 4 <= sum(fits) < len(ARCHS)
    times = [latency_ms(kernels) for kernels in lowered]
    known = [(ks, ms) for ks, ms, fit in zip(lowered, times, fits, strict=True) if fit]
    after = refit_network(lacking, lowered, times)
    assert after.report.subnets == sum(fits)
    assert after.interval == refit_network(lacking, *zip(*known, strict=True)).interval
    learnt = with_subnets(lacking, dict(zip(ARCHS, times, strict=True)), TINY)
    assert learnt.report.subnets == sum(fits)
    with pytest.raises(PredictorError, match=f"kernel {unknown.key}, of which there is no latency"):
        fit_network_correction(lowered, np.array(times), lacking.kernels.ms)


def test_too_few_subnets_are_refused() -> None:
    lowered = [lower(arch, TINY.layout) for arch in ARCHS[:3]]
    with pytest.raises(PredictorError, match="3 whole subnets"):
        refit_network(predictor(), lowered, [1.0, 1.0, 1.0])


def row(key: str, ms: float, number: int = 0, **changes: object) -> Measurement:
    made = Measurement(
        key=key,
        samples_us=(1e3 * ms,) * 3,
        round=number,
        threads=1,
        cores="auto",
        source="fake:fake",
        runtime="fake",
        runtime_hash="",
        time_s=1.0,
    )
    return replace(made, **changes)


def test_subnets_of_any_number_of_classes_are_known_by_their_layout(tmp_path: Path) -> None:
    foreign = replace(TINY.layout, head_hidden=TINY.layout.head_hidden + 8)
    with Store(tmp_path / "lut.sqlite") as store:
        for space in (TINY, OTHER):
            for arch in ARCHS:
                kernels = lower(arch, space.layout)
                store.add("fake", row(subnet_key(arch, space.layout), latency_ms(kernels)))
        store.add("fake", *[row(subnet_key(arch, foreign), 1.0) for arch in ARCHS])
        found = whole_subnets(store, "fake", store.latest("fake"), [TINY.layout])
        split = split_of(store, "fake", "fp32")
    own = [subnet_key(a, s.layout) for s in (TINY, OTHER) for a in ARCHS]
    assert len(found.kernels) == sum(not split.held_out(key) for key in own)
    assert found.unknown == sum(not split.held_out(subnet_key(a, foreign)) for a in ARCHS)
    for kernels, ms in zip(found.kernels, found.latency_ms, strict=True):
        assert ms == pytest.approx(latency_ms(kernels))
    assert subnet_kernels(subnet_key(ARCHS[0], foreign), [TINY.layout]) is None


def test_subnets_that_a_search_chose_are_fitted_with_and_never_judged_by(tmp_path: Path) -> None:
    keys = [subnet_key(arch, TINY.layout) for arch in ARCHS]
    with Store(tmp_path / "lut.sqlite") as store:
        held = [key for key in keys if split_of(store, "fake", "fp32").held_out(key)]
        before, chosen = held[0], held[1:]
        store.add("fake", row(before, 1.0))
        for _ in range(2):  # the second search notes nothing twice
            note_fitted(store, "fake", "fp32", [before, *chosen], [before])
        store.add("fake", *[row(key, 1.0) for key in chosen])
        data = Dataset.of(store, "fake", TINY)
        assert store.noted("fake", "fitted", "fp32") == chosen
    assert {subnet_key(a, TINY.layout) for a in data.fit_subnets} == set(chosen)
    assert {subnet_key(a, TINY.layout) for a in data.held_subnets} == {before}


def test_calibration_models_of_other_classes_are_those_of_the_table(tmp_path: Path) -> None:
    key = subnet_key(OTHER.smallest, OTHER.layout)
    with Store(tmp_path / "lut.sqlite") as store:
        store.add("fake", row(subnet_key(ARCHS[0], TINY.layout), 1.0, calibration_us={key: (5.0,)}))
        table = store.measurements("fake")
    models = table_calibration_models(table, TINY.layout)
    assert models == {key: lower(OTHER.smallest, OTHER.layout)}
    foreign = replace(TINY.layout, head_hidden=TINY.layout.head_hidden + 8)
    with pytest.raises(ArchError, match="unknown layout"):
        table_calibration_models(table, foreign)
