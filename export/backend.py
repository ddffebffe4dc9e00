"""Formats to export to, behind one interface.

A format is a `Backend` under a name. Those of this project stand in `FORMATS`; any other package
adds its own through an entry point of the group `elasticvit.formats`, whose name is the name of
the format and whose value is the backend's class:

    [project.entry-points."elasticvit.formats"]
    coreml = "my_package.coreml:CoreMLBackend"

Parity, bundle and flow take it as it is; `elasticvit.testing.export_format` holds the tests that
it must pass. Modules load when their format is used, so that a missing library hurts nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol

from elasticvit.arrays import Float32Array
from elasticvit.errors import ExportError
from elasticvit.plugins import FORMATS as PLUGINS
from elasticvit.plugins import declared_by, load_plugin, plugin_names

if TYPE_CHECKING:
    from elasticvit.nn import Subnet


class LoadedModel(Protocol):
    """An exported model in a runtime, for comparison with torch."""

    def __call__(self, image: Float32Array) -> Float32Array:
        """Logits (classes,) of one normalised image (1, R, R, channels)."""
        ...


class Backend(Protocol):
    """One way of turning a subnet into a file; made without arguments.

    Attributes:
        name: Name of the format.
        suffix: Suffix of its files, with the dot.
        tflite: Whether the file is a TFLite model, which devices can time.
    """

    name: str
    suffix: str
    tflite: bool

    def convert(self, subnet: Subnet) -> bytes:
        """Content of the model's file; the subnet stays as it is.

        The model takes one normalised float32 image (1, R, R, channels), with the subnet's
        resolution R, and gives float32 logits (1, classes).

        Args:
            subnet: The subnet, on the CPU in evaluation mode.

        Raises:
            ExportError: The converter failed, or is not installed.
        """
        ...

    def load(self, data: bytes) -> LoadedModel:
        """The model in the reference runtime of this format, on one thread.

        Args:
            data: Content of the model's file.

        Raises:
            ExportError: The data is no model of this format.
        """
        ...

    def versions(self) -> dict[str, str]:
        """Versions of the libraries that took part, by distribution."""
        ...


class PreciseBackend(Backend, Protocol):
    """A backend whose files there are in every precision of `elasticvit.precisions`, not only in
    fp32. Another package's may be one.

    Attributes:
        quantiser: Distribution that takes files to other precisions.
    """

    quantiser: str

    def in_precision(
        self, data: bytes, precision: str, calibration: Sequence[Float32Array] | None
    ) -> bytes:
        """A float32 file that `convert` made in another precision, with the same input and output.

        Args:
            data: Content of the file.
            precision: The precision; not fp32.
            calibration: Images, each as the model takes it, from which the ranges of activations
                are known; None if the precision needs none.

        Raises:
            ExportError: It cannot be done, or something stayed float32.
        """
        ...

    def tensor_types(self, data: bytes) -> dict[str, int]:
        """Number of tensors of each type in a file, the most frequent first."""
        ...


FORMATS: Mapping[str, str] = {
    "tflite": "export.direct:DirectBackend",
    "tflite-litert-torch": "export.litert:LiteRTBackend",
    "tflite-onnx2tf": "export.onnx2tf:Onnx2TFBackend",
    "onnx": "export.onnx:OnnxBackend",
}
RENAMED = {"tflite-direct": "tflite"}  # formats of earlier versions, which cards may name
MEMBERS = ("suffix", "tflite", "convert", "load", "versions")


def format_names() -> tuple[str, ...]:
    """Names of all formats, those of other packages last; nothing is loaded."""
    return (*FORMATS, *(name for name in plugin_names(PLUGINS) if name not in FORMATS))


def find_backend(name: str) -> Backend:
    """The backend of a format.

    Args:
        name: Name of the format.

    Raises:
        ExportError: There is no such format, two packages define it, or the backend of another
            package cannot be loaded.
    """
    own = "a format of elasticvit itself" if name in FORMATS else None
    made: Callable[[], Backend] | None = load_plugin(PLUGINS, name, ExportError, built_in=own)
    if made is not None:
        return _checked(name, made)
    if name in RENAMED:
        raise ExportError(
            f"format {name} is called {RENAMED[name]} now; name that", settings=["format"]
        )
    if name not in FORMATS:
        raise ExportError(
            f"no format {name!r}; formats are {', '.join(format_names())}", settings=["format"]
        )
    module, _, attribute = FORMATS[name].partition(":")
    backend: Backend = getattr(import_module(module), attribute)()
    return backend


def backend_of_card(name: str) -> Backend:
    """The backend of a file that lies there, by the name of its format in the file's card, which
    an earlier version may have written. Raises as `find_backend` does."""
    return find_backend(RENAMED.get(name, name))


def format_of_suffix(suffix: str) -> str:
    """The first format whose files have a suffix, those of this project first.

    Args:
        suffix: The suffix, with its dot.

    Raises:
        ExportError: No format has it.
    """
    broken = []
    for name in format_names():
        try:
            if find_backend(name).suffix == suffix:
                return name
        except ExportError as error:  # of another package, which may have nothing to do with it
            broken.append(str(error))
    raise ExportError(
        "; ".join([f"no format makes {suffix or 'files without a suffix'}", *broken])
        + f"; name one of {', '.join(format_names())}",
        settings=["format", "out"],
    )


def _checked(name: str, made: Callable[[], Backend]) -> Backend:
    """The backend that another package's class makes.

    Raises:
        ExportError: It cannot be made, or members of a backend are missing.
    """
    origin = " and ".join(declared_by(PLUGINS, name))
    try:
        backend = made()
    except Exception as error:  # other people's code raises anything; the cause is named
        raise ExportError(
            f"format {name!r} of {origin} cannot be made: {type(error).__name__}: {error}; mend or "
            "uninstall that package",
            settings=["format"],
        ) from error
    missing = [member for member in MEMBERS if not hasattr(backend, member)]
    if missing or getattr(backend, "name", None) != name:
        what = f"has no {', '.join(missing)}" if missing else "has another name"
        raise ExportError(
            f"format {name!r} of {origin} is no export backend: its class {what}; mend or "
            "uninstall that package",
            settings=["format"],
        )
    return backend


def library_versions(*names: str) -> dict[str, str]:
    """Installed versions of distributions, by name; those that are absent are left out."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
