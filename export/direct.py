"""TFLite written by this project itself, in a fraction of a second.

The file holds the same operators and weights as litert-torch's and gives the same outputs to
the last bit (`benchmarks/direct_writer.py`, `tests/test_export_direct.py`); the converter needs
about half a minute where this needs a fifth of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elasticvit.kernels import lower
from export.backend import library_versions
from export.kernel_models import from_arrays, network_model
from export.litert import TFLiteFiles

if TYPE_CHECKING:
    from elasticvit.nn import Subnet


class DirectBackend(TFLiteFiles):
    """The fused subnet's weights in the graph of `export.kernel_models`."""

    name = "tflite"

    def convert(self, subnet: Subnet) -> bytes:
        from elasticvit.nn.fuse import fused

        arrays = {name: value.numpy() for name, value in fused(subnet).cpu().state_dict().items()}
        kernels = lower(subnet.arch, subnet.layout)
        return network_model(
            [(kernel, from_arrays(arrays, f"blocks.{i}.")) for i, kernel in enumerate(kernels)],
            norm=subnet.options.norm,
        )

    def versions(self) -> dict[str, str]:
        return library_versions("torch", "elasticvit", "ai-edge-litert")
