"""Which kind of sampler a training has: its settings, and which of them exclude each other.

This module does not load torch.
"""

from __future__ import annotations

from typing import Any

from elasticvit.errors import SettingError
from elasticvit.reading import shown

SAMPLINGS = ("adjacent", "uniform", "sandwich")
HSS = (1, 3)
NEED_LEVELS = ("bank", "preference", "grow", "level_bias")
SUBNETS = 3  # sampled subnets a step: the paper's, and with a sandwich BigNAS's


def default_sampling(
    sampling: str | None, hss: int | None, bank: bool | None, preference: bool | None
) -> dict[str, Any]:
    """The settings of a sampler with those that are None filled in: with complexity levels, all
    techniques of the paper; without, none, and nothing of what a recipe has for a walk over levels.

    Args:
        sampling: `adjacent`, `uniform` or `sandwich`.
        hss: Number of smallest subnets.
        bank: Whether there are memory banks.
        preference: Whether the path preference rule is followed.
    """
    sampling = SAMPLINGS[0] if sampling is None else sampling
    adjacent = sampling == "adjacent"
    without_levels = {"subnets": SUBNETS, "level_bias": 0.0, "grow": 0.0}
    return {
        **({} if adjacent else without_levels),
        "sampling": sampling,
        "hss": (HSS[-1] if adjacent else 1) if hss is None else hss,
        "bank": adjacent if bank is None else bank,
        "preference": adjacent if preference is None else preference,
    }


def check_sampling(
    sampling: Any,
    hss: Any = None,
    bank: Any = None,
    preference: Any = None,
    grow: Any = None,
    level_bias: Any = None,
) -> None:
    """Check the settings of a sampler; one that is None is left to `default_sampling`.

    Args:
        sampling: `adjacent`, `uniform` or `sandwich`.
        hss: Number of smallest subnets.
        bank: Whether there are memory banks.
        preference: Whether the path preference rule is followed.
        grow: Share of the training after which all complexity levels are in.
        level_bias: How much more often cheap levels are visited.

    Raises:
        SettingError: A value is none of those there are, or contradicts another.
    """
    if sampling not in SAMPLINGS:
        raise SettingError(
            f"sampling is {shown(sampling)}; it must be one of {', '.join(SAMPLINGS)}",
            settings=["sampling"],
        )
    if hss is not None and (type(hss) is not int or hss not in HSS):
        raise SettingError(
            f"hss is {shown(hss)}; it must be 1, one smallest subnet for all complexity levels, or "
            "3, one for each third of them",
            settings=["hss"],
        )
    for name, value in (("bank", bank), ("preference", preference)):
        if value is not None and not isinstance(value, bool):
            raise SettingError(
                f"{name} is {shown(value)}; it must be True or False", settings=[name]
            )
    if sampling == "adjacent":
        return
    asked = [n for n, v in zip(NEED_LEVELS, (bank, preference, grow, level_bias), strict=True) if v]
    named = list(asked)
    if hss not in (None, 1):
        asked.append("hss")
        named.append(f"hss {hss}")
    if asked:
        what = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
        raise SettingError(
            f"{what} {'needs' if len(asked) == 1 else 'need'} complexity levels, which sampling "
            f"{sampling} does not have; choose sampling adjacent, or leave "
            f"{'it' if len(asked) == 1 else 'them'} out",
            settings=["sampling", *asked],
        )
