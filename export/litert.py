"""TFLite by litert-torch, torch's own exporter to LiteRT."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import ExportError
from elasticvit.kernels import FirstConv, Kernel, MBConv
from export.backend import FloatArray, library_versions
from export.kernel_models import input_shape
from export.quiet import converting

if TYPE_CHECKING:
    from torch import nn

    from elasticvit.nn import Subnet


class LiteRTRunner:
    """A TFLite model in LiteRT with the XNNPACK delegate, on one thread.

    Raises:
        ExportError: LiteRT refuses the model.
    """

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            with converting("loading the model in LiteRT"):  # it announces its delegate
                self._interpreter = Interpreter(model_content=data, num_threads=1)
                self._interpreter.allocate_tensors()
        except ExportError as error:
            raise ExportError(f"LiteRT refuses the exported model: {error}") from error
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def __call__(self, image: FloatArray) -> FloatArray:
        self._interpreter.set_tensor(self._input, image)
        self._interpreter.invoke()
        logits: FloatArray = self._interpreter.get_tensor(self._output)
        return logits[0]


class LiteRTBackend:
    """The fused subnet with a channels-last input through litert-torch."""

    name, suffix, tflite = "tflite", ".tflite", True

    def convert(self, subnet: Subnet) -> bytes:
        resolution, channels = subnet.arch.resolution, subnet.layout.in_channels
        return _converted(subnet, (1, resolution, resolution, channels), map_output=False)

    def load(self, data: bytes) -> LiteRTRunner:
        return LiteRTRunner(data)

    def versions(self) -> dict[str, str]:
        return library_versions("torch", "litert-torch", "ai-edge-litert")


def convert_kernel(kernel: Kernel, block: nn.Module) -> bytes:
    """The TFLite model that litert-torch makes of a kernel's static block.

    It is what `export.kernel_models` is measured by; input and output shapes are the same.
    """
    maps = isinstance(kernel, (FirstConv, MBConv))
    return _converted(block, input_shape(kernel), map_output=maps)


def _converted(network: nn.Module, shape: tuple[int, ...], *, map_output: bool) -> bytes:
    """A fused network through litert-torch; maps (B, H, W, C) go in, and out if they do."""
    import torch

    from elasticvit.nn.fuse import fused

    with converting("litert-torch"), tempfile.TemporaryDirectory() as folder:
        import litert_torch

        network = fused(network)
        if len(shape) == 4:
            network = litert_torch.to_channel_last_io(
                network, args=[0], outputs=[0] if map_output else None
            )
        path = Path(folder) / "model.tflite"
        litert_torch.convert(network.eval(), (torch.zeros(shape),)).export(str(path))
        return path.read_bytes()
