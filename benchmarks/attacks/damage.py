"""Attacks that damage a file: every field of a document, or the bytes of the file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from mutations import Mutation, byte_mutations, mutations, sample

from attacks.attack import EQUAL, REFUSED, Attack, Site

SEED = 20261124
SHORT = 30  # characters of a value that a message must show at least


def dump(document: Any, path: Path) -> bytes:
    """The bytes of a document in the form of a file."""
    if path.suffix == ".toml":
        return tomlkit.dumps(document).encode("utf-8", "surrogateescape")
    return json.dumps(document, indent=1).encode()


def load(path: Path) -> Any:
    """The document that a JSON or TOML file holds."""
    if path.suffix == ".toml":
        return tomlkit.parse(path.read_text()).unwrap()
    return json.loads(path.read_text())


def document_attacks(
    kind: str,
    prepared: Path,
    pattern: str,
    argv: tuple[str, ...],
    count: int,
    *,
    seed: int = 0,
    only: Callable[[Mutation], bool] = lambda _: True,
    before: Callable[[Site], object] = lambda _: None,
    like: tuple[str, ...] | None = None,
    touched: tuple[str, ...] = (),
    also_named: tuple[str, ...] = (),
    seal: Callable[[Any], Any] = lambda document: document,
) -> list[Attack]:
    """Attacks on single fields of a JSON or TOML file.

    A value of another type must be refused, with file and field, or make no difference; one that
    is odd must be refused, or make no difference, and a text may appear where it is shown.

    Args:
        pattern: Pattern of the file in the prepared folder, which must find one.
        argv: Command that reads it.
        count: Number of attacks, chosen from all mutations by a seed.
        only: Which mutations are meant.
        before: Changes the site first.
        also_named: What a refusal may name instead of the field.
        seal: Makes checksums in a damaged document right again.
    """
    path = _found(prepared, pattern)
    possible = [m for m in mutations(load(path)) if only(m) and _has_form(m, path)]
    attacks = []
    for mutation in sample(possible, count, SEED + seed):

        def spoil(site: Site, mutation: Mutation = mutation) -> None:
            before(site)
            target = site.one(pattern)
            target.write_bytes(dump(seal(mutation.document), target))

        attacks.append(
            Attack(
                kind=kind,
                name=f"{path.name}: {mutation.field or 'the whole'}: {mutation.name} ({argv[0]})",
                argv=argv,
                spoil=spoil,
                names=_names(path, mutation, also_named),
                allowed=(REFUSED, EQUAL),
                carried=mutation.value if isinstance(mutation.value, str) else None,
                like=like,
                touched=touched,
            )
        )
    return attacks


def _has_form(mutation: Mutation, path: Path) -> bool:
    """Whether a file of this kind can hold a damaged document."""
    if path.suffix != ".toml":
        return True
    try:
        dump(mutation.document, path)
    except (TypeError, ValueError, AttributeError):  # TOML has no null, and only tables as a whole
        return False
    return True


def _names(
    path: Path, mutation: Mutation, also: tuple[str, ...]
) -> tuple[str | tuple[str, ...], ...]:
    """What a refusal must name: file and field, or for a text that is only odd one of them, or
    the text."""
    keys = tuple(step for step in mutation.path if isinstance(step, str))
    if path.suffix == ".json" and mutation.name in ("not a number", "infinite"):
        return (path.name,)  # no JSON at all, says the standard
    if mutation.broken and mutation.name != "missing" and keys:
        return (path.name, (*keys, *also))
    value = str(mutation.value)[:SHORT]
    shown = (value,) if isinstance(mutation.value, str) and value else ()
    return ((path.name, *keys, *shown, *also),)


def byte_attacks(
    kind: str,
    prepared: Path,
    pattern: str,
    argv: tuple[str, ...],
    *,
    only: Sequence[str] = (),
    names: tuple[str | tuple[str, ...], ...] | None = None,
    before: Callable[[Site], object] = lambda _: None,
    like: tuple[str, ...] | None = None,
    special: bool = True,
    touched: tuple[str, ...] = (),
) -> list[Attack]:
    """Attacks on the bytes of a file, and on what lies in its place.

    Args:
        only: Beginnings of the names of the mutations that are meant; all if empty.
        special: Whether folders, links, pipes and devices are put in the file's place as well.
    """
    path = _found(prepared, pattern)
    wanted = (path.name,) if names is None else names
    attacks = []

    def add(name: str, change: Callable[[Path], object], limit_s: float = 60.0) -> None:
        def spoil(site: Site) -> None:
            before(site)
            change(site.one(pattern))

        attacks.append(
            Attack(
                kind=kind,
                name=f"{path.name}: {name} ({argv[0]})",
                argv=argv,
                spoil=spoil,
                names=wanted,
                allowed=(REFUSED, EQUAL),
                like=like,
                touched=touched,
                limit_s=limit_s,
            )
        )

    for name, _ in byte_mutations(path.read_bytes()):
        if not only or name.startswith(tuple(only)):
            add(name, lambda target, name=name: _damage_bytes(target, name))
    if special:
        for name, change in SPECIAL.items():
            add(name, change, limit_s=25.0)
    return attacks


def _damage_bytes(path: Path, wanted: str) -> None:
    """Damage a file in the way of a name."""
    for name, data in byte_mutations(path.read_bytes()):
        if name == wanted:
            path.write_bytes(data)
            return


def as_folder(path: Path) -> None:
    """Put a folder in place of a file."""
    path.unlink()
    path.mkdir()


def as_dangling(path: Path) -> None:
    """Put a link to nothing in place of a file."""
    path.unlink()
    path.symlink_to("nowhere")


def as_loop(path: Path) -> None:
    """Put a link to itself in place of a file."""
    path.unlink()
    path.symlink_to(path.name)


def as_pipe(path: Path) -> None:
    """Put a named pipe that nobody writes to in place of a file."""
    path.unlink()
    os.mkfifo(path)


def as_endless(path: Path) -> None:
    """Put a link to a device that never ends in place of a file."""
    path.unlink()
    path.symlink_to("/dev/zero")


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a folder in its place": as_folder,
    "a dangling link": as_dangling,
    "a link to itself": as_loop,
    "a named pipe": as_pipe,
    "a link to /dev/zero": as_endless,
}


def _found(prepared: Path, pattern: str) -> Path:
    found = sorted(prepared.glob(pattern))
    if not found:
        raise LookupError(f"the prepared folder has no {pattern}")
    return found[-1]


def remove(site: Site, *patterns: str) -> None:
    """Remove files and folders of a site."""
    for pattern in patterns:
        for path in site.root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
