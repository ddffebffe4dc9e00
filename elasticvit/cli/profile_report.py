"""What `evit-profile` shows: tables for people, results as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from elasticvit.cli.app import Report
from elasticvit.cli.profile_fit import SUBNETS, Errors
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from devices.catalog import CatalogEntry
    from devices.discovery import Connected
    from elasticvit.space import SearchSpace
    from lut.profile import ProfileSummary
    from predictors.predictor import Predictor

NEXT = "evit-train"
NAMED = 5  # rejected or missing kernels that are listed before they are only counted
TWICE = "noise floor: subnets timed twice"


def noise_floor(summary: ProfileSummary) -> dict[str, float] | None:
    """How far the held-out subnets agree with themselves; None when none was timed twice."""
    from predictors.metrics import error_summary

    first, second = summary.twice
    return error_summary(first, second).to_dict() if len(first) else None


def show_profile(
    report: Report, summary: ProfileSummary, errors: Errors, notes: Sequence[str]
) -> None:
    """The closing tables of a profile.

    Args:
        notes: what else there is to say about it, such as the device's own conditions.
    """
    from rich.table import Table

    say = report.console.print
    say(f"measured on {summary.info.name}: {summary.series}")
    counts = Table("kind")
    for column in ("to fit with", "held out"):
        counts.add_column(column, justify="right")
    for kind in dict.fromkeys([*summary.fitted, *summary.held_out]):
        counts.add_row(kind, *(str(c.get(kind, 0)) for c in (summary.fitted, summary.held_out)))
    say(counts)
    floor = noise_floor(summary)
    show_errors(report, errors if floor is None else {**errors, TWICE: floor})
    if summary.drift is not None:
        d = summary.drift
        say(
            f"drift: the reference subnet took {d.median_ms:.3g} ms in the median of {d.count} "
            f"timings over the profile; 80 % of them lie within {d.spread_pct:.1f} %"
            + (f", and {d.steady_pct:.1f} % when the gauges correct them" if d.steady_pct else "")
        )
    for note in notes:
        say(note)
    for key, reason in list(summary.rejected.items())[:NAMED]:
        say(f"rejected: {key}: {reason}")
    if len(summary.rejected) > NAMED:
        say(f"and {len(summary.rejected) - NAMED} more rejected")
    say(f"{summary.timed} timings in {summary.seconds:.0f} s")
    if not summary.complete:
        say("the budget ended before the plan did; run the same command again to complete it")


def show_errors(report: Report, errors: Errors) -> None:
    """Errors on held-out models, a row a kind of model."""
    from rich.table import Table

    if not errors:
        return
    table = Table("never fitted to")
    for column in ("count", "within 5 %", "within 10 %", "RMSPE", "bias"):
        table.add_column(column, justify="right")
    for name, e in errors.items():
        table.add_row(
            name,
            f"{e['count']:.0f}",
            f"{e['within_5_pct']:.0f} %",
            f"{e['within_10_pct']:.0f} %",
            f"{e['rmspe_pct']:.1f} %",
            f"{e['bias_pct']:+.1f} %",
        )
    report.console.print(table)
    subnets = errors.get(SUBNETS, {})
    if "upper_nominal_pct" in subnets:
        report.console.print(
            f"upper bound: holds for {subnets.get('upper_pct', 0.0):.0f} % of the held-out "
            f"subnets, meant for {subnets['upper_nominal_pct']:.0f} %"
        )


def show_reach(report: Report, predictor: Predictor, space: SearchSpace) -> dict[str, float] | None:
    """What targets make sense: predicted milliseconds of the space's fastest, median and slowest
    architecture; None when the profile was cut too short to price the space."""
    import numpy as np

    from elasticvit.errors import PredictorError
    from elasticvit.search.caps import reach

    try:
        cost = predictor.cost(space)
    except PredictorError as error:
        report.console.print(f"not every architecture can be priced yet: {error}")
        return None
    found = reach(space, cost.price, np.random.default_rng(0))
    report.console.print(
        f"space {space.name} on {predictor.device}: fastest {found.low:.3g} ms, median "
        f"{found.median:.3g} ms, slowest {found.high:.3g} ms"
    )
    return {"fastest": found.low, "median": found.median, "slowest": found.high}


def show_devices(
    report: Report, connected: Sequence[Connected], catalog: Mapping[str, CatalogEntry]
) -> None:
    """What is connected, and the catalogue."""
    from rich.table import Table

    table = Table("where", "serial", "product", "name", "state", title="connected")
    for phone in connected:
        state = phone.state if not phone.hint else f"{phone.state}: {phone.hint}"
        table.add_row(phone.where, phone.serial, phone.product, phone.name or "unknown", state)
    if connected:
        report.console.print(table)
    else:
        report.console.print("no phone is connected")
    report.console.print(f"known devices: host, {', '.join(catalog)}")


def profile_result(folder: Workspace, summary: ProfileSummary, errors: Errors) -> dict[str, Any]:
    """Everything a profile found, for JSON."""
    series = summary.series
    return {
        "device": summary.info.name,
        "source": series.source,
        "runtime": series.runtime,
        "threads": series.threads,
        "cores": series.cores,
        "measured": summary.fitted,
        "held_out": summary.held_out,
        "timed": summary.timed,
        "seconds": summary.seconds,
        "complete": summary.complete,
        "rejected": summary.rejected,
        "errors": {name: dict(e) for name, e in errors.items()},
        "noise_floor": noise_floor(summary),
        "drift": None if summary.drift is None else asdict(summary.drift),
        "lut": str(folder.lut_path),
        "predictor": str(folder.predictor_path(summary.info.name)),
    }
