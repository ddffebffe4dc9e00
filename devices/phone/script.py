"""Shell script that times one group of models on the phone, and the parser of its output.

The script starts the runner once per model and prints temperature and clock around each by the
shell's builtin `read`, so that reading them starts no process. Its own lines begin with a random
token, so that they cannot be confused with the runner's output.
"""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from devices.phone.facts import CPU
from devices.phone.state import celsius
from devices.protocol import Conditions

KEPT_OUTPUT = 1 << 18  # characters of a runner's output, from its end
NOT_REPORTED = Conditions()
TIMED_OUT = (124, 137)  # `timeout -s KILL`: of toybox, of coreutils
LOST_CODE = 127  # toybox's `timeout` returns it if the program ended before `timeout` waited


@dataclass(frozen=True, kw_only=True)
class ScriptSpec:
    """Settings of a group's script, the same for all its models.

    Attributes:
        runner: Path of the runner on the phone.
        arguments: Arguments of the runner, without `--graph`.
        mask: Hexadecimal mask of the cores; None if the phone has no `taskset`.
        cores: Numbers of the cores whose clock is read.
        zones: Paths of the temperature sensors.
        timeout_s: Longest time of one model, in seconds; None if the phone has no `timeout`.
        token: Beginning of the script's own lines.
    """

    runner: str
    arguments: Sequence[str]
    mask: str | None
    cores: tuple[int, ...]
    zones: tuple[str, ...]
    timeout_s: int | None
    token: str


@dataclass(frozen=True, kw_only=True)
class ScriptResult:
    """Output of the script about one model.

    Attributes:
        index: Position of the model in the group.
        output: What the runner printed; None if the model was not on the phone.
        code: Exit code of the runner.
        before, after: Conditions around the run.
    """

    index: int
    output: str | None
    code: int
    before: Conditions = NOT_REPORTED
    after: Conditions = NOT_REPORTED

    @property
    def failure(self) -> str | None:
        """What went wrong; None if the exit code is 0."""
        if self.code == 0:
            return None
        lines = [line.strip() for line in (self.output or "").splitlines() if line.strip()]
        last = f" ({lines[-1][:160]})" if lines else ""
        if self.code in TIMED_OUT:
            return f"no answer in time, or killed{last}"
        if self.code == LOST_CODE:
            return f"the runner ended, and the phone's `timeout` lost its exit code (127){last}"
        if self.code > 128:
            return f"the runner crashed with signal {self.code - 128}{last}"
        return f"the runner failed with exit code {self.code}{last}"


def group_script(spec: ScriptSpec, models: Sequence[str]) -> str:
    """Shell script of a group.

    Args:
        spec: Settings of the script.
        models: Paths of the models on the phone.
    """
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


def read_results(chunks: Iterable[bytes], token: str) -> Iterator[ScriptResult]:
    """Parse the script's output and yield the result of each model as it arrives.

    A script that ends early gives fewer results.

    Args:
        chunks: Output of the script, cut anywhere.
        token: Beginning of the script's own lines.
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
            yield ScriptResult(index=int(words[0]), output=None, code=0)
        elif kind == "end":
            yield ScriptResult(
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
    """Read `INDEX t,41000,40000 f,1803000`: the hottest sensor and the mean clock."""
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
