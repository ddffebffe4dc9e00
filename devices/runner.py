"""The program that times a model on the phone: which one it is, how to call it, what it says.

Two tools are called `benchmark_model`: TensorFlow Lite's classic one and LiteRT's, which takes
other flags. Which one a file is, and which flags it knows, is read from its own `--help`; no
flag is passed that is not listed there. Their output is read by names, never by position. The
third is evit's own (`devices.native_bundle`), whose flags are named as theirs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from devices.protocol import TimingConfig
from elasticvit.errors import RunnerMissing

OFFICIAL_URL = "https://storage.googleapis.com/litert/binaries/latest/android_arm64/benchmark_model"
FLAG = re.compile(r"--([a-z][a-z0-9_]+)")
FIELD = re.compile(r"([a-z][a-z0-9]*)=(-?[0-9.]+(?:e[+-]?\d+)?)", re.IGNORECASE)
STATISTICS = re.compile(r"\bcount=\d+\s+(?:first|curr)=")
FOOTPRINT = re.compile(
    r"peak memory footprint \(MB\)[^:]*:\s*(?:init=[0-9.]+ overall=)?([0-9.]+)", re.IGNORECASE
)
OLD_CLASSIC = frozenset({"graph", "num_runs", "num_threads", "warmup_runs"})
OWN = "evit_runner:"  # begins the help of our own
LITERT_ONLY = ("use_cpu", "use_npu", "result_file_path", "use_profiler")


class RunnerOutputError(ValueError):
    """What a runner printed is not what a runner prints."""


@dataclass(frozen=True)
class RunnerFile:
    """A runner on this computer.

    Attributes:
        path: where it lies.
        data: the program.
        sha256: of `data`, and of all that lies beside it.
        beside: other files that must lie in its folder on the phone, by name.
        loader: which of them starts the program; None where the phone's own loader does.
    """

    path: Path
    data: bytes = field(repr=False)
    sha256: str
    beside: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    loader: str | None = None

    @classmethod
    def read(cls, path: Path | str | None) -> RunnerFile:
        """Read the program at `path`.

        Raises:
            RunnerMissing: none was named, or there is nothing to read; where to get one is said.
        """
        if path is None:
            raise RunnerMissing(
                "no runner: timing on a phone needs TensorFlow's benchmark_model; download "
                f"{OFFICIAL_URL} and run the command again with --runner ./benchmark_model; or let "
                "an experimental one be built: pip install 'elasticvit[runner]'"
            )
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise RunnerMissing(
                f"runner {path} cannot be read ({error.strerror}); download {OFFICIAL_URL} and "
                "name it with --runner"
            ) from error
        return cls(Path(path), data, hashlib.sha256(data).hexdigest())

    @property
    def name(self) -> str:
        """Its file name on the phone."""
        return "benchmark_model" if self.loader is None else self.path.name

    def launch(self, folder: str) -> list[str]:
        """The beginning of its command, once it lies in a folder on the phone."""
        program = f"{folder}/{self.name}"
        if self.loader is None:
            return [program]
        return [f"{folder}/{self.loader}", "--library-path", folder, program]


@dataclass(frozen=True)
class Runner:
    """A runner as it describes itself.

    Attributes:
        tool: `classic`, `litert` or `evit`.
        flags: every flag that it knows.
        sha256: of the program.
    """

    tool: str
    flags: frozenset[str]
    sha256: str

    @classmethod
    def from_help(cls, text: str, sha256: str) -> Runner:
        """Tell the tools apart by what `--help` prints.

        Raises:
            RunnerMissing: the text is not the help of a benchmark_model.
        """
        flags = frozenset(FLAG.findall(text))
        if "STARTING!" in text and "graph" in flags and "num_runs" not in flags:
            flags = OLD_CLASSIC  # the classic tool before it had --help asks for --graph alone
        if not {"graph", "num_runs"} <= flags:
            said = " ".join(text.split())[:120] or "nothing"
            raise RunnerMissing(
                f"the runner's --help lists no --graph and --num_runs (it said: {said}); is it a "
                f"benchmark_model for this phone's CPU? The official one: {OFFICIAL_URL}"
            )
        if text.startswith(OWN):
            return cls("evit", flags, sha256)
        tool = "litert" if any(flag in flags for flag in LITERT_ONLY) else "classic"
        return cls(tool, flags, sha256)

    @property
    def name(self) -> str:
        """For people and tables."""
        if self.tool == "evit":
            return f"evit_runner (experimental) {self.sha256[:12]}"
        return f"benchmark_model ({self.tool}) {self.sha256[:12]}"

    def arguments(self, config: TimingConfig) -> list[str]:
        """Flags for one round of one model, without `--graph`.

        `max_runs` bounds the time: these tools run until both the count and the seconds are
        reached, and know no largest count; ours does.
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
    """What one process of a runner measured.

    Attributes:
        latency_us: its median where it tells one, else its mean, in microseconds.
        statistic: `median` or `mean`, or `run` where every run is told.
        count: how many runs are behind it.
        summary: all the numbers of its line, by their names.
        peak_bytes: peak memory footprint, where told.
        samples_us: every run, where told.
        interrupted_runs: see `devices.protocol.Measurement`.
    """

    latency_us: float
    statistic: str
    count: int
    summary: Mapping[str, float]
    peak_bytes: int | None
    samples_us: tuple[float, ...] | None = None
    interrupted_runs: int | None = None


def parse_output(text: str) -> RunnerResult:
    """Read the output of either tool.

    The last line of statistics counts; the one before it is that of the warm-up.

    Raises:
        RunnerOutputError: no statistics of timed runs after a warm-up, or impossible ones.
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
    memory = FOOTPRINT.findall(text)
    return RunnerResult(
        latency_us=latency_us,
        statistic="median" if statistic == "median" else "mean",
        count=count,
        summary=summary,
        peak_bytes=int(float(memory[-1]) * 2**20) if memory and float(memory[-1]) > 0 else None,
    )
