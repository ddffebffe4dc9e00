"""TFLite by way of ONNX and onnx2tf, for comparison with the other ways.

onnx2tf and TensorFlow come with the extra `onnx2tf`. Its files run in several partitions of
the CPU delegate where litert-torch's run in one, so this is not the default.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from elasticvit.errors import ExportError
from export.backend import library_versions
from export.litert import LiteRTRunner
from export.onnx import INPUT, OnnxBackend
from export.quiet import converting

if TYPE_CHECKING:
    from elasticvit.nn import Subnet

# onnx2tf downloads this file at run time unless it lies in the working directory; it checks
# the outputs with it and, without quantisation, does not bring it into the model.
_CALIBRATION = "calibration_image_sample_data_20x128x128x3_float32.npy"


class Onnx2TFBackend:
    """The ONNX export through onnx2tf."""

    name, suffix, tflite = "tflite-onnx2tf", ".tflite", True

    def convert(self, subnet: Subnet) -> bytes:
        try:
            with converting("onnx2tf"):
                import onnx2tf  # type: ignore[import-not-found,unused-ignore]
        except ExportError as error:
            raise ExportError(
                f"format {self.name} needs libraries that are not installed here "
                f'({error.__cause__}); run `pip install "elasticvit[onnx2tf]"`, or use '
                "--format tflite"
            ) from error
        model = OnnxBackend().convert(subnet)
        with _working_folder() as folder, converting("onnx2tf"):
            np.save(folder / _CALIBRATION, np.zeros((20, 128, 128, 3), np.float32))
            (folder / "model.onnx").write_bytes(model)
            onnx2tf.convert(
                input_onnx_file_path="model.onnx",
                output_folder_path="out",
                keep_shape_absolutely_input_names=[INPUT],  # it is channels last already
                non_verbose=True,
            )
            return (folder / "out" / "model_float32.tflite").read_bytes()

    def load(self, data: bytes) -> LiteRTRunner:
        return LiteRTRunner(data)

    def versions(self) -> dict[str, str]:
        return library_versions("torch", "onnx", "onnx2tf", "tensorflow", "ai-edge-litert")


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
