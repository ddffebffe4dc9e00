"""Search spaces by name: the presets, files, and those of other packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from elasticvit.errors import SpaceError
from elasticvit.kernels import Layout
from elasticvit.plugins import SPACES, load_plugin, plugin_names
from elasticvit.reading import shown
from elasticvit.search_space import SearchSpace as SearchSpace
from elasticvit.space_file import SPACE_FORMAT


def _space(name: str, layout: Layout, **stages: Sequence[Sequence[int]]) -> SearchSpace:
    """A space from its resolution choices and four lists of choices a stage."""
    (resolutions,) = stages.pop("resolution")
    rows = [tuple(options) for stage in stages.values() for options in stage]
    return SearchSpace(name, layout, (tuple(resolutions), *rows))


MOBILE = _space(
    "mobile",
    Layout(),
    resolution=[(128, 160, 176, 192, 224, 256)],
    stem=[(16, 24), (1, 2), (1,), (3, 5)],
    conv1=[range(16, 33, 8), range(2, 6), range(3, 7), (3, 5)],
    conv2=[range(16, 49, 8), range(2, 7), range(3, 7), (3, 5)],
    attn1=[range(48, 97, 16), range(1, 6), range(2, 6), range(2, 5)],
    attn2=[range(80, 161, 16), range(1, 7), range(2, 6), range(2, 5)],
    attn3=[range(144, 289, 16), range(1, 7), range(2, 6), range(2, 5)],
    attn4=[range(160, 321, 16), range(1, 7), range(2, 6), range(2, 5)],
)

TINY = _space(
    "tiny",
    Layout(
        conv_strides=(2, 1),
        conv_se=(False, True),
        attn_strides=(2, 1),
        head_expansion=2,
        head_hidden=256,
        classes=10,
    ),
    resolution=[(32, 40, 48, 64)],
    stem=[(8, 16), (1, 2), (1,), (3, 5)],
    conv1=[(16, 24), (1, 2, 3), (2, 3, 4), (3, 5)],
    conv2=[(24, 32, 40), (1, 2, 3), (2, 3, 4), (3, 5)],
    attn1=[(48, 64, 80), (1, 2, 3), (2, 3, 4), (2, 3, 4)],
    attn2=[(64, 80, 96, 112, 128), (1, 2, 3, 4), (2, 3, 4), (2, 3, 4)],
)

# a cut of mobile with its layout, so that weights of mobile can start it, for photographs of 64 to
# 128 pixels on one machine: 10 to 290 MMACs with ten classes, half of them below 73
PHOTO = _space(
    "photo",
    Layout(),
    resolution=[(64, 80, 96, 112, 128)],
    stem=[(16, 24), (1, 2), (1,), (3, 5)],
    conv1=[(16, 24), (2, 3, 4), (3, 4, 5), (3, 5)],
    conv2=[(16, 24, 32, 40), (2, 3, 4), (3, 4, 5), (3, 5)],
    attn1=[(48, 64, 80), (1, 2, 3, 4), (2, 3, 4), (2, 3, 4)],
    attn2=[(80, 96, 112, 128), (1, 2, 3, 4), (2, 3, 4), (2, 3, 4)],
    attn3=[(144, 160, 176, 192), (1, 2, 3, 4), (2, 3, 4), (2, 3, 4)],
    attn4=[(160, 192, 224, 256), (1, 2, 3, 4), (2, 3, 4), (2, 3, 4)],
)

PRESETS: Mapping[str, SearchSpace] = {space.name: space for space in (MOBILE, TINY, PHOTO)}


def find_space(name: str) -> SearchSpace:
    """A search space by its name.

    Args:
        name: A preset; the path of a TOML file; or a name that another package has added as an
            entry point of the group `elasticvit.spaces`, whose value is a `SearchSpace`, or a
            function without arguments that makes one.

    Raises:
        SpaceError: there is no such space (the known ones are listed), or the file or the other
            package does not give one.
    """
    if name in PRESETS:
        return PRESETS[name]
    path = Path(name)
    if path.suffix == ".toml":
        space = SearchSpace.from_toml(SPACE_FORMAT.read_bytes(path), str(path))
        preset = PRESETS.get(space.name)
        if preset is not None and preset != space.with_classes(preset.layout.classes):
            raise SPACE_FORMAT.failure(
                f"{path}: name is {shown(space.name)}, which is a preset; give it another name"
            )
        return replace(space, file=str(path.resolve()))
    found = load_plugin(SPACES, name, SpaceError)
    space = found() if callable(found) else found
    if isinstance(space, SearchSpace):
        return space
    if found is not None:
        raise SpaceError(f"space {name!r} of another package is of type {type(space).__name__}")
    known = ", ".join((*PRESETS, *plugin_names(SPACES)))
    raise SpaceError(
        f"no space {shown(name)}; known are {known}, or name a TOML file such as my.toml",
        settings=("space",),
    )
