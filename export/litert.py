"""TFLite by litert-torch, torch's own exporter to LiteRT."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from elasticvit.arrays import Float32Array
from elasticvit.errors import ExportError
from elasticvit.kernels import FirstConv, Kernel, MBConv
from export.backend import library_versions
from export.kernel_models import input_shape
from export.quiet import converting

if TYPE_CHECKING:
    from torch import nn

    from elasticvit.nn import Subnet


class LiteRTModel:
    """A TFLite model in LiteRT with the XNNPACK delegate, on one thread.

    Args:
        data: Content of the TFLite file.

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

    def __call__(self, image: Float32Array) -> Float32Array:
        """Logits (classes,) of one normalised image (1, R, R, channels)."""
        self._interpreter.set_tensor(self._input, image)
        self._interpreter.invoke()
        logits: Float32Array = self._interpreter.get_tensor(self._output)
        return logits[0]


class TFLiteFiles:
    """What the backends of TFLite files have in common: runtime and precisions."""

    suffix, tflite, quantiser = ".tflite", True, "ai-edge-quantizer"

    def load(self, data: bytes) -> LiteRTModel:
        return LiteRTModel(data)

    def in_precision(
        self, data: bytes, precision: str, calibration: Sequence[Float32Array] | None
    ) -> bytes:
        from export.precision import in_precision

        return in_precision(data, precision, calibration)

    def tensor_types(self, data: bytes) -> dict[str, int]:
        from export.precision_check import tensor_types

        return tensor_types(data)


class LiteRTBackend(TFLiteFiles):
    """The fused subnet with a channels-last input through litert-torch."""

    name = "tflite-litert-torch"

    def convert(self, subnet: Subnet) -> bytes:
        resolution, channels = subnet.resolution, subnet.in_chans
        return _converted(subnet, (1, resolution, resolution, channels), map_output=False)

    def versions(self) -> dict[str, str]:
        return library_versions("torch", "litert-torch", "ai-edge-litert")


def convert_kernel(kernel: Kernel, block: nn.Module) -> bytes:
    """The TFLite model that litert-torch makes of a kernel's static block.

    `export.kernel_models` is tested against it; input and output shapes are the same.

    Args:
        kernel: The kernel, which gives the input shape.
        block: The static block of the kernel.

    Raises:
        ExportError: The converter failed, or is not installed.
    """
    maps = isinstance(kernel, (FirstConv, MBConv))
    return _converted(block, input_shape(kernel), map_output=maps)


def _converted(network: nn.Module, shape: tuple[int, ...], *, map_output: bool) -> bytes:
    """The TFLite file of a network, fused and converted by litert-torch.

    Args:
        network: The network, in evaluation mode.
        shape: Shape of the input: an image or feature map (1, H, W, C), or tokens (1, n, width).
        map_output: Whether the output is a feature map, which is then (1, H, W, C) as well.
    """
    import torch

    from export.deployed import deployed

    _check_installed()
    with converting("litert-torch"), tempfile.TemporaryDirectory() as folder:
        import litert_torch

        network = deployed(network)
        if len(shape) == 4:
            network = litert_torch.to_channel_last_io(
                network, args=[0], outputs=[0] if map_output else None
            )
        path = Path(folder) / "model.tflite"
        litert_torch.convert(network.eval(), (torch.zeros(shape),)).export(str(path))
        return path.read_bytes()


def _check_installed() -> None:
    """Check that the converter is there, which has no release for every computer.

    Raises:
        ExportError: It is not installed.
    """
    if find_spec("litert_torch") is None:
        raise ExportError(
            "format tflite-litert-torch needs litert-torch, which is not installed; run "
            '`pip install "elasticvit[litert-torch]"` (there is no release for Linux on arm64), or '
            "use format tflite for a subnet of this project, or onnx",
            settings=["format"],
        )
