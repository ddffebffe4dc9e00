"""What a model's file does in processes of this computer that never saw it: time to load, first and
steady inference, memory.

These are figures of this computer, without the care of a device's timing (`ExportTiming`): no
cores are chosen, and what else runs here counts. They say what an app's start is like, and they
are all there is for a format that no device times.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from elasticvit.errors import ExportError
from elasticvit.files import writing
from elasticvit.reading import Count, Format, Positive, Whole
from export.backend import FORMATS, Backend, library_versions

ROOT = Path(__file__).resolve().parents[1]  # the folder that holds the package `export`
MODULE = "export.fresh_process"
PROCESSES = 3
STEADY_MS = 300.0  # of timed runs in each process
TIMEOUT_S = 300.0
ONNX = ".onnx"


class FreshAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What one process prints (`export.fresh_process`)."""

    load_ms: Positive
    first_ms: Positive
    samples_us: Annotated[tuple[Positive, ...], Meta(min_length=1)]
    baseline_bytes: Count
    memory_bytes: Count


ANSWER: Format[FreshAnswer] = Format(
    kind=FreshAnswer,
    what="the answer of the process that ran the model",
    error=ExportError,
    mend="export again",
)


@dataclass(frozen=True, kw_only=True)
class FreshRun:
    """A model's file in fresh processes of a computer, one after the other.

    Attributes:
        computer: The CPU.
        runtime: Name and version of the runtime.
        threads: Number of inference threads.
        processes: Number of processes.
        load_ms: Time to load the file, the median of the processes; the runtime is imported before.
        first_ms: Time of the first inference, the median of the processes.
        steady_ms: Time of an inference after the first few, the median of all runs.
        low_ms: Median of the fastest process.
        high_ms: Median of the slowest process.
        runs: Number of runs behind `steady_ms`.
        memory_bytes: Most memory that a process held while it loaded and ran the file, less what it
            held before, with the runtime imported; the largest of the processes.
        baseline_bytes: What that process held before.
        cached_load_ms: Time to load the file by LiteRT's compiled model with XNNPACK's packed
            weights in a file that an earlier process wrote, the median of the processes; None if
            the format has no such cache.
        cached_memory_bytes: As `memory_bytes`, with that cache.
    """

    computer: str
    runtime: str
    threads: Whole
    processes: Whole
    load_ms: Positive
    first_ms: Positive
    steady_ms: Positive
    low_ms: Positive
    high_ms: Positive
    runs: Whole
    memory_bytes: Count
    baseline_bytes: Count
    cached_load_ms: Positive | None = None
    cached_memory_bytes: Count | None = None


@dataclass(frozen=True, kw_only=True)
class FreshSamples:
    """A `FreshRun` and the runs behind it.

    Attributes:
        run: The figures.
        samples_us: Time of each run in microseconds, by process.
    """

    run: FreshRun
    samples_us: tuple[tuple[float, ...], ...]


def run_fresh(backend: Backend, data: bytes, shape: Sequence[int], computer: str) -> FreshSamples:
    """Load and run a model's file in fresh processes.

    Args:
        backend: The format.
        data: Content of the file.
        shape: Shape of the input.
        computer: What this computer's CPU is called.

    Raises:
        ExportError: A process fails or does not end.
        FileError: There is no room for a temporary copy of the file.
    """
    kind, runtime = _kind(backend)
    with tempfile.TemporaryDirectory(prefix="elasticvit-") as folder:
        path = Path(folder) / f"model{backend.suffix}"
        with writing(path):
            path.write_bytes(data)
        extra = backend.name if kind == "outside" else "-"
        answers = [_ask(kind, path, extra, shape, STEADY_MS) for _ in range(PROCESSES)]
        cached = _cached(path, shape) if kind == "tflite" else []
    medians = [statistics.median(one.samples_us) / 1e3 for one in answers]
    largest = max(answers, key=lambda one: one.memory_bytes)
    run = FreshRun(
        computer=computer,
        runtime=runtime,
        threads=1,
        processes=len(answers),
        load_ms=statistics.median(one.load_ms for one in answers),
        first_ms=statistics.median(one.first_ms for one in answers),
        steady_ms=statistics.median(us for one in answers for us in one.samples_us) / 1e3,
        low_ms=min(medians),
        high_ms=max(medians),
        runs=sum(len(one.samples_us) for one in answers),
        memory_bytes=largest.memory_bytes,
        baseline_bytes=largest.baseline_bytes,
        cached_load_ms=statistics.median(one.load_ms for one in cached) if cached else None,
        cached_memory_bytes=max((one.memory_bytes for one in cached), default=None),
    )
    return FreshSamples(run=run, samples_us=tuple(one.samples_us for one in answers))


def _kind(backend: Backend) -> tuple[str, str]:
    """How `export.fresh_process` loads a format's files, and the name of the runtime."""
    versions = library_versions("ai-edge-litert", "onnxruntime")
    if backend.tflite and "ai-edge-litert" in versions:
        return "tflite", f"LiteRT {versions['ai-edge-litert']} (XNNPACK)"
    if backend.name in FORMATS and backend.suffix == ONNX:
        return "onnx", f"ONNX Runtime {versions.get('onnxruntime', '')}".rstrip()
    named = ", ".join(f"{name} {version}" for name, version in backend.versions().items())
    return "outside", named or backend.name


def _cached(path: Path, shape: Sequence[int]) -> list[FreshAnswer]:
    """The file loaded with a cache of packed weights; empty if this LiteRT has none, or the
    delegate writes none for this model."""
    cache = path.with_suffix(".cache")
    try:
        _ask("cached", path, str(cache), shape, 0.0)
        if not cache.exists() or not cache.stat().st_size:
            return []
        return [_ask("cached", path, str(cache), shape, 0.0) for _ in range(PROCESSES)]
    except ExportError:  # an earlier LiteRT, or one that takes this model by its interpreter alone
        return []


def _ask(kind: str, path: Path, extra: str, shape: Sequence[int], steady_ms: float) -> FreshAnswer:
    parts = (str(ROOT), *sys.path)  # other packages' formats are found as this process finds them
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(part for part in parts if part),
        "OMP_NUM_THREADS": "1",
    }
    sides = ",".join(str(n) for n in shape)
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE, kind, str(path), extra, sides, str(steady_ms)],
            capture_output=True,
            env=environment,
            cwd=ROOT,  # `-m` searches the current folder first
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(
            f"a process that runs the exported model did not end within {TIMEOUT_S:g} s; close "
            "other programs, or try another format",
            settings=["format"],
        ) from error
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    if done.returncode != 0 or not lines:
        said = [x for x in done.stderr.decode(errors="replace").splitlines() if x.strip()]
        raise ExportError(
            f"a process that runs the exported model ended with code {done.returncode}: "
            f"{said[-1].strip()[:300] if said else 'it said nothing'}; try another format",
            settings=["format"],
        )
    return ANSWER.parse_json(lines[-1], "the answer of the process that ran the model")
