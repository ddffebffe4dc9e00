"""Class `spaces`: damaged and senseless files of search spaces, and one that changes."""

from __future__ import annotations

from pathlib import Path

import tomlkit

from attacks.attack import OK, REFUSED, WORKSPACE, Attack, Site
from attacks.damage import byte_attacks, document_attacks
from attacks.prepared import SEARCH

SPACE = ("--space", "micro.toml")
EXPLAIN = ("evit-profile", "--explain", "smallest", *SPACE)
PROFILE = ("evit-profile", *SPACE, "--budget-minutes", "0.02", "--device", "fake")
TRAIN = ("evit-train", *SPACE, "--epochs", "1", "--fresh")
CHOICES = {  # gene: choices that no network can have
    "resolution": ([0], [-16], [16.5], [40000], [10**12], [True], ["16"], [], [24, 16], [16, 16]),
    "stem.width": ([0], [-8], [40000], [16.5], [True], list(range(8, 8 * 4000, 8))),
    "stem.depth": ([0], [-1], [1000]),
    "stem.kernel": ([2], [0], [-3], [10001], [3.5]),
    "conv1.depth": ([0], [1.5], [100000]),
    "conv1.expansion": ([0], [-2], [10**6]),
    "attn1.width": ([17], [16, 0], [10**9]),
    "attn1.mlp_ratio": ([0], [-1], [10**6]),
    "attn1.v_scale": ([0], [-2], [10**6]),
}
LAYOUT = {
    "head_hidden": (-1, 0, 10**9, 1.5, "64"),
    "head_expansion": (0, -1, 10**6),
    "classes": (0, -5, 10**9, 2.5),
    "conv_strides": ([9], [0], [-1], [2, 2], [], [1000000]),
    "conv_se": ([1], ["true"], [True, True]),
    "attn_strides": ([9], [], [3]),
    "in_channels": (0, 1, -3, 10**6),
}


def _with(table: str, key: str, value: object) -> object:
    def spoil(site: Site) -> None:
        path = site.root / "micro.toml"
        document = tomlkit.parse(path.read_text()).unwrap()
        document[table][key] = value
        path.write_text(tomlkit.dumps(document))

    return spoil


def _named(name: object) -> object:
    def spoil(site: Site) -> None:
        path = site.root / "micro.toml"
        document = tomlkit.parse(path.read_text()).unwrap()
        document["name"] = name
        path.write_text(tomlkit.dumps(document))

    return spoil


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found = [
        *document_attacks("spaces", prepared, "micro.toml", EXPLAIN, 20, seed=1),
        *document_attacks("spaces", prepared, "micro.toml", TRAIN, 10, seed=2),
        *byte_attacks("spaces", prepared, "micro.toml", EXPLAIN),
    ]
    for table, fields in (("choices", CHOICES), ("layout", LAYOUT)):
        for key, values in fields.items():
            for number, value in enumerate(values):  # type: ignore[arg-type]
                argv = (EXPLAIN, TRAIN, PROFILE)[number % 3]
                found.append(
                    Attack(
                        kind="spaces",
                        name=f"{key} = {str(value)[:30]} ({argv[0]})",
                        argv=argv,
                        spoil=_with(table, key, value),  # type: ignore[arg-type]
                        names=(
                            ("micro.toml", "space micro"),
                            (key.split(".")[-1], "stem", "conv1", "attn1"),
                        ),
                    )
                )
    for name in ("../../x", "", 5, "a\nb", ".hidden", "x" * 300, "a/b"):
        found.append(
            Attack(
                kind="spaces",
                name=f"name = {str(name)[:20]!r}",
                argv=TRAIN,
                spoil=_named(name),  # type: ignore[arg-type]
                names=("micro.toml", "name"),
            )
        )
    edited = _with("choices", "resolution", [16])
    for name, argv, allowed in (
        (
            "changed under the same name: trained anew",
            ("evit-train", *SPACE, "--epochs", "4"),
            (OK,),
        ),
        (
            "changed under the same name: resumed",
            ("evit-train", *SPACE, "--epochs", "4", "--resume"),
            (REFUSED,),
        ),
        ("changed under the same name: explained", EXPLAIN, (OK,)),
        ("changed under the same name: searched", SEARCH, (OK,)),
    ):
        found.append(
            Attack(
                kind="spaces",
                name=name,
                argv=argv,
                spoil=edited,  # type: ignore[arg-type]
                allowed=allowed,
            )
        )
    found.append(
        Attack(
            kind="spaces",
            name="the definition in the settings is of another space",
            argv=EXPLAIN[:3],
            spoil=lambda site: _replace(site.workspace / "settings.toml"),
            names=("settings.toml",),
        )
    )
    return found


def _replace(path: Path) -> None:
    text = path.read_text()
    assert text.count("micro") > 1, f"{path} under {WORKSPACE} names the space no more"
    path.write_text(text.replace('name = "micro"', 'name = "nano"'))
    (path.parent.parent / "micro.toml").unlink()
