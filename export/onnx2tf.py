"""TFLite by way of ONNX and onnx2tf, for comparison with the other ways.

onnx2tf and TensorFlow come with the extra `onnx2tf`. Its files have more operators, and it tells
axes by their lengths, so this is not the default.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elasticvit.errors import ExportError
from export.backend import library_versions
from export.litert import TFLiteFiles
from export.onnx import INPUT, OnnxBackend
from export.quiet import converting

if TYPE_CHECKING:
    from elasticvit.nn import Subnet

# onnx2tf downloads this file at run time unless it lies in the working directory. It tells by
# these images which of several axes of one length is which, so they must not be constant.
_CALIBRATION = "calibration_image_sample_data_20x128x128x3_float32.npy"


class Onnx2TFBackend(TFLiteFiles):
    """The ONNX export through onnx2tf."""

    name = "tflite-onnx2tf"

    def convert(self, subnet: Subnet) -> bytes:
        try:
            with converting("onnx2tf"):
                import onnx2tf  # type: ignore[import-not-found,unused-ignore]
        except ExportError as error:
            raise ExportError(
                f"format {self.name} needs libraries that are not installed here "
                f'({error.__cause__}); run `pip install "elasticvit[onnx2tf]"`, or use '
                "format tflite",
                settings=["format"],
            ) from error
        model = OnnxBackend().convert(subnet)
        with _working_folder() as folder, converting("onnx2tf"):
            noise = np.random.default_rng(0).random((20, 128, 128, 3), dtype=np.float32)
            np.save(folder / _CALIBRATION, noise)
            (folder / "model.onnx").write_bytes(model)
            (folder / "replace.json").write_text(json.dumps(_replacements(model)))
            onnx2tf.convert(
                input_onnx_file_path="model.onnx",
                output_folder_path="out",
                keep_shape_absolutely_input_names=[INPUT],  # it is channels last already
                param_replacement_file="replace.json",
                disable_strict_mode=True,  # its search for axes would undo the replacements
                not_use_onnxsim=True,  # a program that renames nodes, if it is on the PATH
                non_verbose=True,
            )
            return (folder / "out" / "model_float32.tflite").read_bytes()

    def versions(self) -> dict[str, str]:
        return library_versions("torch", "onnx", "onnx2tf", "tensorflow", "ai-edge-litert")


def _replacements(model: bytes) -> dict[str, Any]:
    """Axes that onnx2tf would take for others where lengths are equal: attention scores are
    square, and a map may have as many tokens as a token, or a head, has channels."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model)).graph
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    shapes = {
        value.name: [length.dim_value for length in value.type.tensor_type.shape.dim]
        for value in graph.value_info
    }
    products = {node.output[0] for node in graph.node if node.op_type == "MatMul"}
    operations = []
    for node in graph.node:
        found: dict[str, Any] | None = None
        if node.op_type == "Softmax":
            found = {"param_name": "axis", "values": 2}
        elif node.op_type == "Transpose" and len(perm := node.attribute[0].ints) == 3:
            found = {"param_name": "perm", "values": list(perm)}  # those of maps it is good at
        elif node.op_type == "ReduceMean" and len(axes := constants[node.input[1]]) == 1:
            found = {"param_name": "axes", "values": (axes % 3).tolist()}  # those of maps are two
        if found is not None:
            operations.append({"op_name": node.name, "param_target": "attributes", **found})
        if node.op_type == "Reshape" and node.input[0] not in products:
            shape = shapes.get(node.input[0], [])
            if len(shape) == 3 and shape[1] == shape[2]:  # it takes the axes for exchanged
                operations.append(
                    {
                        "op_name": node.name,
                        "param_target": "inputs",
                        "param_name": node.input[0],
                        "pre_process_transpose_perm": [0, 2, 1],
                    }
                )
    return {"format_version": 1, "operations": operations}


@contextlib.contextmanager
def _working_folder() -> Iterator[Path]:
    """A temporary working directory, as onnx2tf reads and writes there."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
