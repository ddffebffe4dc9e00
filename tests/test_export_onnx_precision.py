"""ONNX files in other precisions, with ONNX Runtime's own tools and the real runtime."""

from pathlib import Path

import numpy as np
import pytest

from elasticvit.arrays import Float32Array
from elasticvit.errors import ExportError
from elasticvit.precisions import PRECISIONS
from elasticvit.testing.export_format import ARCH, small_subnet
from export import onnx_precision
from export.calibration import LEAST_IMAGES
from export.onnx import INPUT, OUTPUT, OnnxBackend, OnnxModel
from export.onnx_precision import onnx_in_precision, onnx_tensor_types

CPU = Path("/proc/cpuinfo")
# x86 CPUs without VNNI cut off sums of two products in 8 bits, and ONNX Runtime computes with these
CUTS_OFF = "avx2" in CPU.read_text() and "vnni" not in CPU.read_text() if CPU.exists() else False
# standard deviations of the logits
WORST = {"fp16": 5e-3, "int8": 0.5 if CUTS_OFF else 0.1, "int8-full": 0.3}


def images(count: int) -> list[Float32Array]:
    rng = np.random.default_rng(0)
    side = ARCH.resolution
    return [rng.standard_normal((1, side, side, 3)).astype(np.float32) for _ in range(count)]


@pytest.fixture(scope="module")
def model() -> bytes:
    return OnnxBackend().convert(small_subnet())


@pytest.fixture(scope="module")
def files(model: bytes) -> dict[str, bytes]:
    made = {name: onnx_in_precision(model, name, images(LEAST_IMAGES)) for name in PRECISIONS[1:]}
    return {"fp32": model, **made}


@pytest.mark.parametrize("name", PRECISIONS[1:])
def test_a_file_is_smaller_and_answers_alike(
    name: str, model: bytes, files: dict[str, bytes]
) -> None:
    fresh = images(LEAST_IMAGES + 8)[LEAST_IMAGES:]
    before, after = (np.stack([OnnxModel(d)(x) for x in fresh]) for d in (model, files[name]))
    assert len(files[name]) < len(model)
    assert 0 < np.abs(after - before).max() / before.std() < WORST[name]
    assert after.dtype == np.float32


def test_the_types_are_those_of_the_precision(files: dict[str, bytes]) -> None:
    types = {name: onnx_tensor_types(data) for name, data in files.items()}
    assert "FLOAT" not in types["fp16"]
    assert types["int8"]["INT8"] >= 9  # weights of the linear layers
    assert types["int8-full"]["INT8"] > types["int8"]["INT8"]
    assert set(types["fp32"]) == {"FLOAT", "INT64"}


@pytest.mark.parametrize("name", PRECISIONS)
def test_input_and_output_stay(name: str, files: dict[str, bytes]) -> None:
    import onnx

    graph = onnx.load_from_string(files[name]).graph
    assert [(v.name, v.type.tensor_type.elem_type) for v in graph.input] == [(INPUT, 1)]
    assert [(v.name, v.type.tensor_type.elem_type) for v in graph.output] == [(OUTPUT, 1)]


def test_an_operator_that_stayed_float_is_named(
    model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def untouched(model: bytes, _: object) -> bytes:
        return model

    monkeypatch.setattr(onnx_precision, "_static", untouched)
    with pytest.raises(ExportError, match=r"Conv 'node_.* stayed float32"):
        onnx_in_precision(model, "int8-full", images(LEAST_IMAGES))


def test_bad_input_is_refused(model: bytes, files: dict[str, bytes]) -> None:
    with pytest.raises(ExportError, match="there are 3"):
        onnx_in_precision(model, "int8-full", images(3))
    for name in PRECISIONS[1:]:
        with pytest.raises(ExportError, match="quantised already"):
            onnx_in_precision(files[name], "int8")
    with pytest.raises(ExportError, match="reading the ONNX model failed"):
        onnx_in_precision(b"\0" * 100, "fp16")
