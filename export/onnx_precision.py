"""ONNX models in other precisions, by the tools of ONNX Runtime.

- `fp16`: all weights and activations in 16 bits; ONNX Runtime computes in 32 bits what its CPU
  kernels do not have in 16, which is nearly all, and converts between the two.
- `int8`: linear layers with 8-bit weights, whose activations are brought to 8 bits while the model
  runs. Convolutions stay float32: ONNX Runtime's are slower in this form than in float32.
- `int8-full`: convolutions, linear layers and attention products between `QuantizeLinear` and
  `DequantizeLinear`, with the ranges of calibration images.

Inputs and outputs stay float32 in all of them.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from elasticvit.arrays import Float32Array
from elasticvit.errors import ExportError
from elasticvit.precisions import FP16, INT8, INT8_FULL
from export.calibration import check_images
from export.quiet import converting

_LINEAR = ("MatMul", "Gemm")
_PRODUCTS = ("Conv", *_LINEAR)
_UNQUANTISED = ("FLOAT", "INT32", "INT64", "BOOL")  # the integers are shapes and axes


def onnx_in_precision(
    model: bytes, precision: str, calibration: Sequence[Float32Array] | None = None
) -> bytes:
    """A float32 ONNX model in another precision.

    Args:
        model: Content of an ONNX file with one input, all float32.
        precision: A precision other than `fp32`.
        calibration: Inputs of the model, each of the input's shape, for `int8-full`.

    Returns:
        Content of the ONNX file, with the same float32 input and outputs.

    Raises:
        ExportError: The model is no ONNX file or is quantised already, there are too few
            calibration inputs or they do not fit, a tool of ONNX Runtime failed, or an operator
            stayed float; it is then named.
    """
    found = [name for name in onnx_tensor_types(model) if name not in _UNQUANTISED]
    if found:
        raise ExportError(
            f"the model is quantised already: it holds tensors of type {', '.join(found)}; take "
            "the float32 model",
            settings=["precision"],
        )
    if precision == FP16:
        data = _in_fp16(model)
    elif precision == INT8:
        data = _dynamic(model)
    else:
        data = _static(model, check_images(calibration, _input_shape(model), precision))
    _check(data, precision)
    return data


def onnx_tensor_types(data: bytes) -> dict[str, int]:
    """Number of constants of each type, such as `FLOAT`, the most frequent first.

    Raises:
        ExportError: The data is no ONNX model.
    """
    import onnx

    types = Counter(
        onnx.TensorProto.DataType.Name(constant.data_type)
        for constant in _loaded(data).graph.initializer
    )
    return dict(types.most_common())


def _in_fp16(model: bytes) -> bytes:
    with converting("onnxruntime's float16 tool"):
        from onnxruntime.transformers.float16 import convert_float_to_float16

        data: bytes = convert_float_to_float16(
            _loaded(model), keep_io_types=True
        ).SerializeToString()
    return data


def _dynamic(model: bytes) -> bytes:
    with converting("onnxruntime's quantiser"), tempfile.TemporaryDirectory() as folder:
        from onnxruntime.quantization import quantize_dynamic

        path = Path(folder) / "model.onnx"
        float_model = _loaded(model)
        del float_model.graph.value_info[:]  # the quantiser turns weights round, not their shapes
        quantize_dynamic(float_model, path, op_types_to_quantize=list(_LINEAR), per_channel=True)
        return path.read_bytes()


def _static(model: bytes, images: list[Float32Array]) -> bytes:
    with converting("onnxruntime's quantiser"), tempfile.TemporaryDirectory() as folder:
        from onnxruntime.quantization import QuantType, quantize_static

        path = Path(folder) / "model.onnx"
        quantize_static(
            _loaded(model),
            path,
            _Reader(_loaded(model).graph.input[0].name, images),
            op_types_to_quantize=list(_PRODUCTS),
            per_channel=True,
            activation_type=QuantType.QUInt8,  # on x86 with signed weights: signed ones are slower
            weight_type=QuantType.QInt8,
        )
        return path.read_bytes()


class _Reader:
    """Gives calibration images to ONNX Runtime one by one, by its `CalibrationDataReader`."""

    def __init__(self, name: str, images: list[Float32Array]) -> None:
        self._inputs = ({name: image} for image in images)

    def get_next(self) -> dict[str, Float32Array] | None:
        """The next image by the input's name; None after the last one."""
        return next(self._inputs, None)


def _check(data: bytes, precision: str) -> None:
    """Check that a quantised model is what it was to become.

    Raises:
        ExportError: An operator with weights stayed float, or input or outputs are not float32.
    """
    import onnx

    graph = _loaded(data).graph
    types = {c.name: onnx.TensorProto.DataType.Name(c.data_type) for c in graph.initializer}
    sources = {output: node for node in graph.node for output in node.output}
    reached = {FP16: _PRODUCTS, INT8: _LINEAR, INT8_FULL: _PRODUCTS}[precision]
    wanted = "FLOAT16" if precision == FP16 else "INT8"
    stayed = []
    for node in graph.node:
        if node.op_type in reached:
            kind = types.get(_stored(node.input[1], sources))
            if kind not in (wanted, None):
                stayed.append(f"{node.op_type} {node.name!r}")
    if stayed:
        raise ExportError(
            f"precision {precision}: {', '.join(stayed[:3])} stayed float32 in the file; try "
            "precision fp16, or another format",
            settings=["precision", "format"],
        )
    for value in (*graph.input, *graph.output):
        kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
        if kind != "FLOAT":
            raise ExportError(
                f"precision {precision}: {value.name!r}, an input or output of the model, became "
                f"{kind}; it must stay FLOAT",
                settings=["precision"],
            )
    if wanted not in types.values():
        raise ExportError(
            f"precision {precision}: no weights of the file became {wanted}; try another format",
            settings=["precision", "format"],
        )


def _stored(name: str, sources: dict[str, Any]) -> str:
    """Name of the constant behind a node's weights, through what reads or turns it."""
    while name in sources and sources[name].op_type in ("DequantizeLinear", "Transpose", "Cast"):
        name = sources[name].input[0]
    return name


def _input_shape(model: bytes) -> tuple[int, ...]:
    dims = _loaded(model).graph.input[0].type.tensor_type.shape.dim
    return tuple(int(dim.dim_value) for dim in dims)


def _loaded(data: bytes) -> Any:
    """The model as ONNX's object.

    Raises:
        ExportError: The data is no ONNX model.
    """
    with converting("reading the ONNX model"):
        import onnx

        return onnx.load_from_string(data)
