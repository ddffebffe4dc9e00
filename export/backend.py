"""Formats to export to, behind one interface.

A format is a `Backend` under a name in `FORMATS`. To add one, write a module with a class
that has the protocol's members and enter it there; parity, bundle and command take it as it
is. Modules load when their format is used, so a missing library hurts nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from elasticvit.errors import ExportError

if TYPE_CHECKING:
    from elasticvit.nn import Subnet

FloatArray = npt.NDArray[np.float32]


class Runner(Protocol):
    """An exported model, loaded for comparison with torch."""

    def __call__(self, image: FloatArray) -> FloatArray:
        """Logits (classes,) of one normalised image (1, R, R, channels)."""
        ...


class Backend(Protocol):
    """One way of turning a subnet into a file.

    Attributes:
        name: as `--format` takes it.
        suffix: of the file, with its dot.
        tflite: the file is a TFLite model, which devices can time.
    """

    name: str
    suffix: str
    tflite: bool

    def convert(self, subnet: Subnet) -> bytes:
        """The model's file content: input float32 (1, R, R, channels), output (1, classes).

        Raises:
            ExportError: the converter failed, or is not installed.
        """
        ...

    def load(self, data: bytes) -> Runner:
        """The model in this format's reference runtime, on one thread."""
        ...

    def versions(self) -> dict[str, str]:
        """Libraries that took part and their versions."""
        ...


FORMATS: Mapping[str, str] = {
    "tflite": "export.litert:LiteRTBackend",
    "tflite-direct": "export.direct:DirectBackend",
    "tflite-onnx2tf": "export.onnx2tf:Onnx2TFBackend",
    "onnx": "export.onnx:OnnxBackend",
}


def find_backend(name: str) -> Backend:
    """The backend of a format.

    Raises:
        ExportError: no such format; the known ones are named.
    """
    if name not in FORMATS:
        raise ExportError(f"no format {name!r}; formats are {', '.join(FORMATS)}")
    module, _, attribute = FORMATS[name].partition(":")
    backend: Backend = getattr(import_module(module), attribute)()
    return backend


def library_versions(*names: str) -> dict[str, str]:
    """Installed versions of distributions; those that are absent are left out."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
