"""The results: the commands behind them, what they said, and where and when.

    python benchmarks/results.py run [NAME ...]
    python benchmarks/results.py write

`run` runs the commands of these names, or all, and keeps what they found; `write` puts the tables
into `docs/results.md`, and summaries of some into the README. A command ends its output with one
JSON line, which `docs/results.jsonl` keeps with the date, the commit and the machine, in place of
an older one; a command that fails leaves the line that was there. Timings want a machine that does
nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(Path(__file__).resolve().parent))

from results_tables import Line, render  # noqa: E402

from devices.host.facts import cpu_model, usable_cores  # noqa: E402
from elasticvit.files import write_atomic  # noqa: E402

RESULTS = ROOT / "docs" / "results.jsonl"
README, WHOLE = ROOT / "README.md", ROOT / "docs" / "results.md"
BEGIN = "<!-- results: written by `python benchmarks/results.py write` -->"
END = "<!-- end of results -->"
DEMO = "demo"
COMMANDS = {
    DEMO: "make demo",
    "profile_tiny": "evit-profile --space tiny --budget-minutes 2 --json",
    "profile_mobile": "evit-profile --space mobile --json && python benchmarks/coverage.py",
    "pricing": "python benchmarks/pricing.py",
    "sampling": "python benchmarks/sampling.py",
    "kernel_models": "python benchmarks/kernel_models.py",
    "model_timing": "python benchmarks/model_timing.py",
    "regressors": "python benchmarks/regressors.py --seeds 2",
    "transfer": "python benchmarks/transfer.py",
    "search": "python benchmarks/search.py",
    "proxies": "python benchmarks/proxies.py",
    "precision": "python benchmarks/precision.py --images 50 --rounds 30",
    "precision_trained": "python benchmarks/precision.py --trained --rounds 200",
    "adb_overhead": "python benchmarks/adb_overhead.py",
    "judging_threads": "python benchmarks/judging_threads.py",
    "training_threads": "python benchmarks/training_threads.py",
    "freed_memory": "python benchmarks/freed_memory.py",
    "alone": "python benchmarks/alone.py",
    "beside_timm": "python benchmarks/beside_timm.py",
    "cheaper": "python benchmarks/cheaper.py",
    "cheaper_two_cores": "python benchmarks/cheaper.py --threads 2 --seconds 180 "
    "--arms paper cheap 'cheap, two subnets'",
    "fine_tuning": "python benchmarks/fine_tuning.py",
    "learning_rate": "python benchmarks/learning_rate.py",
    "conflict": "python benchmarks/conflict.py",
}
LIBRARIES = {"LiteRT": "ai-edge-litert", "torch": "torch", "numpy": "numpy", "scipy": "scipy"}


class Failed(Exception):
    """A command that left no result."""


def load(path: Path) -> dict[str, Line]:
    """The lines of a file by name, in the order of `COMMANDS`; of several of a name the last."""
    found = {}
    if path.exists():
        for text in path.read_text().splitlines():
            line = json.loads(text)
            found[line["name"]] = line
    return {name: found[name] for name in COMMANDS if name in found}


def keep(path: Path, line: Line) -> None:
    """Put a line into the file, in place of an older one of its name."""
    lines = load(path) | {line["name"]: line}
    ordered = [lines[name] for name in COMMANDS if name in lines]
    write_atomic(path, "".join(f"{json.dumps(entry)}\n" for entry in ordered))


def take(name: str, command: str) -> Line:
    """Run a command in an empty folder and say what it found.

    Raises:
        Failed: It exits with an error, prints no JSON line, or one that the tables cannot show.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="evit") as folder:
        result = _demo(Path(folder)) if name == DEMO else _last_line(command, Path(folder))
    line = {
        "name": name,
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
        "machine": machine(),
        "seconds": round(time.monotonic() - started, 1),
        "result": result,
    }
    try:
        render({name: line})
    except (KeyError, TypeError) as error:
        raise Failed(f"the tables expect {error!r} in its line") from error
    return line


def machine() -> dict[str, Any]:
    """What ran it."""
    libraries = {name: version(package) for name, package in LIBRARIES.items()}
    python = ".".join(map(str, sys.version_info[:3]))
    return {"cpu": cpu_model(), "cores": len(usable_cores()), "Python": python, **libraries}


def filled(path: Path, lines: Mapping[str, Line]) -> str:
    """The README or `docs/results.md` with the tables of these lines between its markers."""
    before, _, rest = path.read_text().partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{path} lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{render(lines, whole=path.name == WHOLE.name)}\n{END}{after}"


def _run(words: Sequence[str | Path], folder: Path) -> str:
    here = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        words, cwd=folder, env=os.environ | {"PATH": here}, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise Failed(f"exit code {done.returncode}")
    return done.stdout


def _last_line(command: str, folder: Path) -> dict[str, Any]:
    """What a command found; one that a benchmark follows in the same folder has what that found
    under the benchmark's name."""
    found: dict[str, Any] = {}
    for part in command.split(" && "):
        words = [w.replace("benchmarks/", f"{ROOT}/benchmarks/") for w in shlex.split(part)]
        lines = _run(words, folder).splitlines() or [""]
        try:
            result = json.loads(lines[-1])
        except ValueError as error:
            raise Failed(f"its output ends with no JSON line but {lines[-1][:80]!r}") from error
        found |= {result["benchmark"]: result} if found else result
    return found


def _demo(folder: Path) -> dict[str, Any]:
    _run([ROOT / "demo.sh", folder / DEMO], folder)
    parts = ("profile", "train", "search", "export")
    return {part: json.loads((folder / DEMO / f"{part}.json").read_text()) for part in parts}


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    changed = git(
        *("status", "--porcelain", "--untracked-files=no", "--", "."),
        *(f":!{path.relative_to(ROOT)}" for path in (RESULTS, README, WHOLE)),
    )
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+changes" if changed else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    actions = parser.add_subparsers(dest="action", required=True)
    runs = actions.add_parser("run", help="run commands and keep their lines")
    runs.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMMANDS))
    actions.add_parser("write", help="put the tables into the documents")
    options = parser.parse_args()
    if options.action == "write":
        for path in (README, WHOLE):
            write_atomic(path, filled(path, load(RESULTS)))
        return
    strange = [name for name in options.names if name not in COMMANDS]
    if strange:
        parser.error(f"no result {strange[0]!r}; there are {', '.join(COMMANDS)}")
    failed = []
    for name in options.names or COMMANDS:
        print(f"$ {COMMANDS[name]}", file=sys.stderr)
        try:
            keep(RESULTS, take(name, COMMANDS[name]))
        except Failed as error:
            failed.append(name)
            print(f"{name}: {error}; what was there stays", file=sys.stderr)
    sys.exit(f"not done: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
