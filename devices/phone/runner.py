"""The runner, the program that times a model on the phone: its kind, its arguments, its output.

Two tools are called `benchmark_model`: TensorFlow Lite's classic one and LiteRT's, which takes
other flags. The kind of a file and its flags are read from its own `--help`; only flags that are
listed there are passed. Output is parsed by field names, never by position. The third tool is
evit's own (`devices.phone.native_bundle`), whose flags have the same names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devices.protocol import TimingConfig
from elasticvit.errors import RunnerMissing
from elasticvit.reading import shown

OFFICIAL_URL = "https://storage.googleapis.com/litert/binaries/latest/android_arm64/benchmark_model"
MOST_BYTES = 500_000_000  # of a runner; TensorFlow's has some 7 MB
FLAG = re.compile(r"--([a-z][a-z0-9_]+)")
FIELD = re.compile(r"([a-z][a-z0-9]*)=(-?[0-9.]+(?:e[+-]?\d+)?)", re.IGNORECASE)
STATISTICS = re.compile(r"\bcount=\d+\s+(?:first|curr)=")
START = re.compile(r"\bInit: (\d+)(?:, First inference: (\d+))?")  # microseconds
FOOTPRINT = re.compile(
    r"peak memory footprint \(MB\)[^:]*:\s*(?:init=[0-9.]+ overall=)?([0-9.]+)", re.IGNORECASE
)
OLD_CLASSIC = frozenset({"graph", "num_runs", "num_threads", "warmup_runs"})
OWN = "evit_runner:"  # begins the help of our own
LITERT_ONLY = ("use_cpu", "use_npu", "result_file_path", "use_profiler")


class RunnerOutputError(ValueError):
    """The output of a runner cannot be parsed."""


def no_runner() -> RunnerMissing:
    """The error for a phone without a runner, with the ways to get one."""
    return RunnerMissing(
        "no runner: timing on a phone needs TensorFlow's benchmark_model; download "
        f"{OFFICIAL_URL} and name it as the runner; or let an experimental one be built: "
        "pip install 'elasticvit[runner]'",
        settings=("runner",),
    )


@dataclass(frozen=True)
class RunnerFile:
    """A runner on this computer.

    Attributes:
        path: Path of the program.
        data: Content of the program.
        sha256: SHA-256 of `data` and of all files in `beside`.
        beside: Content of further files that must be in its folder on the phone, by name.
        loader: Name of the file in `beside` that starts the program; None if the phone's own
            loader does.
    """

    path: Path
    data: bytes = field(repr=False)
    sha256: str
    beside: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    loader: str | None = None

    @classmethod
    def read(cls, path: Path | str) -> RunnerFile:
        """Read the program at `path`.

        Raises:
            RunnerMissing: There is no file, it cannot be read, or it is too large for a program.
        """
        path = Path(path)
        try:
            size = path.stat().st_size
            if not path.is_file():
                raise ValueError("it is no regular file")
            if not 0 < size <= MOST_BYTES:
                raise ValueError(f"{size:,} bytes; a program has 1 to {MOST_BYTES:,}")
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise RunnerMissing(
                f"runner {shown(str(path))} cannot be read ({reason}); download {OFFICIAL_URL} "
                "and name it as the runner",
                settings=("runner",),
            ) from error
        return cls(path, data, hashlib.sha256(data).hexdigest())

    @property
    def name(self) -> str:
        """File name of the program on the phone."""
        return "benchmark_model" if self.loader is None else self.path.name

    def launch(self, folder: str) -> list[str]:
        """Beginning of the command, once the program lies in a folder on the phone."""
        program = f"{folder}/{self.name}"
        if self.loader is None:
            return [program]
        return [f"{folder}/{self.loader}", "--library-path", folder, program]


@dataclass(frozen=True)
class Runner:
    """A runner, identified by its help text.

    Attributes:
        tool: `classic`, `litert` or `evit`.
        flags: Names of the flags that it takes.
        sha256: SHA-256 of the program.
    """

    tool: str
    flags: frozenset[str]
    sha256: str

    @classmethod
    def from_help(cls, text: str, sha256: str) -> Runner:
        """Identify the tool by its help text.

        Args:
            text: Output of the program for `--help`.
            sha256: SHA-256 of the program.

        Raises:
            RunnerMissing: The text is not the help of a benchmark_model.
        """
        flags = frozenset(FLAG.findall(text))
        if "STARTING!" in text and "graph" in flags and "num_runs" not in flags:
            flags = OLD_CLASSIC  # the classic tool before it had --help asks for --graph alone
        if not {"graph", "num_runs"} <= flags:
            printed = " ".join(text.split())[:120] or "nothing"
            raise RunnerMissing(
                "the runner's help lists no flags `graph` and `num_runs` (it printed: "
                f"{printed}); is it a benchmark_model for this phone's CPU? The official one: "
                f"{OFFICIAL_URL}",
                settings=("runner",),
            )
        if text.startswith(OWN):
            return cls("evit", flags, sha256)
        tool = "litert" if any(flag in flags for flag in LITERT_ONLY) else "classic"
        return cls(tool, flags, sha256)

    @property
    def name(self) -> str:
        """Name of the tool with the beginning of its hash, for messages and tables."""
        if self.tool == "evit":
            return f"evit_runner (experimental) {self.sha256[:12]}"
        return f"benchmark_model ({self.tool}) {self.sha256[:12]}"

    def arguments(self, config: TimingConfig) -> list[str]:
        """Flags for one round of one model, without `--graph`.

        Only evit's own runner takes `max_runs`; the other tools run until both `num_runs` and
        `min_secs` are reached.
        """
        wanted = {
            "num_threads": config.threads,
            "num_runs": config.min_runs,
            "max_runs": config.max_runs,
            "min_secs": f"{config.min_ms / 1e3:g}",
            "warmup_runs": config.warmup_runs,
            "warmup_min_secs": 0,
            "use_xnnpack": "true",
            "use_cpu": "true",
        }
        return [f"--{name}={value}" for name, value in wanted.items() if name in self.flags]


@dataclass(frozen=True, kw_only=True)
class RunnerResult:
    """Latencies that one process of a runner reports.

    Attributes:
        latency_us: Median if the runner reports one, otherwise its mean, in microseconds.
        statistic: `median` or `mean`; `run` if every run is reported.
        count: Number of runs behind the latency.
        summary: All the numbers of its line, by name.
        peak_bytes: Peak memory footprint; None if not reported.
        samples_us: Latency of every run, in microseconds; None if not reported.
        interrupted_runs, load_us, first_us: As in `devices.protocol.Measurement`.
    """

    latency_us: float
    statistic: str
    count: int
    summary: Mapping[str, float]
    peak_bytes: int | None
    samples_us: tuple[float, ...] | None = None
    interrupted_runs: int | None = None
    load_us: float | None = None
    first_us: float | None = None


def parse_output(text: str) -> RunnerResult:
    """Parse the output of either `benchmark_model`.

    The last line of statistics is used; the one before it is that of the warm-up.

    Raises:
        RunnerOutputError: No statistics of timed runs after a warm-up, or impossible ones.
    """
    lines = [line for line in text.splitlines() if STATISTICS.search(line)]
    expected = text.count("Running benchmark for at least")
    if not lines or len(lines) < expected:
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "nothing")
        raise RunnerOutputError(f"no timings in the runner's output; it ended with: {last[:160]}")
    summary = {name: float(value) for name, value in FIELD.findall(lines[-1])}
    count = int(summary.get("count", 0))
    statistic = next((name for name in ("median", "avg", "curr") if name in summary), "")
    latency_us = summary.get(statistic, 0.0)
    low, high = summary.get("min", latency_us), summary.get("max", latency_us)
    if count < 1 or not low * 0.999 <= latency_us <= high * 1.001:
        raise RunnerOutputError(f"the runner's numbers contradict each other: {lines[-1][:160]}")
    if latency_us <= 0:
        raise RunnerOutputError(f"the runner measured nothing: {lines[-1][:160]}")
    memory, began = FOOTPRINT.findall(text), START.search(text)
    return RunnerResult(
        latency_us=latency_us,
        statistic="median" if statistic == "median" else "mean",
        count=count,
        summary=summary,
        peak_bytes=int(float(memory[-1]) * 2**20) if memory and float(memory[-1]) > 0 else None,
        load_us=float(began[1]) if began else None,
        first_us=float(began[2]) if began and began[2] else None,
    )
