"""ONNX by torch's exporter, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from elasticvit.arrays import Float32Array
from elasticvit.nn import Subnet
from export.backend import library_versions
from export.deployed import deployed
from export.quiet import converting

INPUT, OUTPUT = "image", "logits"


class OnnxModel:
    """An ONNX model in ONNX Runtime on one CPU thread.

    Args:
        data: Content of the ONNX file.

    Raises:
        ExportError: ONNX Runtime refuses the model.
    """

    def __init__(self, data: bytes) -> None:
        with converting("loading the model in ONNX Runtime"):
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )

    def __call__(self, image: Float32Array) -> Float32Array:
        """Logits (classes,) of one normalised image (1, R, R, channels)."""
        (logits,) = self._session.run([OUTPUT], {INPUT: image})
        row: Float32Array = logits[0]
        return row


class OnnxBackend:
    """The fused subnet with a channels-last input through `torch.onnx`."""

    name, suffix, tflite, quantiser = "onnx", ".onnx", False, "onnxruntime"

    def convert(self, subnet: Subnet) -> bytes:
        resolution, channels = subnet.resolution, subnet.in_chans
        with converting("torch.onnx"):
            program = torch.onnx.export(
                ChannelsLast(deployed(subnet)).eval(),
                (torch.zeros(1, resolution, resolution, channels),),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            data: bytes = program.model_proto.SerializeToString()
        return data

    def load(self, data: bytes) -> OnnxModel:
        return OnnxModel(data)

    def in_precision(
        self, data: bytes, precision: str, calibration: Sequence[Float32Array] | None
    ) -> bytes:
        from export.onnx_precision import onnx_in_precision

        return onnx_in_precision(data, precision, calibration)

    def tensor_types(self, data: bytes) -> dict[str, int]:
        from export.onnx_precision import onnx_tensor_types

        return onnx_tensor_types(data)

    def versions(self) -> dict[str, str]:
        return library_versions("torch", "onnx", "onnxscript", "onnxruntime")


class ChannelsLast(nn.Module):
    """A network that takes images (B, H, W, C), around one that takes images (B, C, H, W).

    Args:
        network: Takes images (B, C, H, W), gives logits (B, classes).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images.permute(0, 3, 1, 2))
        return logits
