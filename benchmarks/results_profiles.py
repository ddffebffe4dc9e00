"""How well the profiles predict what they held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]
SUMS, SUBNETS = "subnets, as sums of kernels", "subnets"


def _fitted(r: Result) -> str:
    kernels = sum(count for kind, count in r["measured"].items() if kind != "subnet")
    return f"{kernels} kernels, {r['measured']['subnet']} subnets"


def _close(errors: Mapping[str, float] | None) -> str:
    if errors is None:  # a profile that was too short for any
        return "none timed"
    return (
        f"{errors['within_5_pct']:.0f} / {errors['within_10_pct']:.0f} %, "
        f"{errors['rmspe_pct']:.1f} %"
    )


PROFILE_ROWS: dict[str, Callable[[Result], str]] = {
    "time for measuring": lambda r: f"{r['seconds'] / 60:.1f} min",
    "fitted with": _fitted,
    "held-out subnets": lambda r: f"{r['held_out']['subnet']}",
    "sums of kernels: bias": lambda r: f"{r['errors'][SUMS]['bias_pct']:+.1f} %",
    "predicted: bias": lambda r: f"{r['errors'][SUBNETS]['bias_pct']:+.1f} %",
    "predicted: within 5 / 10 %, RMSPE": lambda r: _close(r["errors"][SUBNETS]),
    "noise floor, the same subnets timed twice": lambda r: _close(r["noise_floor"]),
    "held-out kernels: within 5 / 10 %, RMSPE": lambda r: _close(r["errors"].get("kernels")),
    "upper bound: holds for / meant for": lambda r: (
        f"{r['errors'][SUBNETS]['upper_pct']:.0f} / "
        f"{r['errors'][SUBNETS]['upper_nominal_pct']:.0f} %"
    ),
    "the same over random partitions of all subnets": lambda r: (
        f"{r['coverage']['upper_pct']:.1f} / {r['coverage']['upper_nominal_pct']:.0f} % "
        f"({r['coverage']['splits']} partitions)"
        if "coverage" in r
        else ""
    ),
}


PROFILE_SUMMARY = (
    "time for measuring",
    "held-out subnets",
    "sums of kernels: bias",
    "predicted: within 5 / 10 %, RMSPE",
    "noise floor, the same subnets timed twice",
    "upper bound: holds for / meant for",
)


def profile_rows(
    lines: Mapping[str, Any], shown: Sequence[str] = tuple(PROFILE_ROWS)
) -> list[list[str]]:
    """The figures of some profiles, a column each."""
    results = [line["result"] for line in lines.values()]
    commands = [line["command"].partition(" --json")[0] for line in lines.values()]
    head = ["", *(f"`{command}`" for command in commands)]
    return [head, *([name, *map(PROFILE_ROWS[name], results)] for name in shown)]


def profile_summary(lines: Mapping[str, Any]) -> list[list[str]]:
    """The most telling ones."""
    return profile_rows(lines, PROFILE_SUMMARY)
