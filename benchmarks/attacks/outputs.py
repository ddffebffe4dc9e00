"""Class `environment`: closed and full outputs, odd terminals, locales and system folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attacks.attack import CLOSED, EQUAL, OK, PIPE, REFUSED, Attack, Site
from attacks.commands import COMMANDS
from attacks.prepared import EPOCHS, EXPORT, SEARCH

EXPLAIN = ("evit-profile", "--explain", "smallest")
AGAIN = ("evit-train", "--epochs", str(EPOCHS))
PIPE_EXITS = (1, 141, -13)  # what Unix tools do when nobody reads on


def _out(path: str) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        site.stdout = path

    return spoil


def _env(**changes: str | None) -> Callable[[Site], None]:
    def spoil(site: Site) -> None:
        for name, value in changes.items():
            if value is None:
                site.env.pop(name, None)
            else:
                site.env[name] = value

    return spoil


ENVIRONMENTS = {
    "no HOME": _env(HOME=None),
    "HOME that is not there": _env(HOME="/nowhere/at/all"),
    "TMPDIR that is not there": _env(TMPDIR="/nowhere/at/all"),
    "HOME and TMPDIR are files": _env(HOME="/dev/null", TMPDIR="/dev/null"),
    "locale C": _env(LANG="C", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    "a locale that is not there": _env(LANG="xx_YY.UTF-9", LC_ALL="xx_YY.UTF-9"),
    "output in Latin-1": _env(PYTHONIOENCODING="latin-1"),
    "output in ASCII": _env(PYTHONIOENCODING="ascii"),
    "40 columns": _env(COLUMNS="40"),
    "1 column": _env(COLUMNS="1"),
    "columns of text": _env(COLUMNS="many", LINES="few"),
    "no PATH": _env(PATH=""),
    "a dumb terminal": _env(TERM="dumb", FORCE_COLOR="1"),
    "threads of rubbish": _env(OMP_NUM_THREADS="many"),
    "a rank of rubbish": _env(RANK="first", WORLD_SIZE="2"),
    "a rank without a master": _env(RANK="0", WORLD_SIZE="2", MASTER_ADDR=None),
}


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found = []
    for argv in (EXPLAIN, AGAIN, ("evit-profile", "--list-devices"), ("evit-train", "--help")):
        for name, spoil, allowed, exits, names in (
            ("standard output is closed", _out(CLOSED), (OK, REFUSED), (), ()),
            ("standard output is full", _out("/dev/full"), (REFUSED,), (), ("output",)),
            ("nobody reads standard output", _out(PIPE), (OK,), PIPE_EXITS, ()),
        ):
            for json in (True, False):
                if "--help" in argv and json:
                    continue
                found.append(
                    Attack(
                        kind="environment",
                        name=f"{name} ({' '.join(argv)}{' --json' if json else ''})",
                        argv=argv,
                        spoil=spoil,
                        allowed=allowed,
                        exits=exits,
                        names=names,
                        process=True,
                        json=json,
                    )
                )
    for name, spoil in ENVIRONMENTS.items():
        ranks = "rank" in name
        for argv in (("evit-train", "--epochs", "4") if ranks else EXPLAIN,):
            found.append(
                Attack(
                    kind="environment",
                    name=f"{name} ({argv[0]})",
                    argv=argv,
                    spoil=spoil,
                    allowed=(REFUSED,) if ranks else (OK,),
                    process=True,
                )
            )
    for name in ("locale C", "output in ASCII", "TMPDIR that is not there"):
        for argv in (AGAIN, SEARCH, EXPORT):
            found.append(
                Attack(
                    kind="environment",
                    name=f"{name} ({argv[0]})",
                    argv=argv,
                    spoil=ENVIRONMENTS[name],
                    allowed=(OK, REFUSED) if name.startswith("TMPDIR") else (OK,),
                    process=True,
                    json=name == "locale C",
                )
            )
    if "evit-status" in COMMANDS:
        found.append(
            Attack(
                kind="environment",
                name="an empty folder (evit-status)",
                argv=("evit-status", "--workspace", "empty/.evit"),
                spoil=lambda site: (site.root / "empty").mkdir(),
                allowed=(EQUAL,),
                like=("evit-status", "--workspace", "empty/.evit"),
            )
        )
    return found
