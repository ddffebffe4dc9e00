"""Class `status`: `evit-status` in damaged workspaces, which it must describe rather than fail."""

from __future__ import annotations

from pathlib import Path

from attacks.attack import OK, WORKSPACE, Attack, Site
from attacks.damage import byte_attacks, document_attacks, remove

STATUS = ("evit-status",)
FILES = (
    *("exports/*/model.json", "runs/*/run.json", "runs/*/result.json", "searches/*/search.json"),
    *("predictors/host/predictor.json",),
)
GONE = (
    *("runs", "searches", "exports", "predictors", "lut.sqlite", "runs/*/*", "searches/*/*"),
    *("exports/*/*", "exports/*/model.tflite", "exports/*/labels.txt"),
)


def _markup(site: Site) -> None:
    (site.workspace / "predictors" / "[red]x").mkdir()
    (site.workspace / "runs" / "[bold]").mkdir()


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class; the command may refuse nothing but damaged settings."""
    few = ("empty", "cut after 1 ", "random", "nested")
    made: list[Attack] = []
    for number, name in enumerate(FILES):
        pattern = f"{WORKSPACE}/{name}"
        made += document_attacks("status", prepared, pattern, STATUS, 8, seed=number)
        made += byte_attacks("status", prepared, pattern, STATUS, only=few)
    made += byte_attacks("status", prepared, f"{WORKSPACE}/lut.sqlite", STATUS, only=few)
    found = [
        Attack(kind=a.kind, name=a.name, argv=a.argv, spoil=a.spoil, allowed=(OK,), limit_s=25)
        for a in made
    ]
    for name in GONE:
        found.append(
            Attack(
                kind="status",
                name=f"{name} is gone (evit-status)",
                argv=STATUS,
                spoil=lambda site, name=name: remove(site, f"{WORKSPACE}/{name}"),
                allowed=(OK,),
            )
        )
    found.append(
        Attack(
            kind="status",
            name="markup in names (evit-status)",
            argv=STATUS,
            spoil=_markup,
            allowed=(OK,),
        )
    )
    return found
