"""Class `several`: commands beside each other in one workspace, and interrupted ones."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import DEVNULL, Popen

from attacks.attack import EQUAL, OK, REFUSED, Attack, Site
from attacks.commands import program
from attacks.prepared import (
    EPOCHS,
    EXPORT,
    HALF_SEARCHED,
    HALF_TRAINED,
    PROFILE,
    SEARCH,
    SMALL,
    TABLE_CSV,
)

LONG_TRAIN = ("evit-train", "--epochs", "3000", "--seed", "3")
LONG_PROFILE = (*PROFILE[:3], "--budget-minutes", "3")
LONG_SEARCH = ("evit-search", "--target-ms", "999", "--population", "20", "--generations", "400")
RESUME = ("evit-train", "--workspace", HALF_TRAINED, "--epochs", str(EPOCHS))
SEARCH_ON = (
    "evit-search",
    "--workspace",
    HALF_SEARCHED,
    "--target-ms",
    "1000",
    *SMALL,
    "--seed",
    "1",
)
EXPLAIN = ("evit-profile", "--explain", "smallest")
ALL = ("*",)


def _training(site: Site) -> None:
    site.start(LONG_TRAIN, lambda: len(list(site.root.glob(".evit/runs/*/run.json"))) > 1)


def _profiling(site: Site) -> None:
    table = site.root / ".evit/lut.sqlite-wal"
    site.start(LONG_PROFILE, lambda: table.exists() and table.stat().st_size > 50_000)


def _searching(site: Site) -> None:
    site.start(
        LONG_SEARCH, lambda: len(list(site.root.glob(".evit/searches/*/state.json"))) > 1, 90
    )


def _killed(argv: tuple[str, ...], pattern: str, number: int) -> Callable[[Site], None]:
    """Start a command and end it as soon as a file is there."""

    def spoil(site: Site) -> None:
        before = set(site.root.glob(pattern))
        process = Popen(program(argv), cwd=site.root, env=site.env, stdout=DEVNULL, stderr=DEVNULL)
        ends = time.monotonic() + 50
        while process.poll() is None and not set(site.root.glob(pattern)) - before:
            time.sleep(0.01)
            if time.monotonic() > ends:
                break
        if process.poll() is None:
            os.kill(process.pid, number)
        process.wait()

    return spoil


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found: list[Attack] = []

    def add(
        name: str,
        argv: tuple[str, ...],
        spoil: Callable[[Site], None],
        *names: str,
        allowed: tuple[str, ...] = (REFUSED,),
    ) -> None:
        found.append(
            Attack(
                kind="several",
                name=f"{name} ({argv[0]})",
                argv=argv,
                spoil=spoil,
                names=names,
                allowed=allowed,
                touched=ALL,
                limit_s=120,
            )
        )

    add("the same training twice", LONG_TRAIN, _training, "process")
    add("another training beside one", ("evit-train", "--epochs", "1"), _training, allowed=(OK,))
    add("a search beside a training", SEARCH, _training, allowed=(OK, REFUSED))
    add("a profile beside a training", PROFILE, _training, allowed=(OK,))
    add("a second profile", PROFILE, _profiling, "process")
    add("a training beside a profile", ("evit-train", "--epochs", "1"), _profiling, allowed=(OK,))
    add("an explanation beside a profile", EXPLAIN, _profiling, allowed=(OK,))
    add("an exported table beside a profile", TABLE_CSV, _profiling, allowed=(OK, REFUSED))
    add("the same search twice", LONG_SEARCH, _searching, "process")
    add("another search beside one", SEARCH, _searching, allowed=(OK,))
    add("an export beside a search", EXPORT, _searching, allowed=(OK, REFUSED))
    for name, number in (
        ("killed", signal.SIGKILL),
        ("ended", signal.SIGTERM),
        ("interrupted", signal.SIGINT),
    ):
        add(
            f"a training that was {name}",
            RESUME,
            _killed(RESUME, f"{HALF_TRAINED}/runs/*/result.json", number),
            allowed=(EQUAL,),
        )
        add(
            f"a search that was {name}",
            SEARCH_ON,
            _killed(SEARCH_ON, f"{HALF_SEARCHED}/searches/*/front.csv", number),
            allowed=(EQUAL,),
        )
        add(
            f"an export that was {name}",
            EXPORT,
            _killed(EXPORT, ".evit/exports/*", number),
            allowed=(EQUAL,),
        )
        add(
            f"a profile that was {name}",
            PROFILE,
            _killed(PROFILE, ".evit/lut.sqlite-wal", number),
            allowed=(OK,),
        )
    return found
