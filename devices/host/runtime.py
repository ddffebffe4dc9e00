"""The TFLite runtime of this computer: its interpreter, its name, and models loaded into it."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np


def load_interpreter() -> tuple[Any, str]:
    """Class of the interpreter, and name of the runtime with its version.

    Raises:
        ImportError: No runtime is installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter, f"LiteRT {version('ai-edge-litert')} (XNNPACK)"
    except (ImportError, PackageNotFoundError) as first:
        try:
            from tflite_runtime.interpreter import Interpreter  # type: ignore[import-not-found]
        except ImportError:
            raise first from None
        return Interpreter, f"TensorFlow Lite {version('tflite-runtime')} (XNNPACK)"


def library_hash(package: str) -> str:
    """SHA-256 of the largest shared library that was loaded from a package's folder."""
    folder = str(Path(sys.modules[package].__file__ or "").resolve().parent)
    maps = Path("/proc/self/maps").read_text().splitlines()
    loaded = {line.split(maxsplit=5)[5] for line in maps if len(line.split(maxsplit=5)) == 6}
    libraries = [Path(path) for path in loaded if path.startswith(folder) and ".so" in path]
    largest = max(libraries, key=lambda path: path.stat().st_size)
    return hashlib.sha256(largest.read_bytes()).hexdigest()


def fill_inputs(interpreter: Any) -> None:
    """Set every input to fixed random values of its type."""
    rng = np.random.default_rng(0)
    for tensor in interpreter.get_input_details():
        shape, dtype = tensor["shape"], np.dtype(tensor["dtype"])
        if dtype.kind == "f":
            value = rng.standard_normal(shape).astype(dtype)
        elif dtype.kind == "b":
            value = rng.integers(0, 2, shape).astype(dtype)
        else:
            low, high = (0, 127) if dtype.kind == "i" else (0, 255)
            value = rng.integers(low, high, shape).astype(dtype)
        interpreter.set_tensor(tensor["index"], value)


def prepare(interpreter_class: Any, data: bytes, cores: Sequence[int], threads: int) -> Any:
    """An interpreter of a model as `load` makes it, with its inputs set."""
    interpreter = load(interpreter_class, data, cores, threads)
    fill_inputs(interpreter)
    return interpreter


def load(interpreter_class: Any, data: bytes, cores: Sequence[int], threads: int) -> Any:
    """Create an interpreter of a model, and pin this process to cores.

    Args:
        interpreter_class: Class of the runtime's interpreter.
        data: TFLite flatbuffer.
        cores: Numbers of the cores to run on; empty to not pin.
        threads: Number of inference threads.

    Raises:
        Exception: Whatever the runtime raises if it refuses the model.
    """
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)  # before the runtime makes threads: they inherit it
    interpreter = interpreter_class(model_content=data, num_threads=threads)
    interpreter.allocate_tensors()
    return interpreter
