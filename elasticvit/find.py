"""Architectures by what people call them."""

from __future__ import annotations

from elasticvit.arch import Arch
from elasticvit.errors import ArchError
from elasticvit.published import PUBLISHED, published
from elasticvit.reading import shown
from elasticvit.space import SearchSpace, find_space

ENDS = ("smallest", "largest")


def find_arch(what: Arch | str, space: SearchSpace | str) -> Arch:
    """An architecture of a space.

    Args:
        what: `smallest` or `largest` of the space, or anything that `read_arch` reads.
        space: The space, its name, or its TOML file.

    Raises:
        ArchError: no such architecture, or not in the space; the gene and its choices are named.
        SpaceError: no such space.
    """
    if not isinstance(space, SearchSpace):
        space = find_space(space)
    if isinstance(what, str) and what.strip() in ENDS:
        return space.smallest if what.strip() == "smallest" else space.largest
    arch = read_arch(what)
    try:
        return space.check(arch)
    except ArchError as error:
        raise ArchError(f"{shown(str(what))}: {error}; name another, or its space") from error


def read_arch(what: Arch | str) -> Arch:
    """An architecture, whatever its space.

    Args:
        what: An architecture; the name of a published one; the text form that tables print
            (`Arch.parse`); or JSON (`Arch.from_json`).

    Raises:
        ArchError: none of these.
    """
    if isinstance(what, Arch):
        return what
    if not isinstance(what, str):
        raise ArchError(
            f"architecture is {shown(what)}; it must be one architecture, or its name or text"
        )
    text = what.strip()
    if text.startswith("{"):
        return Arch.from_json(text)
    if "|" in text:
        return Arch.parse(text)
    try:
        return published(text)
    except ArchError as error:
        raise ArchError(
            f"no architecture {shown(what)}; name {', '.join((*ENDS, *PUBLISHED))}, or give it as "
            "tables print it, such as 'r32 8x1e1k3 16x1e2k3 24x1e2k3 | 48x1m2v2 64x1m2v2', or "
            "as JSON"
        ) from error
