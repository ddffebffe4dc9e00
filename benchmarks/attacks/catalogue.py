"""Class `catalogue`: the workspace's own phones in `devices.toml`."""

from __future__ import annotations

from pathlib import Path

from mutations import MISSING, Mutation

from attacks.attack import OK, WORKSPACE, Attack
from attacks.damage import byte_attacks, document_attacks
from attacks.prepared import CATALOGUE

PATTERN = f"{WORKSPACE}/devices.toml"
LIST = ("evit-profile", "--list-devices")
OPEN = ("evit-profile", "--device", "mine", "--space", "micro.toml", "--address", "127.0.0.1:1")
TEXTS = {
    "an entry without match": "[mine]\nproduct = 'x'\n",
    "an unknown key": CATALOGUE + "adress = 'x'\n",
    "a name with a path": CATALOGUE.replace("[mine]", '["../../x"]'),
    "an empty name": CATALOGUE.replace("[mine]", '[""]'),
    "a name with a newline": CATALOGUE.replace("[mine]", '["a\\nb"]'),
    "the same entry twice": CATALOGUE + CATALOGUE,
    "an entry that is a text": "mine = 'x'\n",
    "a name of a thousand letters": CATALOGUE.replace("mine]", "m" * 1000 + "]"),
    "match of a text": CATALOGUE.replace('["mine"]', '"mine"'),
    "match of numbers": CATALOGUE.replace('["mine"]', "[5]"),
    "a board that is a text": CATALOGUE + "board = 'x'\n",
}


def _write(text: str) -> object:
    return lambda site: (site.workspace / "devices.toml").write_text(text)


def _not_empty(mutation: Mutation) -> bool:
    none = mutation.path in ((), ("mine",)) and mutation.name in ("empty", MISSING)
    return not none  # no phones are as good as no file


def _is_none(attack: Attack) -> bool:
    """Whether an attack amounts to a workspace without a catalogue, which is nothing special."""
    return any(name in attack.name for name in ("empty file", "dangling link", "link to itself"))


def attacks(prepared: Path) -> list[Attack]:
    """All attacks of the class."""
    found = [
        *document_attacks("catalogue", prepared, PATTERN, LIST, 14, only=_not_empty),
        *(a for a in byte_attacks("catalogue", prepared, PATTERN, LIST) if not _is_none(a)),
        *byte_attacks(
            *("catalogue", prepared, PATTERN, OPEN),
            only=("cut", "random"),
            names=(("devices.toml", "mine", "runner"),),
            special=False,
        ),
    ]
    for name, text in TEXTS.items():
        found.append(
            Attack(
                kind="catalogue",
                name=name,
                argv=LIST,
                spoil=_write(text),  # type: ignore[arg-type]
                names=("devices.toml",),
            )
        )
    found.append(
        Attack(
            kind="catalogue",
            name="markup in what is shown",
            argv=LIST,
            spoil=_write(CATALOGUE.replace("My phone", "[red]My[/red] [/] phone")),  # type: ignore[arg-type]
            allowed=(OK,),
        )
    )
    return found
