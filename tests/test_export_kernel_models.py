"""Kernel models: the converter's graphs, written without the converter."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from export_models import example, kernels, randomised
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from elasticvit.errors import ExportError
from elasticvit.kernels import (
    FFN,
    Attention,
    Downsample,
    FirstConv,
    Head,
    Kernel,
    MBConv,
    lower,
)
from elasticvit.nn import BlockOptions, build_block
from elasticvit.nn.fuse import fused
from elasticvit.published import published
from elasticvit.space import MOBILE, TINY
from export.inspect import delegation, operators
from export.kernel_models import from_arrays, input_shape, kernel_model, network_model
from export.litert import convert_kernel


def outputs(data: bytes, x: np.ndarray) -> list[np.ndarray]:
    model = Interpreter(model_content=data, num_threads=1)
    model.allocate_tensors()
    model.set_tensor(model.get_input_details()[0]["index"], x)
    model.invoke()
    return [model.get_tensor(detail["index"]) for detail in model.get_output_details()]


def direct_model(kernel: Kernel, block: torch.nn.Module, norm: str = "per_token") -> bytes:
    arrays = {name: value.numpy() for name, value in fused(block).state_dict().items()}
    return network_model([(kernel, from_arrays(arrays))], norm=norm)


def channels_last(x: torch.Tensor) -> np.ndarray:
    return (x.permute(0, 2, 3, 1) if x.dim() == 4 else x).contiguous().numpy()


@settings(max_examples=60, deadline=None)
@given(kernels, seeds, st.sampled_from(("per_token", "joint")))
def test_the_model_of_a_kernel_computes_its_block(kernel: Kernel, seed: int, norm: Any) -> None:
    block = randomised(build_block(kernel, BlockOptions(norm=norm)), seed)
    x = example(kernel, seed=seed)
    with torch.no_grad():
        expected = channels_last(block(x))
    assert channels_last(x).shape == input_shape(kernel)
    (found,) = outputs(direct_model(kernel, block, norm), channels_last(x))
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kernel",
    [
        FirstConv(31, 3, 16),
        MBConv(12, 8, 16, 1, 5, 1, 0),
        MBConv(16, 8, 16, 3, 3, 2, 0),
        Downsample(7, 16, 24, 2),
        Attention(4, 48, 3),
        FFN(3, 32, 2),
        Head(3, 32, 2, 40, 10),
        MBConv(65, 16, 16, 4, 3, 2, 0),  # in strips
        MBConv(64, 16, 16, 5, 5, 1, 0),
    ],
    ids=lambda kernel: kernel.key.replace(" ", "-"),
)
def test_the_converter_writes_the_same_operators_and_outputs(kernel: Kernel) -> None:
    hold_to_the_converter(kernel, "per_token")


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [Attention(4, 48, 3), FFN(3, 32, 2)], ids=lambda k: k.kind)
def test_the_converter_writes_the_same_joint_norm(kernel: Kernel) -> None:
    hold_to_the_converter(kernel, "joint")


def hold_to_the_converter(kernel: Kernel, norm: Literal["per_token", "joint"]) -> None:
    block = randomised(build_block(kernel, BlockOptions(norm=norm)))
    x = channels_last(example(kernel))
    converted, direct = convert_kernel(kernel, block), direct_model(kernel, block, norm)
    assert operators(direct) == operators(converted)
    assert np.allclose(outputs(direct, x)[0], outputs(converted, x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arch", "layout"),
    [
        (TINY.largest, TINY.layout),
        (MOBILE.smallest, MOBILE.layout),
        (published("elastic_T1"), MOBILE.layout),  # odd maps on the way
    ],
)
def test_whole_networks_go_to_the_delegate_in_one_piece(arch, layout) -> None:
    data = kernel_model(lower(arch, layout))
    found = delegation(data)
    assert found.whole, found
    (logits,) = outputs(data, np.ones((1, arch.resolution, arch.resolution, 3), np.float32))
    assert logits.shape == (1, layout.classes)
    assert np.isfinite(logits).all()
    assert logits.std() > 0


def test_copies_that_fit_run_one_after_another_with_their_own_weights() -> None:
    kernel = FFN(4, 32, 2)
    data = kernel_model([kernel] * 3)
    assert len(operators(data)) == 3 * len(operators(kernel_model([kernel])))
    weights = [
        b
        for b in schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0)).buffers
        if b.data is not None and len(b.data) == 4 * 32 * 64
    ]
    assert len({bytes(w.data) for w in weights}) == 6


def test_copies_that_do_not_fit_stand_side_by_side() -> None:
    kernel = MBConv(8, 8, 16, 2, 3, 2, 1)
    data = kernel_model([kernel] * 3)
    results = outputs(data, np.ones(input_shape(kernel), np.float32))
    assert [r.shape for r in results] == [(1, 4, 4, 16)] * 3
    assert not np.allclose(results[0], results[1])


def test_the_seed_alone_decides_the_weights() -> None:
    kernels = [Attention(4, 48, 2)]
    assert kernel_model(kernels, seed=3) == kernel_model(kernels, seed=3)
    assert kernel_model(kernels, seed=3) != kernel_model(kernels, seed=4)


def test_constants_are_aligned_as_the_schema_demands() -> None:
    data = kernel_model([MBConv(8, 7, 9, 3, 3, 2, 1)])
    model = schema.Model.GetRootAs(data, 0)
    tables = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [t._tab.Vector(t._tab.Offset(4)) for t in tables if not t.DataIsNone()]
    assert starts
    assert all(start % 16 == 0 for start in starts)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ExportError, match="at least one kernel"):
        kernel_model([])
    with pytest.raises(ExportError, match=r"ffn size=4 width=48 .* cannot follow .*\(1, 16, 32\)"):
        kernel_model([FFN(4, 32, 2), FFN(4, 48, 2)])


def test_missing_and_misshapen_weights_are_named() -> None:
    kernel = FFN(2, 8, 2)
    arrays = {n: v.numpy() for n, v in fused(build_block(kernel)).state_dict().items()}
    wrong = {**arrays, "fc1.weight": arrays["fc1.weight"][:3]}
    with pytest.raises(ExportError, match=r"fc1\.weight: expected shape \(16, 8\), found .*3, 8"):
        network_model([(kernel, from_arrays(wrong))])
    del arrays["fc2.bias"]
    with pytest.raises(ExportError, match=r"fc2\.bias: expected shape \(8,\), found nothing"):
        network_model([(kernel, from_arrays(arrays))])


def test_a_file_that_is_no_model_is_refused() -> None:
    with pytest.raises(ExportError, match="not a TFLite model"):
        operators(b"not a flatbuffer at all")
