"""A workspace under fire: commands are killed at random moments, and nothing is lost.

    python benchmarks/soak.py [--kills 30] [--seed 0]

All four commands are started in one workspace and killed at random moments (mostly SIGKILL, which
leaves no time to clean up, some SIGTERM and SIGINT), again and again until each has ended by
itself. The profile is of the computed device `fake` and of this computer; what was measured before
a kill must still be there after it, each once. Then the workspace is copied, and training, search
and export are run without a kill in the copy and with kills in the original: weights, moving
average, log, results and the exported file must be equal to the last bit. Rounds with new seeds
follow until there were enough kills. The last line is JSON; the exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]

import psutil  # noqa: E402
import torch  # noqa: E402
from attacks.commands import program  # noqa: E402
from attacks.comparing import differences  # noqa: E402
from attacks.prepared import MICRO, pictures  # noqa: E402

from elasticvit.errors import EvitError  # noqa: E402
from elasticvit.training.checkpoint import Checkpoint  # noqa: E402
from export.bundle import load_bundle  # noqa: E402

SIGNALS = (*[signal.SIGKILL] * 7, *[signal.SIGTERM] * 2, signal.SIGINT)
EARLIEST = 0.25  # share of a command's duration after which it is killed first
PROFILE_KILLS = 6  # of each device
MOST_ATTEMPTS = 40  # of one command
LONGEST_S = 600.0
ORPHAN_S = 10.0
TIMES = ("took_s", "expected_s", "time_s", "seconds")
Command = tuple[str, ...]


class Soak:
    """Runs commands in a folder, and counts kills and what went wrong."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.rng = root, random.Random(seed)
        self.env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.kills: Counter[str] = Counter()
        self.signals: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self, argv: Command, workspace: str) -> float:
        """Run a command to its end; returns the seconds it took."""
        begun = time.monotonic()
        done = subprocess.run(
            program((*argv, "--workspace", workspace)),
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
        )
        if done.returncode:
            self.fail(f"{' '.join(argv)} in {workspace}: {done.returncode}: {done.stderr[-800:]}")
        return time.monotonic() - begun

    def run_with_kills(self, argv: Command, workspace: str, seconds: float, kills: int) -> None:
        """Kill a command at random moments, at most some times, until it ends by itself.

        Args:
            seconds: How long it takes without a kill.
            kills: Most kills.
        """
        said = self.root / "said.txt"
        for made in range(MOST_ATTEMPTS):
            before = measured(self.root / workspace)
            with said.open("w") as output:
                process = subprocess.Popen(
                    program((*argv, "--workspace", workspace)),
                    cwd=self.root,
                    env=self.env,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            wait_s = seconds * self.rng.uniform(EARLIEST, 1.0) if made < kills else LONGEST_S
            number = self.rng.choice(SIGNALS)
            code = self.wait(process, wait_s, number)
            self.check_orphans(process.pid, argv)
            after = measured(self.root / workspace)
            if before - after:
                self.fail(f"{' '.join(argv)}: {len(before - after)} measurements were lost")
            if code == 0:
                return
            if code is not None:
                self.fail(f"{' '.join(argv)}: {code}: {said.read_text()[-800:]}")
                return
            self.kills[argv[0]] += 1
            self.signals[number.name] += 1
            print(f"{argv[0]}: {number.name} after {wait_s:.1f} s", file=sys.stderr, flush=True)
        self.fail(f"{' '.join(argv)} did not end within {MOST_ATTEMPTS} attempts")

    def wait(
        self, process: subprocess.Popen[bytes], wait_s: float, number: signal.Signals
    ) -> int | None:
        """The exit code of a command that ends in time; None for one that had to be killed."""
        try:
            return process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        try:
            process.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            self.fail(f"{number.name} did not end a command within {LONGEST_S:.0f} s")
            process.kill()
            process.wait()
        return None

    def check_orphans(self, session: int, argv: Command) -> None:
        """Check that no process of a command outlives it for long."""
        ends = time.monotonic() + ORPHAN_S
        while alive := [p for p in psutil.process_iter() if _session(p) == session]:
            if time.monotonic() > ends:
                self.fail(f"{argv[0]}: {len(alive)} of its processes outlived it")
                os.killpg(session, signal.SIGKILL)
                return
            time.sleep(0.1)

    def fail(self, text: str) -> None:
        """Note what went wrong."""
        print(f"WRONG: {text}", file=sys.stderr, flush=True)
        self.wrong.append(text)

    def same(self, what: str, one: object, other: object) -> None:
        """Check that two results are equal."""
        if one != other:
            self.fail(f"{what} differs: {str(one)[:200]} and {str(other)[:200]}")


def _session(process: psutil.Process) -> int | None:
    try:
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return None if zombie else os.getsid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError, PermissionError):
        return None


def measured(workspace: Path) -> Counter[tuple[Any, ...]]:
    """The measurements of a workspace: device, source, key and round, each with its number."""
    table = workspace / "lut.sqlite"
    if not table.exists():
        return Counter()
    query = (
        "SELECT device, source, runtime_hash, threads, series.cores, key, round FROM measurements "
        "JOIN series ON series.id = series"
    )
    try:
        with closing(sqlite3.connect(f"file:{table}?mode=ro", uri=True, timeout=30)) as database:
            return Counter(database.execute(query).fetchall())
    except sqlite3.OperationalError:  # killed before its tables were made
        return Counter()


def check_profile(soak: Soak, workspace: str, device: str) -> int:
    """Check that each measurement of a device is there once, in a whole file; their number."""
    rows = Counter({k: n for k, n in measured(soak.root / workspace).items() if k[0] == device})
    again = [key for key, number in rows.items() if number > 1]
    if again:
        soak.fail(f"{len(again)} measurements of {device} are there twice, such as {again[0]}")
    with closing(sqlite3.connect(soak.root / workspace / "lut.sqlite")) as database:
        verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
    soak.same(f"{workspace}: integrity of the table", verdict, "ok")
    return len(rows)


def compare(soak: Soak, one: Path, other: Path) -> None:
    """Check that the latest run, search and export of two workspaces are equal."""
    runs, searches, exports = (
        (_latest(one / kind), _latest(other / kind)) for kind in ("runs", "searches", "exports")
    )
    for kind in ("runs", "searches"):
        soak.same(f"number of {kind}", *(len(_folders(w / kind)) for w in (one, other)))
    for folder in _folders(one / "exports"):  # one more for each kill after all was written
        try:
            load_bundle(folder)
        except EvitError as error:
            soak.fail(f"{folder} is there but not whole: {error}")
    first, second = (Checkpoint.load(run).to_plain() for run in runs)
    for part in ("step", "weights", "ema", "optimiser", "sampler"):
        if not equal(first[part], second[part]):
            soak.fail(f"{part} of the checkpoint differs")
    rows = [list(csv.reader((r / "log.csv").open())) for r in runs]
    soak.same("log.csv", *([row[:8] for row in part] for part in rows))  # then come times
    _same_json(soak, "result.json", runs)
    _same_json(soak, "search.json", searches)
    soak.same("front.csv", *((s / "front.csv").read_text() for s in searches))
    states = [torch.load(s / "subnet.pt", weights_only=True) for s in searches]
    if not equal(*states):
        soak.fail("subnet.pt differs")
    soak.same("model.tflite", *((e / "model.tflite").read_bytes() for e in exports))
    soak.same("labels.txt", *((e / "labels.txt").read_bytes() for e in exports))
    names = [sorted(p.name for p in e.iterdir()) for e in exports]
    soak.same("the files of the bundle", *names)


def _same_json(soak: Soak, name: str, folders: Sequence[Path]) -> None:
    texts = []
    for folder in folders:  # the two workspaces have names of their own
        workspace = folder.parent.parent.name
        texts.append((folder / name).read_text().replace(f"{workspace}/", ""))
    found = differences(*map(json.loads, texts))
    if found:
        soak.fail(f"{name} differs: {'; '.join(found)[:300]}")


def _folders(folder: Path) -> list[Path]:
    """Folders that have a name of their own, oldest first."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _latest(folder: Path) -> Path:
    return _folders(folder)[-1]


def equal(one: Any, other: Any) -> bool:
    """Whether two states of torch are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    begun = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="soak-"))
    soak = Soak(root, args.seed)
    try:
        rows, rounds = _soak(soak, args.kills)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    line = {
        "benchmark": "soak",
        "kills": sum(soak.kills.values()),
        "by_command": dict(soak.kills),
        "by_signal": dict(soak.signals),
        "rounds": rounds,
        "measurements": rows,
        "wrong": len(soak.wrong),
        "seconds": round(time.monotonic() - begun),
    }
    print(json.dumps(line))
    return int(bool(soak.wrong))


def _soak(soak: Soak, kills: int) -> tuple[dict[str, int], int]:
    """Profile under kills, then rounds of the other commands; measurements and rounds."""
    pictures(soak.root / "photos")
    (soak.root / "micro.toml").write_text(MICRO.to_toml())
    profiles = {
        device: ("evit-profile", "--space", "micro.toml", "--device", device, "--budget-minutes", m)
        for device, m in (("fake", "0.5"), ("host", "0.2"))
    }
    soak.run(profiles["fake"], ".whole")
    expected = dict(measured(soak.root / ".whole"))
    rows = {}
    for device, argv in profiles.items():
        soak.run_with_kills(argv, ".evit", 12.0, min(PROFILE_KILLS, kills // 4))
        rows[device] = check_profile(soak, ".evit", device)
    found = {key: n for key, n in measured(soak.root / ".evit").items() if key[0] == "fake"}
    # a profile that is started again has its whole budget again, and may measure more
    lacking = [key[-2:] for key, n in expected.items() if found.get(key) != n]
    soak.same("measurements of fake that the profile without kills has alone", lacking, [])
    rounds = 0
    while sum(soak.kills.values()) < kills and rounds < kills:
        seed = ("--seed", str(rounds))
        commands: tuple[Command, ...] = (
            ("evit-train", "--data", "photos", "--space", "micro.toml", "--epochs", "200", *seed),
            (
                "evit-search",
                "--target-ms",
                "0.02",
                "--population",
                "16",
                "--generations",
                "8",
                "--verify",  # what is measured differs from run to run
                "0",
                *seed,
            ),
            ("evit-export", "--format", "tflite"),
        )
        rounds += 1
        shutil.rmtree(soak.root / ".copy", ignore_errors=True)
        shutil.copytree(soak.root / ".evit", soak.root / ".copy")
        took_s = [soak.run(argv, ".copy") for argv in commands]
        for argv, seconds in zip(commands, took_s, strict=True):
            left = kills - sum(soak.kills.values())
            soak.run_with_kills(argv, ".evit", seconds, min(3, left))
        if soak.wrong:
            break
        compare(soak, soak.root / ".evit", soak.root / ".copy")
    return rows, rounds


if __name__ == "__main__":
    sys.exit(main())
