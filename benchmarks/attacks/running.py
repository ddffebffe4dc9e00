"""Runs one attack in processes of its own, with limits on time and memory.

A fork of the process that has loaded the libraries copies the prepared folder, damages it, notes
what lies there, and forks once more for the command; afterwards it looks at what is left. So a
command begins within milliseconds, and mounts, users and limits end with the processes.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from attacks.attack import CLOSED, PIPE, Attack, Impossible, Outcome, Site
from attacks.commands import ROOT, main_of, program
from attacks.files import digests, partial
from attacks.privileges import obey_permissions

LOOK_S = 0.05
KEPT = 200_000  # characters of an output that are kept


class Running:
    """An attack that was started; `poll` says when it has ended.

    Args:
        attack: The attack.
        argv: The command.
        prepared: Folder that is copied.
        place: New folder for the copy and all output.
    """

    def __init__(self, attack: Attack, argv: Sequence[str], prepared: Path, place: Path) -> None:
        self.attack, self.argv, self.place = attack, tuple(argv), place
        place.mkdir(parents=True)
        place.chmod(0o755)
        sys.stdout.flush()
        sys.stderr.flush()
        self._begun_s, self._base_mb, self._most_mb = time.monotonic(), _memory_mb(os.getpid()), 0.0
        self._unbounded: str | None = None
        self._pid = os.fork()
        if self._pid == 0:
            _stage(attack, self.argv, prepared, place)

    def poll(self) -> Outcome | None:
        """The outcome, or None while it goes on."""
        ended, _ = os.waitpid(self._pid, os.WNOHANG)
        if not ended:
            self._watch()
            return None
        _end_group(self._pid)
        facts: dict[str, Any] = {"trouble": "the attack's own process ended too early"}
        if (self.place / "outcome.json").exists():
            facts = json.loads((self.place / "outcome.json").read_text())
        return Outcome(
            **facts,
            stdout=_text(self.place / "stdout"),
            stderr=_text(self.place / "stderr"),
            trace="\n".join(_text(p) for p in self.place.glob("tmp/elasticvit-trace-*")),
            memory_mb=self._most_mb,
            unbounded=self._unbounded,
        )

    def _watch(self) -> None:
        """End the command if it takes too long, or too much memory."""
        if self._unbounded is not None:
            return
        children = [c for c in _family(self._pid) if c.pid != self._pid]
        held = max((self._held_mb(child) for child in children), default=0.0)
        self._most_mb = max(self._most_mb, held)
        spent_s = time.monotonic() - self._begun_s
        if self._most_mb > self.attack.memory_mb:
            self._unbounded = f"it held {self._most_mb:,.0f} MB"
        elif spent_s > self.attack.limit_s:
            self._unbounded = f"it was still at work after {spent_s:.0f} s"
        if self._unbounded is not None:
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()

    def _held_mb(self, child: psutil.Process) -> float:
        """Memory of a process, beyond what it shares with this one if it is a fork of it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            shared = self._base_mb if child.cmdline() == psutil.Process().cmdline() else 0.0
            return _memory_mb(child.pid) - shared
        return 0.0


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        one = psutil.Process(pid)
        return [one, *one.children(recursive=True)]
    return []


def _memory_mb(pid: int) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).memory_info().rss / 1e6
    return 0.0


def _end_group(pid: int) -> None:
    """End what an attack has left running in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _text(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return file.read(KEPT).decode("utf-8", "backslashreplace")


def _stage(attack: Attack, argv: Sequence[str], prepared: Path, place: Path) -> None:
    """Set the scene, run the command, look at what is left; never returns."""
    facts: dict[str, Any] = {}
    site = None
    try:
        os.setsid()
        site = _site(prepared, place)
        attack.spoil(site)
        before = digests(site.root)
        begun = time.monotonic()
        code = _run(attack, argv, site, place)
        facts = {"code": code, "seconds": time.monotonic() - begun, "before": before}
        facts |= {"after": digests(site.root), "partial": partial(site.root, before)}
    except Impossible as error:
        facts = {"skipped": str(error)}
    except BaseException:
        facts = {"trouble": traceback.format_exc()}
    finally:
        for process in site.background if site else ():
            process.kill()
        (place / "outcome.json").write_text(json.dumps(facts))
        os._exit(0)


def _site(prepared: Path, place: Path) -> Site:
    (place / "tmp").mkdir()
    (place / "home").mkdir()
    (place / "tmp").chmod(0o777)
    shutil.copytree(prepared, place / "site", symlinks=True)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "COLUMNS": "120",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return Site(place / "site", env)


def _run(attack: Attack, argv: Sequence[str], site: Site, place: Path) -> int:
    """The exit code of the command, run in a fork of this process."""
    pid = os.fork()
    if pid == 0:
        try:
            _become(attack, argv, site, place)
        except BaseException:  # never into the code of the parent
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _become(attack: Attack, argv: Sequence[str], site: Site, place: Path) -> None:
    """Turn this process into the command."""
    out = site.stdout if site.stdout not in (None, CLOSED, PIPE) else str(place / "stdout")
    for number, path in ((0, os.devnull), (1, out), (2, str(place / "stderr"))):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
        opened = os.open(path, flags, 0o666)
        os.dup2(opened, number)
        if opened != number:
            os.close(opened)
    os.chdir(site.root)
    os.environ.clear()
    os.environ.update(site.env)
    for kind, most in site.limits.items():
        resource.setrlimit(kind, (most, most))
    if site.bound:
        obey_permissions()
    if site.stdout == CLOSED:
        os.close(1)
    if site.stdout == PIPE:
        reader, writer = os.pipe()
        os.dup2(writer, 1)
        os.close(reader)
        os.close(writer)
    if attack.process or site.stdout is not None:
        words = program(argv)
        os.execve(words[0], words, site.env)
    _call(attack, argv, place)


def _call(attack: Attack, argv: Sequence[str], place: Path) -> None:
    """Call the command's function as the start of a Python program would."""
    tempfile.tempdir = None  # chosen anew from the environment
    os.umask(0o022)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = list(argv)
    stack = (place / "stack").open("w")
    faulthandler.dump_traceback_later(max(1.0, attack.limit_s - 3), file=stack)
    code = 0
    try:
        main_of(argv[0])(list(argv[1:]))
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def summary(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain values, without the lists of files."""
    return {k: v for k, v in asdict(outcome).items() if k not in ("before", "after")}
