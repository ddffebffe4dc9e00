"""A space with some genes fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from elasticvit.errors import SpaceError
from elasticvit.reading import shown
from elasticvit.space import SearchSpace


def keep_genes(space: SearchSpace, kept: Mapping[str, int]) -> SearchSpace:
    """The part of a space in which genes have given values.

    Widths never fall from stage to stage, so choices of other widths that no architecture can have
    any more are left out, too.

    Args:
        space: The space.
        kept: Values by the name of the gene, such as `resolution` or `attn1.width`.

    Raises:
        SpaceError: There is no such gene, it does not offer the value, or two values contradict
            each other.
    """
    choices = list(space.choices)
    for name, value in kept.items():
        if name not in space.names:
            raise SpaceError(
                f"keep names the gene {shown(name)}, which space {space.name} does not have; it "
                f"has {', '.join(space.names)}",
                settings=["keep"],
            )
        column = space.names.index(name)
        if value not in choices[column]:
            raise SpaceError(
                f"keep sets {name} to {value}; space {space.name} offers "
                f"{', '.join(map(str, space.choices[column]))}",
                settings=["keep"],
            )
        choices[column] = (value,)
    columns = [i for i, name in enumerate(space.names) if name.endswith(".width")]
    for before, after in pairwise(columns):
        choices[after] = tuple(w for w in choices[after] if w >= choices[before][0])
        if not choices[after]:
            raise SpaceError(
                f"keep leaves no width for {space.names[after]}: widths never fall from stage to "
                f"stage, and {space.names[before]} is at least {choices[before][0]}",
                settings=["keep"],
            )
    for after, before in pairwise(columns[::-1]):
        choices[before] = tuple(w for w in choices[before] if w <= choices[after][-1])
    return replace(space, choices=tuple(choices))
