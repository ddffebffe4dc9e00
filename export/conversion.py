"""Conversion and loading by any backend: whatever it raises becomes one `ExportError`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from elasticvit.errors import EvitError, ExportError
from elasticvit.precisions import FP32, PRECISIONS
from elasticvit.reading import shown
from export.backend import library_versions
from export.quiet import cause_of

if TYPE_CHECKING:
    from elasticvit.arrays import Float32Array
    from elasticvit.nn import Subnet
    from elasticvit.nn.timm_network import TimmNetwork
    from export.backend import Backend, LoadedModel, PreciseBackend

ANY_NETWORK = ("tflite-litert-torch", "onnx")  # formats that take networks other than subnets
STAND_INS = {"tflite": "tflite-litert-torch"}  # for networks that a format does not take


def for_any_network(formats: Sequence[str], network: str) -> tuple[str, ...]:
    """The formats that convert a network that is no subnet of this project, for those that were
    asked for: themselves, or their stand-ins.

    Args:
        formats: Names of formats that there are.
        network: Name of the network.

    Raises:
        ExportError: One takes subnets alone and has no stand-in, or is the stand-in of another.
    """
    found = tuple(STAND_INS.get(name, name) for name in formats)
    for name in found:
        if name not in ANY_NETWORK:
            raise ExportError(
                f"format {name} takes subnets of this project alone, {network} is none; use format "
                "tflite or onnx",
                settings=["format"],
            )
    if len(set(found)) < len(found):
        raise ExportError(
            f"formats {', '.join(formats)}: of {network}, which is no subnet of this project, "
            "two of these are the same file; name one of them",
            settings=["format"],
        )
    return found


def precisions_of(backend: Backend) -> tuple[str, ...]:
    """The precisions that there are files of a format in."""
    return PRECISIONS if _is_precise(backend) else (FP32,)


def check_takes(backend: Backend, precision: str) -> None:
    """Check that there are files of a format in a precision.

    Raises:
        ExportError: The format is another package's and knows fp32 only.
    """
    if precision != FP32 and not _is_precise(backend):
        raise ExportError(
            f"format {backend.name} makes {FP32} files only, precision is {precision}; name "
            f"precision {FP32}, or a format that takes it, such as tflite",
            settings=["precision", "format"],
        )


def convert(
    backend: Backend,
    subnet: Subnet | TimmNetwork,
    precision: str = FP32,
    calibration: Sequence[Float32Array] | None = None,
) -> bytes:
    """Content of the model's file.

    Args:
        backend: The format.
        subnet: The subnet or other network (see `for_any_network`), on the CPU in evaluation mode;
            it stays as it is.
        precision: Precision of the file.
        calibration: Images for a precision that needs them, each as the model takes it.

    Raises:
        ExportError: The converter failed; the message names the format, the cause and another
            format to try.
        FileError: The converter cannot write its temporary files.
    """
    other = None if subnet.arch is not None else "onnx" if backend.tflite else "tflite"
    with _failures(backend, "cannot convert this network", other), _blaming(subnet):
        data = backend.convert(cast("Subnet", subnet))
        if not isinstance(data, bytes) or not data:
            raise TypeError(f"its converter gave {shown(data)} instead of a file's content")
    return data if precision == FP32 else in_precision(backend, data, precision, calibration)


def in_precision(
    backend: Backend,
    data: bytes,
    precision: str,
    calibration: Sequence[Float32Array] | None = None,
) -> bytes:
    """A float32 file of a format in another precision.

    Args:
        backend: The format.
        data: Content of the float32 file.
        precision: Precision, not fp32.
        calibration: Images for a precision that needs them, each as the model takes it.

    Raises:
        ExportError: The format has no such files, or it cannot be done; see `convert`.
    """
    check_takes(backend, precision)
    with _failures(backend, f"cannot be taken to precision {precision}"):
        return cast("PreciseBackend", backend).in_precision(data, precision, calibration)


def load(backend: Backend, data: bytes) -> LoadedModel:
    """The model in the reference runtime of its format.

    Args:
        backend: The format.
        data: Content of the model's file.

    Raises:
        ExportError: The runtime refuses the model; the message names the format, the cause and
            another format to try.
    """
    with _failures(backend, "made a file that its runtime refuses"):
        return backend.load(data)


def inspect(backend: Backend, data: bytes) -> tuple[dict[str, int], int | None]:
    """Number of each operator of a model, by name, and number of pieces that the CPU delegate takes
    it in; nothing and None if it is no TFLite model.

    Raises:
        ExportError: The file claims to be a TFLite model and is none; see `load`.
    """
    if not backend.tflite:
        return {}, None
    from export.inspect import delegation, operator_counts

    with _failures(backend, "made a file that is not a TFLite model"):
        return operator_counts(data), delegation(data).partitions


def undelegated(backend: Backend, data: bytes) -> dict[str, int]:
    """Number of each operator that the CPU delegate leaves to slower kernels, by name; nothing if
    the file is no TFLite model. Raises as `inspect` does."""
    if not backend.tflite:
        return {}
    from export.inspect import delegation

    with _failures(backend, "made a file that is not a TFLite model"):
        return delegation(data).left


def tensor_types(backend: Backend, data: bytes) -> dict[str, int]:
    """Number of tensors of each type in a file; nothing for a format that does not tell.

    Raises:
        ExportError: The file is none of its format; see `load`.
    """
    if not _is_precise(backend):
        return {}
    with _failures(backend, "made a file that cannot be read back"):
        return cast("PreciseBackend", backend).tensor_types(data)


def versions(backend: Backend, precision: str) -> dict[str, str]:
    """Versions of the libraries that made a file in a precision, by distribution."""
    quantiser = [] if precision == FP32 else [cast("PreciseBackend", backend).quantiser]
    return {**backend.versions(), **library_versions(*quantiser)}


def _is_precise(backend: Any) -> bool:
    return all(hasattr(backend, name) for name in ("in_precision", "tensor_types", "quantiser"))


@contextmanager
def _blaming(network: Subnet | TimmNetwork) -> Iterator[None]:
    """Add to the error of a converter which module it failed at, where it is no block of ours."""
    try:
        yield
    except ExportError as error:
        if network.arch is not None:
            raise
        from export.blame import blamed_module

        where = blamed_module(network.deployed(), network.example(), error.__cause__)
        raise ExportError(f"{error}{where and ', '}{where}") from error


@contextmanager
def _failures(backend: Backend, what: str, other: str | None = None) -> Iterator[None]:
    try:
        yield
    except EvitError as error:
        if not isinstance(error, ExportError) or error.settings or error.next_step:
            raise  # it says itself what to do
        raise _failure(backend, what, error, other) from error
    except Exception as error:  # converters raise anything
        raise _failure(backend, what, error, other) from error


def _failure(
    backend: Backend, what: str, error: Exception, other: str | None = None
) -> ExportError:
    other = other or STAND_INS.get(backend.name, "tflite")
    return ExportError(
        f"format {backend.name} {what}: {cause_of(error)}; try format {other}",
        settings=["format"],
    )
