"""Which network an export is of: the settings that name one, and how they exclude each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from elasticvit.errors import SettingError
from elasticvit.flows.places import check_path
from elasticvit.reading import shown

SOURCES = ("search", "official_checkpoint", "supernet", "timm")
# a setting -> the settings of which one must be given with it
NEEDS: Mapping[str, tuple[str, ...]] = {
    "arch": ("supernet", "official_checkpoint"),
    "weights": ("timm",),
    "resolution": ("timm",),
    "data": ("supernet", "official_checkpoint", "timm"),
    "supernet": ("arch",),
    "official_checkpoint": ("arch",),
}
WHY = {
    "arch": "an architecture alone has no weights",
    "weights": "a file of weights alone is of no known network",
    "resolution": "that of any other network is part of its architecture",
    "data": "the images of a search are those that it was made with",
    "supernet": "a supernet holds many architectures",
    "official_checkpoint": "a supernet holds many architectures",
}


def check_sources(settings: Any) -> None:
    """Check the settings that name the network.

    Args:
        settings: Settings of the export flow.

    Raises:
        SettingError: Two networks are named, something that belongs to a setting is missing, or a
            value is of the wrong kind.
    """
    for name in ("official_checkpoint", "supernet", "weights", "data"):
        check_path(name, getattr(settings, name))
    if settings.timm is not None and (not isinstance(settings.timm, str) or not settings.timm):
        raise SettingError(
            f"timm is {shown(settings.timm)}; it must be the name of a network of timm's",
            settings=["timm"],
        )
    given = [name for name in SOURCES if getattr(settings, name) is not None]
    if len(given) > 1:
        raise SettingError(
            f"{' and '.join(given)} each name a network to export; name one of them",
            settings=given,
        )
    if settings.goal != 1 and given and given != ["search"]:
        raise SettingError(
            f"goal is {settings.goal}, but {given[0]} is exported; only searches have goals: leave "
            "goal out, or name a search",
            settings=["goal", "search"],
        )
    for name, others in NEEDS.items():
        if getattr(settings, name) is None or any(getattr(settings, o) is not None for o in others):
            continue
        raise SettingError(
            f"{name} is given without {' or '.join(others)}: {WHY[name]}; name "
            f"{'it' if len(others) == 1 else 'one of them'} too, or leave {name} out",
            settings=[name, *others],
        )


def source_text(settings: Any) -> str | None:
    """What an export is of in words; None if it is of a search."""
    if settings.timm is not None:
        return f"network {settings.timm} of timm"
    if settings.arch is not None:
        return f"{settings.arch} of {settings.official_checkpoint or settings.supernet}"
    return None
