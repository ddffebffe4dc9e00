"""What an attack is, where it takes place, and the verdicts on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen

REFUSED, EQUAL, OK = "refused", "equal", "ok"  # good verdicts
TRACEBACK, UNBOUNDED, SILENT, UNCLEAR = "traceback", "unbounded", "silent", "unclear"
EXIT1 = "exit1"  # reported as a failure that nobody foresaw
HARMED = "harmed"  # refused, but something complete was changed or something partial was left
NOT_MADE = "not_made"  # the attack itself failed before the command ran
SKIPPED = "skipped"  # this machine does not allow the attack
GOOD = (REFUSED, EQUAL, OK)
BAD = (TRACEBACK, UNBOUNDED, SILENT, UNCLEAR, EXIT1, HARMED, NOT_MADE)
WORKSPACE = ".evit"
CLOSED, PIPE = "closed", "pipe"  # kinds of standard output


class Impossible(Exception):
    """The machine does not allow what an attack needs, such as to mount a small disk."""


@dataclass
class Site:
    """The place of one attack: a fresh copy of the prepared folder, in which the command starts.

    Attributes:
        root: The folder; it holds `.evit`, `micro.toml`, `folder` and tables.
        env: Environment of the command.
        limits: Limits of the system for the command, by resource of the module `resource`.
        bound: Whether permissions bind the command even where the user is root.
        stdout: Path that standard output goes to; None for a file that is looked at, `CLOSED`
            for none, `PIPE` for a pipe whose reader has gone.
        background: Commands that go on beside the attacked one, until it ends.
    """

    root: Path
    env: dict[str, str]
    limits: dict[int, int] = field(default_factory=dict)
    bound: bool = False
    stdout: str | None = None
    background: list[Popen[bytes]] = field(default_factory=list)

    @property
    def workspace(self) -> Path:
        """The folder `.evit`."""
        return self.root / WORKSPACE

    def one(self, pattern: str) -> Path:
        """The only file that a pattern finds in the site, or the last of several."""
        found = sorted(self.root.glob(pattern))
        if not found:
            raise LookupError(f"the prepared folder has no {pattern}")
        return found[-1]

    def start(self, argv: Sequence[str], until: Callable[[], bool], wait_s: float = 120) -> None:
        """Start a command beside the attacked one, and wait until it is at work."""
        from attacks.commands import program

        process = Popen(program(argv), cwd=self.root, env=self.env, stdout=DEVNULL, stderr=DEVNULL)
        self.background.append(process)
        ends = time.monotonic() + wait_s
        while not until():
            if process.poll() is not None or time.monotonic() > ends:
                raise LookupError(f"{' '.join(argv)} did not get to work")
            time.sleep(0.05)


Spoil = Callable[[Site], object]


def nothing(site: Site) -> None:
    """Leave the site as it is."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One attack on one command.

    Attributes:
        kind: Class of attacks.
        name: What is attacked, and how.
        argv: The command and its options; `--json` is added.
        spoil: Changes the site before the command runs.
        names: Texts that a refusal must contain; of a tuple among them at least one.
        allowed: Verdicts that are good: `refused`, `equal` (the result of the command in an
            undamaged site), `ok` (exit code 0).
        carried: A text that may appear in the result instead of the undamaged one.
        like: The command whose result in an undamaged site counts for `equal`; by default the same.
        process: Whether the command runs in a new Python process, rather than in a fork of one that
            has loaded all libraries.
        touched: Patterns of files that a refusal may change, since another command works there or
            part of the work was done. What is left must still be whole.
        exits: Exit codes that are good as they are, such as 141 of a closed pipe.
        limit_s: Time limit in seconds.
        memory_mb: Limit of additional memory in MB.
        json: Whether `--json` is added.
    """

    kind: str
    name: str
    argv: tuple[str, ...]
    spoil: Spoil = nothing
    names: tuple[str | tuple[str, ...], ...] = ()
    allowed: tuple[str, ...] = (REFUSED,)
    carried: str | None = None
    like: tuple[str, ...] | None = None
    process: bool = False
    touched: tuple[str, ...] = ()
    exits: tuple[int, ...] = ()
    limit_s: float = 60.0
    memory_mb: float = 2500.0
    json: bool = True

    @property
    def words(self) -> tuple[str, ...]:
        """The command as it is run."""
        return (*self.argv, "--json") if self.json else self.argv

    @property
    def reference(self) -> tuple[str, ...] | None:
        """The command whose result counts for `equal`, as it is run; None if none does."""
        if EQUAL not in self.allowed:
            return None
        return (*(self.like or self.argv), "--json")


def refused(
    kind: str,
    name: str,
    argv: tuple[str, ...],
    named: str,
    spoil: Spoil = nothing,
    limit_s: float = 60.0,
) -> Attack:
    """An attack that must be refused with a message that names a text."""
    return Attack(kind=kind, name=name, argv=argv, spoil=spoil, names=(named,), limit_s=limit_s)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a command.

    Attributes:
        code: Exit code; negative for a signal.
        stdout: Standard output.
        stderr: Standard error.
        seconds: How long it took.
        memory_mb: Most memory that it held beyond what it began with, in MB.
        unbounded: Why it was ended, if it was.
        before: Digest of each file of the site before the command, by relative path.
        after: The same after it.
        partial: What is left half-written, a sentence each.
        trouble: Why the attack could not take place.
        skipped: Why this machine does not allow it.
        trace: The trace that the command wrote to a file.
    """

    code: int = 0
    stdout: str = ""
    stderr: str = ""
    seconds: float = 0.0
    memory_mb: float = 0.0
    unbounded: str | None = None
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    partial: Sequence[str] = ()
    trouble: str | None = None
    skipped: str | None = None
    trace: str = ""
