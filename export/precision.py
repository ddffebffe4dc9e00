"""Precisions of an exported model: what its weights are stored in and its arithmetic runs in.

`in_precision` takes a float32 TFLite file to any of them by ai-edge-quantizer. Whatever the
precision, the model takes the same float32 image and gives float32 logits, and the CPU delegate
(XNNPACK) takes it in no more pieces than before; `export.precision_check` reads both back from the
file.

Which operators are computed in 8 bits is decided by what the delegate has for them:

- `int8` leaves depthwise convolutions and the first convolution, which reads the image, in float32
  (`export.float_layers` has the reasons).
- `int8-full` computes convolutions, depthwise ones and the padding before them, and fully connected
  layers in 8 bits. The delegate has no 8-bit hard swish, softmax, product of matrices, reciprocal
  square root or average pooling, so these and with them norms, attention products and residual
  sums stay float32. Each would split the model; residual sums would not, but gain nothing that can
  be measured, and lose accuracy.

In all but fp32 large constants that are no weights, the position biases, are stored in 16 bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from elasticvit.arrays import Float32Array
from elasticvit.errors import ExportError
from elasticvit.precisions import FP16, FP32, INT8, INT8_FULL, PRECISIONS
from elasticvit.reading import shown
from export.calibration import CALIBRATED, activation_ranges, check_images
from export.flatbuffer import AlignedBuffer, packed, unpacked
from export.float_layers import stays_float
from export.half_constants import halve_constants
from export.inspect import operator_name
from export.precision_check import check_float, check_precision
from export.quiet import converting

DESCRIPTIONS: Mapping[str, str] = {
    FP32: "weights and arithmetic in 32 bits",
    FP16: "weights in 16 bits; arithmetic in 16 bits where the CPU has it (ARMv8.2), "
    "elsewhere in 32",
    INT8: "weights in 8 bits, but for depthwise convolutions and the one that reads the image; "
    "activations are brought to 8 bits while the model runs",
    INT8_FULL: "weights and activations of convolutions and linear layers in 8 bits, their "
    "ranges fixed by calibration images",
}

REDUCED_PRECISION = "reduced_precision_support"  # metadata that XNNPACK reads
FP16_ARITHMETIC = b"fp16accfp16"  # its value for products and sums in 16 bits
_SIGNATURE, _INPUT = b"serving_default", b"args_0"
_DYNAMIC = ("CONV_2D", "FULLY_CONNECTED")
_STATIC = (*_DYNAMIC, "DEPTHWISE_CONV_2D", "PAD")


def check_known(precision: str) -> None:
    """Check that there is a precision of this name.

    Raises:
        ExportError: There is none.
    """
    if precision not in PRECISIONS:
        raise ExportError(
            f"precision is {shown(precision)}; it must be one of {', '.join(PRECISIONS)}",
            settings=["precision"],
        )


def in_precision(
    model: bytes, precision: str, calibration: Sequence[Float32Array] | None = None
) -> bytes:
    """A float32 TFLite model in another precision.

    Args:
        model: Content of a TFLite file with one input, all float32: of a network or of kernels.
        precision: One of `PRECISIONS`; `fp32` gives the file back as it is.
        calibration: Inputs of the model, each of the input's shape, from whose activations
            `int8-full` takes its ranges; at least
            `calibration.LEAST_IMAGES`. Other precisions ignore it.

    Returns:
        Content of the TFLite file, with the same float32 input and outputs, and all constants
        inside the flatbuffer.

    Raises:
        ExportError: There is no such precision, the model is no TFLite file or is quantised
            already, there are too few calibration inputs or they do not fit, the quantiser failed,
            or an operator stayed float or fell out of the CPU delegate; it is then named.
    """
    check_known(precision)
    if precision == FP32:
        return model
    check_float(model)
    prepared = unpacked(model)
    if precision in CALIBRATED:
        calibration = check_images(calibration, _input_shape(prepared), precision)
    data = _quantised(prepared, precision, calibration)
    with converting("reading the model back"):  # the runtime announces its delegate
        check_precision(model, data, precision)
    return data


def _quantised(prepared: Any, precision: str, calibration: Sequence[Float32Array] | None) -> bytes:
    with converting("ai-edge-quantizer"):
        from ai_edge_quantizer.quantizer import Quantizer

        recipe = _recipe(precision, prepared)
        signature = _signature(prepared)
        data = packed(prepared)
        ranges = None
        if precision in CALIBRATED and calibration is not None:
            ranges = activation_ranges(prepared, data, recipe, signature, list(calibration))
            data = packed(prepared)
        result = Quantizer(bytearray(data), recipe.get_quantization_recipe()).quantize(
            ranges, enable_progress_bar=False, enable_progress_report=False
        )
        finished = unpacked(bytes(result.quantized_model))
    halve_constants(finished)
    if precision == FP16:
        _allow_fp16_arithmetic(finished)
    return packed(finished)


def _recipe(precision: str, model: Any) -> Any:
    """The quantiser's recipe of a precision for a model; operators that it does not name stay
    float32."""
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.recipe_manager import RecipeManager

    recipe = RecipeManager()
    if precision == FP16:
        recipe.add_weight_only_config(
            ".*",
            TFLOperationName.ALL_SUPPORTED,
            num_bits=16,
            algorithm_key=AlgorithmName.FLOAT_CASTING,
        )
    for name in _DYNAMIC if precision == INT8 else ():
        recipe.add_dynamic_config(".*", TFLOperationName(name), num_bits=8)
        for scope in _float_scopes(model, name):
            recipe.add_quantization_config(
                scope, TFLOperationName(name), algorithm_key=AlgorithmName.NO_QUANTIZE
            )
    for name in _STATIC if precision == INT8_FULL else ():
        recipe.add_static_config(
            ".*", TFLOperationName(name), activation_num_bits=8, weight_num_bits=8
        )
    return recipe


def _float_scopes(model: Any, name: str) -> Iterator[str]:
    """What matches the quantiser's names of those operators of a kind that stay float32."""
    from ai_edge_quantizer.utils.tfl_flatbuffer_utils import get_op_scope

    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator_name(model, operator) != name:
                continue
            if stays_float(name, graph.tensors[operator.inputs[1]].shape):
                yield f"^{re.escape(get_op_scope(operator, graph.tensors))}$"


def _signature(model: Any) -> tuple[str, str]:
    """Names of the signature and of its input, by which the quantiser calibrates; a model without
    any is given them."""
    if not model.signatureDefs:
        graph = model.subgraphs[0]
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = _SIGNATURE, 0
        signature.inputs = [_named(_INPUT, graph.inputs[0])]
        signature.outputs = [_named(b"output_%d" % i, t) for i, t in enumerate(graph.outputs)]
        model.signatureDefs = [signature]
    first = model.signatureDefs[0]
    return first.signatureKey.decode(), first.inputs[0].name.decode()


def _named(name: bytes, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, int(tensor)
    return entry


def _allow_fp16_arithmetic(model: Any) -> None:
    """Tell XNNPACK in the model's metadata that it may compute in 16 bits. It does so on CPUs that
    have this arithmetic, with all operators and with sums in 16 bits; others ignore it."""
    buffer = AlignedBuffer()
    buffer.data = np.frombuffer(FP16_ARITHMETIC, np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = REDUCED_PRECISION.encode(), len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def _input_shape(model: Any) -> tuple[int, ...]:
    graph = model.subgraphs[0]
    return tuple(int(n) for n in graph.tensors[graph.inputs[0]].shape)
