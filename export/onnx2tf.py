"""TFLite by way of ONNX and onnx2tf, for comparison with the other ways.

onnx2tf and TensorFlow come with the extra `onnx2tf`. Its files run in several partitions of
the CPU delegate where litert-torch's run in one, so this is not the default.
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
                non_verbose=True,
            )
            return (folder / "out" / "model_float32.tflite").read_bytes()

    def versions(self) -> dict[str, str]:
        return library_versions("torch", "onnx", "onnx2tf", "tensorflow", "ai-edge-litert")


def _replacements(model: bytes) -> dict[str, Any]:
    """Axes that onnx2tf would take for others where lengths are equal: attention scores are
    square, and a map may have as many tokens as a head has channels."""
    import onnx

    operations = []
    for node in onnx.load_from_string(model).graph.node:
        values: Any = None
        if node.op_type == "Softmax":
            name, values = "axis", 2
        elif node.op_type == "Transpose":
            name, values = "perm", list(node.attribute[0].ints)
            if len(values) != 3:  # those of maps are what onnx2tf is good at
                continue
        if values is not None:
            operations.append(
                {
                    "op_name": node.name,
                    "param_target": "attributes",
                    "param_name": name,
                    "values": values,
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
