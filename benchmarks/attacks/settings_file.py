"""Class `settings`: damaged and hostile `settings.toml`."""

from __future__ import annotations

from pathlib import Path

import tomlkit

from attacks.attack import EQUAL, REFUSED, WORKSPACE, Attack, Site
from attacks.damage import byte_attacks, document_attacks
from attacks.prepared import EXPORT, SEARCH

PATTERN = f"{WORKSPACE}/settings.toml"
EXPLAIN = ("evit-profile", "--explain", "smallest")
TRAIN_AGAIN = ("evit-train", "--epochs", "4")
OUTSIDE = "../elsewhere/.evit/runs/20200101-000000"


def _set(**changes: object) -> object:
    def spoil(site: Site) -> None:
        path = site.workspace / "settings.toml"
        document = tomlkit.parse(path.read_text())
        for key, value in changes.items():
            table, _, name = key.rpartition("__")
            (document[table] if table else document)[name] = value
        path.write_text(tomlkit.dumps(document))

    return spoil


def _outside_run(site: Site) -> None:
    """Point to a real run of another workspace."""
    other = site.root.parent / "elsewhere" / ".evit" / "runs" / "20200101-000000"
    other.parent.mkdir(parents=True)
    site.one(f"{WORKSPACE}/runs/*").rename(other)
    _set(latest__run=OUTSIDE)(site)  # type: ignore[operator]


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found = [
        *document_attacks("settings", prepared, PATTERN, EXPLAIN, 14, seed=1),
        *document_attacks("settings", prepared, PATTERN, TRAIN_AGAIN, 10, seed=2),
        *document_attacks("settings", prepared, PATTERN, SEARCH, 14, seed=3),
        *document_attacks("settings", prepared, PATTERN, EXPORT, 8, seed=4),
        *byte_attacks(
            *("settings", prepared, PATTERN, EXPLAIN), names=(("settings.toml", "workspace .evit"),)
        ),
    ]
    chosen = {
        "a run outside of the workspace": (SEARCH, _outside_run, ("settings.toml", "latest")),
        "a run that is gone": (SEARCH, _set(latest__run="runs/gone"), ("runs/gone",)),
        "a device outside": (EXPLAIN, _set(device="../../x"), ("../../x",)),
        "a device with an absolute path": (EXPLAIN, _set(device="/etc"), ("/etc",)),
        "a later version": (EXPLAIN, _set(schema=99), ("settings.toml", "99")),
        "classes as text": (EXPLAIN, _set(classes="ten"), ("settings.toml", "classes")),
        "no classes": (EXPLAIN, _set(classes=0), ("settings.toml", "classes")),
        "a runner as a number": (EXPLAIN, _set(runner=5), ("settings.toml", "runner")),
        "another space's name": (EXPLAIN, _set(space="tiny"), ("settings.toml", "space")),
        "data that is gone": (("evit-train",), _set(data="/gone/away"), ("/gone/away",)),
        "a space file that is gone": (EXPLAIN, _set(space_file="/gone/x.toml"), ("/gone/x.toml",)),
    }
    for name, (argv, spoil, names) in chosen.items():
        allowed = (REFUSED, EQUAL) if name.startswith("a space file") else (REFUSED,)
        found.append(
            Attack(
                kind="settings",
                name=name,
                argv=argv,
                spoil=spoil,  # type: ignore[arg-type]
                names=names,
                allowed=allowed,
            )
        )
    return found
