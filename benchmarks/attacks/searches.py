"""Class `searches`: damaged states and results of searches."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from attacks.attack import EQUAL, REFUSED, WORKSPACE, Attack, Site
from attacks.damage import byte_attacks, document_attacks, remove
from attacks.prepared import EXPORT, HALF_SEARCHED, SMALL
from elasticvit.searching.state_file import checksum_of

STATE, RESULT = f"{HALF_SEARCHED}/searches/*/state.json", f"{WORKSPACE}/searches/*/search.json"
RESUME = (
    *("evit-search", "--workspace", HALF_SEARCHED, "--target-ms", "1000", *SMALL),
    *("--seed", "1"),
)


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    few = ("empty", "cut", "random", "nested", "not UTF-8", "zeros", "doubled")
    found = [
        *document_attacks(
            *("searches", prepared, STATE, RESUME, 12), seed=1, also_named=("checksum",)
        ),
        *document_attacks("searches", prepared, STATE, RESUME, 30, seed=3, seal=_sealed),
        *document_attacks("searches", prepared, RESULT, EXPORT, 30, seed=2),
        *byte_attacks("searches", prepared, STATE, RESUME, only=few),
        *byte_attacks("searches", prepared, RESULT, EXPORT, only=few),
    ]
    gone = {
        "search.json is gone": (EXPORT, "searches/*/search.json", "search.json"),
        "subnet.pt is gone": (EXPORT, "searches/*/subnet.pt", "subnet.pt"),
        "the search's folder is empty": (EXPORT, "searches/*/*", "searches/"),
        "the search's run is gone": (EXPORT, "runs", "runs/"),
    }
    for name, (argv, pattern, named) in gone.items():
        found.append(
            Attack(
                kind="searches",
                name=name,
                argv=argv,
                spoil=lambda site, pattern=pattern: remove(site, f"{WORKSPACE}/{pattern}"),
                names=(named,),
                allowed=(REFUSED, EQUAL),
            )
        )
    found.append(
        Attack(
            kind="searches",
            name="the state of another search in its place",
            argv=RESUME,
            spoil=_other_state,
            allowed=(REFUSED, EQUAL),
            names=("state.json",),
        )
    )
    return found


def _sealed(document: Any) -> Any:
    """The state of a search with the checksum that its content has."""
    if not isinstance(document, dict) or "checksum" not in document:
        return document
    data = {key: value for key, value in document.items() if key != "checksum"}
    try:
        return {**data, "checksum": checksum_of(data)}
    except ValueError:  # it has none, since it holds numbers that are not finite
        return document


def _other_state(site: Site) -> None:
    shutil.copy(site.one(f"{WORKSPACE}/searches/*/state.json"), site.one(STATE))
