"""TFLite files in other precisions, with the real quantiser and the real runtime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from elasticvit.arrays import Float32Array
from elasticvit.errors import ExportError
from elasticvit.kernels import MBConv
from elasticvit.precisions import PRECISIONS
from elasticvit.testing.export_format import ARCH, small_subnet
from export import calibration, precision, precision_check
from export.calibration import LEAST_IMAGES
from export.direct import DirectBackend
from export.flatbuffer import packed, unpacked
from export.graph import Graph
from export.half_constants import LEAST_VALUES, halve_constants
from export.inspect import Delegation, delegation, operator_counts, operator_name
from export.kernel_models import kernel_model, network_model, random_weights
from export.litert import LiteRTModel
from export.precision import in_precision
from export.precision_check import tensor_types

FLOAT32, FLOAT16 = 0, 1  # of the schema's TensorType
SIDE = ARCH.resolution
WORST = {"fp16": 5e-3, "int8": 0.1, "int8-full": 0.2}  # standard deviations of the logits
SQUEEZED = MBConv(size=8, cin=8, cout=8, expansion=2, kernel=5, stride=2, se=True)


def images(count: int, shape: tuple[int, ...] = (1, SIDE, SIDE, 3)) -> list[Float32Array]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]


@pytest.fixture(scope="module")
def model() -> bytes:
    return DirectBackend().convert(small_subnet())


@pytest.fixture(scope="module")
def files(model: bytes) -> dict[str, bytes]:
    return {name: in_precision(model, name, images(LEAST_IMAGES)) for name in PRECISIONS}


def logits(data: bytes, inputs: Sequence[Float32Array]) -> Float32Array:
    loaded = LiteRTModel(data)
    return np.stack([loaded(image) for image in inputs])


def test_fp32_is_the_file_as_it_is(model: bytes, files: dict[str, bytes]) -> None:
    assert files["fp32"] == model


@pytest.mark.parametrize("name", PRECISIONS[1:])
def test_a_file_is_smaller_and_answers_alike(
    name: str, model: bytes, files: dict[str, bytes]
) -> None:
    fresh = images(LEAST_IMAGES + 8)[LEAST_IMAGES:]
    before, after = logits(model, fresh), logits(files[name], fresh)
    assert len(files[name]) < 0.6 * len(model)
    assert 0 < np.abs(after - before).max() / before.std() < WORST[name]
    assert (before.argmax(1) == after.argmax(1)).mean() >= 7 / 8


@pytest.mark.parametrize("name", PRECISIONS[1:])
def test_the_delegate_takes_it_whole(name: str, files: dict[str, bytes]) -> None:
    assert delegation(files[name]).whole


def test_the_types_are_those_of_the_precision(files: dict[str, bytes]) -> None:
    layers = operator_counts(files["fp32"])
    weighted = layers["CONV_2D"] + layers["FULLY_CONNECTED"]
    depthwise = layers["DEPTHWISE_CONV_2D"]
    assert tensor_types(files["fp16"])["FLOAT16"] >= weighted + depthwise
    assert tensor_types(files["int8"])["INT8"] == weighted - 1  # the first convolution is float
    assert tensor_types(files["int8-full"])["INT8"] > 2 * (weighted + depthwise)
    assert set(tensor_types(files["fp32"])) == {"FLOAT32", "INT32"}


def test_in_int8_only_the_convolution_of_the_image_stays_float(
    model: bytes, files: dict[str, bytes]
) -> None:
    def float_convolutions(data: bytes) -> list[list[int]]:
        made = unpacked(data)
        (graph,) = made.subgraphs
        weights = [
            graph.tensors[op.inputs[1]]
            for op in graph.operators
            if operator_name(made, op) == "CONV_2D"
        ]
        return [[int(n) for n in t.shape] for t in weights if t.type == FLOAT32]

    assert float_convolutions(files["int8"]) == [[8, 3, 3, 3]]
    assert float_convolutions(files["int8-full"]) == []
    renamed = unpacked(model)  # the quantiser goes by names, of which one may be part of another
    for number, tensor in enumerate(renamed.subgraphs[0].tensors):
        tensor.name = b"a+(" * (number + 1)
    assert float_convolutions(in_precision(packed(renamed), "int8")) == [[8, 3, 3, 3]]


@pytest.mark.parametrize("name", PRECISIONS)
def test_input_outputs_and_signature_stay(name: str, files: dict[str, bytes]) -> None:
    made = unpacked(files[name])
    (graph,) = made.subgraphs
    kinds = [graph.tensors[i].type for i in (*graph.inputs, *graph.outputs)]
    assert set(kinds) == {FLOAT32}
    (signature,) = made.signatureDefs
    assert signature.inputs[0].tensorIndex == graph.inputs[0]
    assert signature.outputs[0].tensorIndex == graph.outputs[0]


def test_constants_lie_inside_the_flatbuffer(files: dict[str, bytes]) -> None:
    made = unpacked(files["int8"])
    assert packed(made) == files["int8"]


def test_fp16_allows_arithmetic_in_16_bits(files: dict[str, bytes]) -> None:
    def metadata(data: bytes) -> dict[bytes, bytes]:
        made = unpacked(data)
        return {e.name: bytes(made.buffers[e.buffer].data) for e in made.metadata or []}

    assert metadata(files["fp16"]) == {b"reduced_precision_support": b"fp16accfp16"}
    assert b"reduced_precision_support" not in metadata(files["int8"])


def test_a_model_without_a_signature_is_calibrated(model: bytes) -> None:
    bare = unpacked(model)
    bare.signatureDefs = None
    data = in_precision(packed(bare), "int8-full", images(LEAST_IMAGES))
    assert delegation(data).whole


def test_copies_of_a_kernel_are_quantised_together() -> None:
    twice = kernel_model([SQUEEZED, SQUEEZED])
    data = in_precision(twice, "int8-full", images(LEAST_IMAGES, (1, 8, 8, 8)))
    assert len(unpacked(data).subgraphs[0].outputs) == 2


def quantised_error(weights: Any, name: str = "int8-full") -> float:
    """Largest error of a quantised kernel, in standard deviations of its output."""
    data = network_model([(SQUEEZED, weights)])
    inputs = images(LEAST_IMAGES, (1, 8, 8, 8))
    before, after = logits(data, inputs), logits(in_precision(data, name, inputs), inputs)
    return float(np.abs(after - before).max() / before.std())


def never_active(name: str, shape: tuple[int, ...]) -> Float32Array:
    """Weights with which no ReLU of the squeeze layer is ever active."""
    values = random_weights(0)(name, shape)
    return np.full(shape, -9, np.float32) if name == "squeeze.bias" else values


def with_idle_channels(name: str, shape: tuple[int, ...]) -> Float32Array:
    """Weights of which some channels are zero and have a bias, as weight decay leaves them."""
    values = random_weights(0)(name, shape).copy()
    if name.endswith(".weight"):
        values[0] = 0
    return values


@pytest.mark.parametrize("weights", [never_active, with_idle_channels])
def test_layers_without_activity_do_no_harm(weights: Any) -> None:
    assert quantised_error(weights) < 0.2


def test_what_would_crash_the_delegate_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_fit", lambda *_: None)
    with pytest.raises(ExportError, match=r"CONV_2D has steps of .* too fine for sums"):
        quantised_error(never_active)


def test_an_operator_that_stayed_float_is_named(
    model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_DYNAMIC", ("FULLY_CONNECTED",))
    with pytest.raises(ExportError, match=r"CONV_2D 't.*' and .* more stayed float32"):
        in_precision(model, "int8")


def test_an_operator_that_falls_out_of_the_delegate_is_named(
    model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_DYNAMIC", ("CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D"))
    monkeypatch.setattr(precision, "stays_float", lambda *_: False)
    with pytest.raises(ExportError, match=r"no longer takes 4 DEPTHWISE_CONV_2D.* 5 partitions"):
        in_precision(model, "int8")


def test_more_partitions_are_an_error(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = iter([Delegation(1, {}), Delegation(3, {})])
    monkeypatch.setattr(precision_check, "delegation", lambda _: next(pieces))
    with pytest.raises(ExportError, match="in 3 partitions instead of 1"):
        in_precision(model, "fp16")


def test_an_8_bit_input_is_an_error(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    static = (*precision._STATIC, "INPUT")
    monkeypatch.setattr(precision, "_STATIC", static)
    with pytest.raises(ExportError, match="an input or output of the model, INT8"):
        in_precision(model, "int8-full", images(LEAST_IMAGES))


def test_what_is_quantised_already_is_refused(files: dict[str, bytes]) -> None:
    for name in ("fp16", "int8"):
        with pytest.raises(ExportError, match="quantised already"):
            in_precision(files[name], "int8")


def test_bad_input_is_refused(model: bytes) -> None:
    good = images(LEAST_IMAGES)
    for given, told in (
        (None, "at least 16 calibration images, there are 0"),
        (good[1:], "there are 15"),
        ([*good, good[0][:, 1:]], r"calibration image 17 is float32 of shape \(1, 31, 32, 3\)"),
        ([*good, good[0].astype(np.float64)], "17 is float64"),
        ([*good, good[0] * np.inf], "17 holds values that are not finite"),
    ):
        with pytest.raises(ExportError, match=told):
            in_precision(model, "int8-full", given)  # type: ignore[arg-type]
    with pytest.raises(ExportError, match="precision is 'int4'; it must be one of fp32, fp16"):
        in_precision(model, "int4")
    with pytest.raises(ExportError, match="not a TFLite model"):
        in_precision(b"\0" * 100, "int8")


@pytest.mark.parametrize("name", PRECISIONS[1:])
def test_position_biases_are_stored_in_16_bits(name: str, files: dict[str, bytes]) -> None:
    made = unpacked(files[name])
    (graph,) = made.subgraphs
    stored = [t for t in graph.tensors if made.buffers[t.buffer].data is not None]
    assert FLOAT16 in {t.type for t in stored}
    large = {
        t.name
        for t in stored
        if t.type == FLOAT32 and made.buffers[t.buffer].data.size >= 4 * LEAST_VALUES
    }
    depthwise = {
        graph.tensors[op.inputs[1]].name
        for op in graph.operators
        if operator_name(made, op) == "DEPTHWISE_CONV_2D"
    }
    assert large <= (depthwise if name == "int8" else set())


def test_constants_that_16_bits_cannot_hold_stay() -> None:
    graph = Graph()
    source = graph.input((1, LEAST_VALUES))
    huge = np.full((1, LEAST_VALUES), 1e6, np.float32)
    model = unpacked(graph.finish([graph.add(source, graph.constant(huge))]))
    halve_constants(model)
    assert tensor_types(packed(model)) == {"FLOAT32": 3}
