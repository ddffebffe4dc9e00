"""Features, the Gaussian process and the kernel regressors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elasticvit.cost import space_kernels
from elasticvit.errors import PredictorError
from elasticvit.kernels import FFN, KINDS, Attention, Downsample, Head, Kernel, MBConv
from elasticvit.space import MOBILE, TINY
from predictors.features import WORK_NAMES, coordinates, operations, work, work_matrix
from predictors.gp import GaussianProcess, Prior, fit_process, matern
from predictors.kernel_regressors import REACH_OCTAVES, KernelRegressors, fit_work
from predictors.kernel_table import KernelTable
from predictors.predictor_file import PREDICTOR_FORMAT
from predictors.saved import SavedArrays

MACS = [WORK_NAMES.index(n) for n in WORK_NAMES if n.endswith("_macs") and n != "tiled_macs"]


def true_ms(kernel: Kernel) -> float:
    """A made-up device: rates of work, and a smooth dependence that they do not explain."""
    counts = dict(zip(WORK_NAMES, work(kernel), strict=True))
    ms = 1e-3 + 5e-8 * counts["tiled_macs"] + 2e-7 * counts["depthwise3_macs"]
    ms += 1e-7 * counts["depthwise5_macs"] + 4e-8 * counts["batch_macs"]
    ms += 3e-7 * counts["pointwise_elements"] + 1e-7 * counts["vector_macs"]
    ms += 9e-8 * counts["direct_macs"]
    return float(ms * (1 + 0.1 * np.sin(np.log2(kernel.size))))


def sample(kind: str, n: int, seed: int = 0) -> list[Kernel]:
    kernels = [k for k in space_kernels(MOBILE) if k.kind == kind]
    order = np.random.default_rng(seed).permutation(len(kernels))[:n]
    return [kernels[i] for i in order]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(space_kernels(MOBILE) + space_kernels(TINY)))
def test_work_counts_at_least_the_macs_of_the_counting_rule(kernel: Kernel) -> None:
    if isinstance(kernel, Attention):  # the rule counts one per output element of the conv on V
        kernel_macs = kernel.macs - kernel.size**2 * kernel.heads * (kernel.v_dim + kernel.size**2)
    else:
        kernel_macs = kernel.macs
    row = work(kernel)
    if kernel.dims.get("stride", 1) == 1 or kernel.size % 2 == 0:
        assert row[MACS].sum() >= kernel_macs - 1e-9
    assert (row >= 0).all()
    assert row[0] == 1


def test_work_of_an_ffn_by_hand() -> None:
    row = dict(zip(WORK_NAMES, work(FFN(size=4, width=24, mlp_ratio=3)), strict=True))
    assert row["product_macs"] == 2 * 16 * 24 * 72
    assert row["tiled_macs"] == 16 * (24 * 80 + 72 * 32)
    assert row["weight_bytes"] == 4 * 2 * 24 * 72


def test_an_ffn_is_two_products_and_what_is_pointwise() -> None:
    found = operations(FFN(size=4, width=24, mlp_ratio=3))
    assert [o.dims for o in found if o.kind == "product"] == [(16, 24, 72), (16, 72, 24)]
    assert {o.kind for o in found} == {"call", "product", "pointwise"}


def test_downsampling_does_the_work_of_its_mbconv() -> None:
    kernel = Downsample(size=14, cin=96, cout=176, stride=2)
    np.testing.assert_array_equal(work(kernel), work(kernel.as_mbconv))


def test_coordinates_are_binary_logarithms() -> None:
    rows = coordinates([MBConv(64, 16, 32, 4, 3, 2, 0), MBConv(64, 16, 32, 4, 3, 2, 1)])
    assert rows[0].tolist() == [6, 4, 5, 2, np.log2(3), 1, 0]
    assert rows[1, -1] == 1


def test_process_recovers_a_smooth_function_and_knows_where_it_does_not() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (60, 3))
    y = 0.3 * np.sin(2 * x[:, 0]) + 0.1 * x[:, 1] + rng.normal(0, 0.005, 60)
    process = fit_process(x, y)
    new = rng.uniform(-0.9, 0.9, (40, 3))
    truth = 0.3 * np.sin(2 * new[:, 0]) + 0.1 * new[:, 1]
    assert np.sqrt(np.mean((process.mean(new) - truth) ** 2)) < 0.02
    assert process.lengths[2] > process.lengths[0]  # the third input does not matter
    far = process.deviation(np.full((1, 3), 40.0))[0]
    assert far == pytest.approx(process.amplitude, rel=1e-3)
    assert process.deviation(new).max() < far / 2


def test_process_survives_arrays() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(12, 2))
    process = fit_process(x, x[:, 0], Prior(amplitude=1.0))
    saved = SavedArrays("file", PREDICTOR_FORMAT, process.to_arrays())
    again = GaussianProcess.from_saved(saved, "", 2)
    np.testing.assert_array_equal(again.mean(x), process.mean(x))
    np.testing.assert_array_equal(again.deviation(x), process.deviation(x))


def test_matern_is_a_correlation() -> None:
    x = np.random.default_rng(2).normal(size=(20, 4))
    k = matern(x, x, np.ones(4))
    np.testing.assert_allclose(np.diag(k), 1.0, atol=1e-6)
    assert np.linalg.eigvalsh(k).min() > -1e-9


@pytest.mark.parametrize("kind", ["mbconv", "downsample", "attention", "ffn"])
def test_sixty_kernels_teach_a_kind(kind: str) -> None:
    kernels = sample(kind, 260)
    fit, new = kernels[:60], kernels[60:]
    model = KernelRegressors.fit({k: true_ms(k) for k in fit})
    error = model.ms(new) / np.array([true_ms(k) for k in new]) - 1
    assert np.mean(np.abs(error) < 0.05) > 0.95


def test_rates_of_work_are_never_negative() -> None:
    kernels = sample("mbconv", 40)
    noisy = np.array([true_ms(k) for k in kernels])
    noisy *= np.exp(np.random.default_rng(0).normal(0, 0.3, 40))
    assert (fit_work(work_matrix(kernels), noisy) >= 0).all()


def test_a_kernel_outside_is_measured_in_octaves() -> None:
    inside = [FFN(s, w, m) for s in (8, 16) for w in (64, 128) for m in (2, 4)]
    model = KernelRegressors.fit({k: true_ms(k) for k in inside})
    rows = [FFN(12, 96, 3), FFN(16, 160, 4), FFN(8, 512, 2), Attention(8, 64, 2)]
    octaves = model.octaves_outside(rows)
    assert octaves[0] == octaves[1] == 0.0  # 160 is within reach of 128
    assert octaves[2] == pytest.approx(2.0)
    assert octaves[2] > REACH_OCTAVES
    assert np.isinf(octaves[3])
    assert np.isnan(model.ms(rows)[3])


def test_an_operation_never_measured_is_outside() -> None:
    se = [MBConv(s, 16, 16, e, 3, 1, 1) for s in (16, 32) for e in (3, 4)]
    model = KernelRegressors.fit({k: true_ms(k) for k in se})
    assert model.octaves_outside([MBConv(16, 16, 16, 3, 3, 1, 1)])[0] == 0
    for other in (
        MBConv(16, 16, 16, 3, 3, 1, 0),
        MBConv(16, 16, 16, 3, 5, 1, 1),
        MBConv(16, 16, 16, 1, 3, 1, 1),
    ):
        assert np.isinf(model.octaves_outside([other])[0])


def test_too_few_of_a_kind_are_refused_by_name() -> None:
    with pytest.raises(PredictorError, match=r"1 measured kernels of kind ffn"):
        KernelRegressors.fit({k: true_ms(k) for k in sample("ffn", 1)})


def test_table_is_exact_and_has_nothing_else() -> None:
    kernels = sample("ffn", 5)
    table = KernelTable({k: true_ms(k) for k in kernels[:4]})
    assert table.ms(kernels[:4]).tolist() == [true_ms(k) for k in kernels[:4]]
    assert np.isnan(table.ms(kernels[4:])).all()
    assert np.isinf(table.octaves_outside(kernels[4:])).all()


def test_table_reads_a_smaller_classifier_at_the_tables_classes() -> None:
    head = Head(4, 192, 6, 1984, 1000)
    table = KernelTable({head: 2.0})
    assert table.stand_ins(Head(4, 192, 6, 1984, 10)) == {head: 1.0}
    assert not table.stand_ins(Head(4, 192, 6, 1984, 2000))
    assert not table.stand_ins(Head(4, 208, 6, 1984, 10))


def test_table_interpolates_heads_between_two_numbers_of_classes() -> None:
    def head(classes: int, width: int = 192) -> Head:
        return Head(4, width, 6, 1984, classes)

    table = KernelTable({head(10): 1.0, head(100): 1.9, head(1000): 10.0, head(500, 208): 3.0})
    asked = [head(10), head(55), head(100), head(550), head(2), head(1001), head(300, 208)]
    ms = table.ms(asked)
    np.testing.assert_allclose(ms, [1.0, 1.45, 1.9, 5.95, 1.0, np.nan, 3.0])
    assert table.octaves_outside(asked).tolist() == [0, 0, 0, 0, 0, np.inf, 0]
    # one that is only read at more classes is priced, but not known
    assert table.covered(asked).tolist() == [True, True, True, True, False, False, False]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_table_refuses_what_is_no_latency(value: float) -> None:
    kernel = sample("ffn", 1)[0]
    with pytest.raises(PredictorError, match=kernel.key):
        KernelTable({kernel: value})


def test_stand_in_for_a_table_knows_every_kind_there() -> None:
    rows = {k: true_ms(k) for kind in ("ffn", "attention") for k in sample(kind, 200)}
    model = KernelTable(rows).regressors()
    assert set(model.kinds) == {"ffn", "attention"}
    new = [k for k in sample("ffn", 400, seed=3) if k not in rows]
    error = model.ms(new) / np.array([true_ms(k) for k in new]) - 1
    assert np.abs(error).max() < 0.1
    assert set(KINDS) - set(model.kinds)
