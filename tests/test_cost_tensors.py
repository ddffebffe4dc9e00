"""Peak memory and file size are those of the files that are exported."""

import numpy as np
import pytest
from export_models import kernels
from exported_graphs import FLOAT_BYTES, FileGraph, arena_bytes
from hypothesis import given, settings
from strategies import space_and_batch

from elasticvit.arch import ArchBatch
from elasticvit.cost_memory import MemoryCost, kernel_peak
from elasticvit.cost_size import SizeCost
from elasticvit.errors import ArchError, SettingError
from elasticvit.kernel_tensors import KernelTensors
from elasticvit.kernels import FirstConv, Kernel, lower
from elasticvit.nn import Subnet
from elasticvit.precisions import FP16, FP32, INT8, PRECISIONS
from elasticvit.space import MOBILE, PHOTO, TINY, SearchSpace
from export.backend import find_backend
from export.calibration import LEAST_IMAGES
from export.conversion import convert
from export.kernel_models import kernel_model
from export.precision import in_precision

PRESETS = pytest.mark.parametrize("space", [TINY, PHOTO, MOBILE], ids=lambda space: space.name)


def drawn(space: SearchSpace, count: int) -> ArchBatch:
    ends = ArchBatch.of([space.smallest, space.largest])
    return space.sample(count, np.random.default_rng(0)).concat(ends)


@settings(max_examples=60, deadline=None)
@given(kernels)
def test_the_tensors_of_a_kernel_are_those_of_its_file(kernel: Kernel) -> None:
    tensors, graph = KernelTensors.of(kernel), FileGraph.of(kernel_model([kernel]))
    floats = [n for n, c in zip(graph.floats, graph.constant, strict=True) if c and n]
    assert sorted(constant.values for constant in tensors.constants) == sorted(floats)
    written = [graph.floats[out[0]] for name, _, out in graph.operators if name != "RESHAPE"]
    assert [step.writes for step in tensors.steps] == written
    assert tensors.reshapes == sum(name == "RESHAPE" for name, _, _ in graph.operators)
    assert tensors.floats_in == graph.floats[graph.inputs[0]]
    assert FLOAT_BYTES * tensors.peak() == graph.live_bytes(keep_inputs=False)
    without = FLOAT_BYTES * kernel_peak(kernel)
    image = FLOAT_BYTES * tensors.floats_in * isinstance(kernel, FirstConv)
    assert without <= FLOAT_BYTES * tensors.peak() <= without + image


@PRESETS
def test_memory_is_that_of_the_live_tensors_and_nearly_the_arena(space: SearchSpace) -> None:
    batch = drawn(space, 3)
    for arch, mb in zip(batch, MemoryCost(space).price(batch), strict=True):
        data = kernel_model(lower(arch, space.layout))
        live = FileGraph.of(data).live_bytes(keep_inputs=True)
        assert mb * 1e6 == pytest.approx(live, abs=0.5)
        assert live <= arena_bytes(data) <= 1.2 * live


@PRESETS
def test_the_size_is_nearly_that_of_the_file(space: SearchSpace) -> None:
    batch = drawn(space, 4)
    for arch, mb in zip(batch, SizeCost(space).price(batch), strict=True):
        assert mb * 1e6 == pytest.approx(len(kernel_model(lower(arch, space.layout))), rel=1e-3)


@pytest.mark.parametrize("precision", PRECISIONS[1:])
@PRESETS
def test_the_size_is_nearly_that_of_the_quantised_file(space: SearchSpace, precision: str) -> None:
    batch = drawn(space, 1).take(np.arange(2))
    for arch, mb in zip(batch, SizeCost(space, precision).price(batch), strict=True):
        shape = (LEAST_IMAGES, 1, arch.resolution, arch.resolution, 3)
        images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        model = in_precision(kernel_model(lower(arch, space.layout)), precision, list(images))
        assert mb * 1e6 == pytest.approx(len(model), rel=1e-3)


@settings(max_examples=30, deadline=None)
@given(space_and_batch)
def test_tables_equal_the_largest_of_lowered_kernels(case) -> None:
    space, batch = case
    prices = MemoryCost(space).price(batch)
    pixels = batch.genes[:, 0].astype(float) ** 2 * space.layout.in_channels
    peaks = [max(kernel_peak(k) for k in lower(arch, space.layout)) for arch in batch]
    np.testing.assert_allclose(prices * 1e6, FLOAT_BYTES * (peaks + pixels), rtol=1e-12)


@pytest.mark.slow
def test_the_converters_file_is_between_price_and_upper_bound() -> None:
    batch = ArchBatch.of([TINY.smallest])
    data = convert(find_backend("tflite-litert-torch"), Subnet(TINY.smallest, TINY.layout).eval())
    for precision in (FP32, FP16, INT8):
        cost, size = SizeCost(TINY, precision), len(in_precision(data, precision)) / 1e6
        assert cost.price(batch)[0] <= size <= cost.upper(batch)[0]


def test_a_size_in_an_unknown_precision_is_refused() -> None:
    with pytest.raises(SettingError, match=r"precision is .int4.;.*fp32, fp16, int8, int8-full"):
        SizeCost(TINY, "int4")


@pytest.mark.parametrize("kind", [MemoryCost, SizeCost])
def test_the_costs_know_their_unit_and_refuse_other_spaces(kind: type) -> None:
    cost, batch = kind(TINY), drawn(TINY, 1)
    assert cost.unit.startswith("MB of ")
    upper = cost.upper(batch)
    assert upper is None or (upper >= cost.price(batch)).all()
    with pytest.raises(ArchError, match="space tiny has"):
        cost.price(drawn(MOBILE, 1))


class Foreign(Kernel):
    kind = "foreign"


def test_a_foreign_kernel_is_refused() -> None:
    with pytest.raises(TypeError, match="Foreign is not a kernel kind"):
        KernelTensors.of(Foreign(8))
