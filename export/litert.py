"""TFLite by litert-torch, torch's own exporter to LiteRT."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.errors import ExportError
from export.backend import FloatArray, library_versions
from export.quiet import converting

if TYPE_CHECKING:
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
        import torch

        from elasticvit.nn.fuse import fused

        resolution, channels = subnet.arch.resolution, subnet.layout.in_channels
        with converting("litert-torch"), tempfile.TemporaryDirectory() as folder:
            import litert_torch

            network = litert_torch.to_channel_last_io(fused(subnet), args=[0]).eval()
            example = torch.zeros(1, resolution, resolution, channels)
            path = Path(folder) / "model.tflite"
            litert_torch.convert(network, (example,)).export(str(path))
            data = path.read_bytes()
        return data

    def load(self, data: bytes) -> LiteRTRunner:
        return LiteRTRunner(data)

    def versions(self) -> dict[str, str]:
        return library_versions("torch", "litert-torch", "ai-edge-litert")
