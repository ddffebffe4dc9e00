"""ONNX by torch's exporter, run by ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from export.backend import FloatArray, library_versions
from export.quiet import converting

if TYPE_CHECKING:
    from elasticvit.nn import Subnet

INPUT, OUTPUT = "image", "logits"


class OnnxRunner:
    """An ONNX model in ONNX Runtime on one CPU thread."""

    def __init__(self, data: bytes) -> None:
        with converting("loading the model in ONNX Runtime"):
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )

    def __call__(self, image: FloatArray) -> FloatArray:
        (logits,) = self._session.run([OUTPUT], {INPUT: image})
        row: FloatArray = logits[0]
        return row


class OnnxBackend:
    """The fused subnet with a channels-last input through `torch.onnx`."""

    name, suffix, tflite = "onnx", ".onnx", False

    def convert(self, subnet: Subnet) -> bytes:
        import torch

        from elasticvit.nn.fuse import fused

        resolution, channels = subnet.arch.resolution, subnet.layout.in_channels
        with converting("torch.onnx"):
            program = torch.onnx.export(
                channels_last(fused(subnet)),
                (torch.zeros(1, resolution, resolution, channels),),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            data: bytes = program.model_proto.SerializeToString()
        return data

    def load(self, data: bytes) -> OnnxRunner:
        return OnnxRunner(data)

    def versions(self) -> dict[str, str]:
        return library_versions("torch", "onnx", "onnxscript", "onnxruntime")


def channels_last(network: Any) -> Any:
    """A module that takes images (B, H, W, C) for one that takes (B, C, H, W)."""
    from torch import Tensor, nn

    class ChannelsLast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.network(images.permute(0, 3, 1, 2))
            return logits

    return ChannelsLast().eval()
