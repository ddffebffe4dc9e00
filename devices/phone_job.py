"""One group of timings as one shell script on the phone, and the reading of what it prints.

The script starts the runner once a model and prints temperature and clock around each with
the shell's own `read`, so that reading them starts no process. Every line of its own carries
a random token; what the runner prints cannot be mistaken for it.
"""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from devices.phone import CPU, celsius
from devices.protocol import Conditions

KEPT_OUTPUT = 1 << 18  # of a runner, from its end
NOT_TOLD = Conditions()
TIMED_OUT = (124, 137)  # `timeout -s KILL`: of toybox, of coreutils
LOST_CODE = 127  # toybox's `timeout` says so of a program that ended before it looked


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What is the same for all models of a group.

    Attributes:
        runner: path on the phone.
        arguments: of the runner, without `--graph`.
        mask: of the cores, hexadecimal; None where the phone has no `taskset`.
        cores: whose clock is read.
        zones: temperature sensors.
        timeout_s: longest time of one model; None where the phone has no `timeout`.
        token: marks the script's own lines.
    """

    runner: str
    arguments: Sequence[str]
    mask: str | None
    cores: tuple[int, ...]
    zones: tuple[str, ...]
    timeout_s: int | None
    token: str


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """One model's turn.

    Attributes:
        index: of the model in the group.
        output: what the runner printed; None when the model was not on the phone.
        code: the runner's exit code.
    """

    index: int
    output: str | None
    code: int
    before: Conditions = NOT_TOLD
    after: Conditions = NOT_TOLD

    @property
    def failure(self) -> str | None:
        """What went wrong, if the exit code tells that something did."""
        if self.code == 0:
            return None
        lines = [line.strip() for line in (self.output or "").splitlines() if line.strip()]
        said = f" ({lines[-1][:160]})" if lines else ""
        if self.code in TIMED_OUT:
            return f"no answer in time, or killed{said}"
        if self.code == LOST_CODE:
            return f"the runner ended, and the phone's `timeout` lost its exit code (127){said}"
        if self.code > 128:
            return f"the runner crashed with signal {self.code - 128}{said}"
        return f"the runner failed with exit code {self.code}{said}"


def script(spec: JobSpec, models: Sequence[str]) -> str:
    """The group's script; models are paths on the phone."""
    command = [spec.runner, *spec.arguments]
    if spec.timeout_s is not None:
        command = ["timeout", "-s", "KILL", str(spec.timeout_s), *command]
    if spec.mask is not None:
        command = ["taskset", spec.mask, *command]
    temperatures = " ".join(f"{zone}/temp" for zone in spec.zones)
    clocks = " ".join(f"{CPU}/cpu{core}/cpufreq/scaling_cur_freq" for core in spec.cores)
    lines = [
        f"M={shlex.quote(spec.token)}",
        'all() { V=; for f in $*; do v=; read v < $f; V="$V,$v"; done 2>/dev/null; }',
        f'state() {{ all {temperatures}; T=$V; all {clocks}; echo; echo "$M $1 $2 t$T f$V"; }}',
        "one() {",
        '  [ -s "$2" ] || { echo "$M missing $1"; return; }',
        "  state before $1",
        f"  {shlex.join(command)} --graph=$2 2>&1 </dev/null",
        "  code=$?; state after $1",
        '  echo "$M end $1 $code"',
        "}",
        *(f"one {index} {path}" for index, path in enumerate(models)),
        'echo "$M done"',
    ]
    return "\n".join(lines) + "\n"


def read_results(chunks: Iterable[bytes], token: str) -> Iterator[JobResult]:
    """Results as the script's output comes in.

    A script that ends early simply gives fewer results.
    """
    output: deque[str] = deque()
    kept = 0
    before = after = Conditions()
    for line in _lines(chunks):
        if not line.startswith(token):
            output.append(line)
            kept += len(line)
            while kept > KEPT_OUTPUT and len(output) > 1:
                kept -= len(output.popleft())
            continue
        kind, *words = line.removeprefix(token).split()
        if kind == "before":
            output, kept, before = deque(), 0, _conditions(words)
        elif kind == "after":
            after = _conditions(words)
        elif kind == "missing":
            yield JobResult(index=int(words[0]), output=None, code=0)
        elif kind == "end":
            yield JobResult(
                index=int(words[0]),
                output="\n".join(output),
                code=int(words[1]),
                before=before,
                after=after,
            )
        elif kind == "done":
            return


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip("\r") for line in whole)
        rest = rest[-KEPT_OUTPUT:]


def _conditions(words: Sequence[str]) -> Conditions:
    """`INDEX t,41000,40000 f,1803000`: the hottest sensor and the mean clock."""
    values: dict[str, list[str]] = {"t": [], "f": []}
    for word in words[1:]:
        name, _, listed = word.partition(",")
        if name in values:
            values[name] = [value for value in listed.split(",") if value]
    degrees = [c for c in map(celsius, values["t"]) if c is not None]
    khz = [int(value) for value in values["f"] if value.isdigit()]
    return Conditions(
        temperature_c=max(degrees, default=None),
        frequency_mhz=sum(khz) / len(khz) / 1e3 if khz else None,
    )
