"""What `evit-profile` shows: tables for people, results as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from elasticvit.cli.app import Report
from elasticvit.cli.sources import origin
from elasticvit.errors import ArchError
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from devices.catalog import CatalogEntry
    from devices.discovery import Connected
    from elasticvit.arch import Arch
    from elasticvit.kernels import Kernel
    from elasticvit.space import SearchSpace
    from lut.dataset import Dataset
    from lut.importer import BlockTable
    from lut.profile import ProfileSummary
    from lut.store import Series
    from predictors.predictor import Predictor

NAMED = 5  # rejected or missing kernels that are listed before they are only counted
KERNELS = "kernels"
SUMS = "subnets, as sums of kernels"
SUBNETS = "subnets"
TWICE = "noise floor: subnets timed twice"
Errors = Mapping[str, Mapping[str, float]]


def held_out_errors(
    predictor: Predictor, data: Dataset, space: SearchSpace
) -> dict[str, dict[str, float]]:
    """Errors in percent on what was never fitted or chosen by: kernels on their own, and whole
    subnets before and after the network model."""
    from elasticvit.kernels import lower
    from predictors.metrics import error_summary

    errors = {}
    if data.held_kernels:
        kernels = list(data.held_kernels)
        measured = list(data.held_kernels.values())
        errors[KERNELS] = error_summary(predictor.kernels.ms(kernels), measured).to_dict()
    if data.held_subnets:
        lowered = [lower(arch, space.layout) for arch in data.held_subnets]
        measured = list(data.held_subnets.values())
        sums = [float(predictor.kernels.ms(kernels).sum()) for kernels in lowered]
        # not `predict_ms`: the errors of a profile that was cut short are to be seen, too
        predicted = [
            float(predictor.kernel_ms(kernels).sum()) + predictor.network.subnet_ms
            for kernels in lowered
        ]
        errors[SUMS] = error_summary(sums, measured).to_dict()
        covers = {k: v for k, v in predictor.interval.covers(predicted, measured).items() if v}
        errors[SUBNETS] = error_summary(predicted, measured).to_dict() | covers
    return errors


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


def show_block_table(
    report: Report, table: BlockTable, space: SearchSpace, missing: Sequence[Kernel]
) -> None:
    """What an imported block table says about the published architectures and about a space."""
    from rich.table import Table

    from elasticvit.published import PUBLISHED
    from elasticvit.space import find_space

    say = report.console.print
    if table.left_out:
        say(f"{table.left_out} rows left out that no architecture of this family can have")
    layout = find_space("mobile").layout
    rows = Table("architecture")
    rows.add_column("as it runs, ms", justify="right")
    rows.add_column("as the table's authors sum, ms", justify="right")
    for name, arch in PUBLISHED.items():
        rows.add_row(
            name,
            f"{table.sum_ms(arch, layout):.3f}",
            f"{table.authors_sum_ms(arch, layout):.3f}",
        )
    say(rows)
    say("the authors round odd map sides down, the strided convolutions that run round them up")
    if not missing:
        say(f"every architecture of space {space.name} is priced")
        return
    say(f"{len(missing)} kernels of space {space.name} are not in the table:")
    for kernel in missing[:NAMED]:
        say(f"  {kernel.key}")
    if len(missing) > NAMED:
        say(f"  and {len(missing) - NAMED} more (all of them under --json)")


def find_arch(space: SearchSpace, what: str) -> Arch:
    """A published architecture by name, `smallest` or `largest` of the space, or one as JSON.

    Raises:
        ArchError: none of these, or not in the space.
    """
    from elasticvit.arch import Arch
    from elasticvit.published import PUBLISHED, published

    if what in ("smallest", "largest"):
        return space.smallest if what == "smallest" else space.largest
    if what.lstrip().startswith("{"):
        return space.check(Arch.from_json(what))
    try:
        arch = published(what)
    except ArchError as error:
        raise ArchError(
            f"no architecture {what!r}; name smallest, largest, one of {', '.join(PUBLISHED)}, "
            "or give it as JSON"
        ) from error
    return space.check(arch)


def explained(predictor: Predictor, space: SearchSpace, what: str) -> list[dict[str, Any]]:
    """Milliseconds of every kernel of an architecture in its place, and of the subnet itself.

    Raises:
        ArchError: no such architecture in the space.
        PredictorError: a kernel that the predictor never saw.
    """
    from elasticvit.kernels import walk

    places = list(walk(find_arch(space, what), space.layout))
    kernels = [kernel for _, kernel in places]
    predictor.check(kernels)
    rows: list[dict[str, Any]] = [
        {"place": str(place), "kernel": kernel.key, "ms": float(ms)}
        for (place, kernel), ms in zip(places, predictor.kernel_ms(kernels), strict=True)
    ]
    rows.append({"place": "subnet", "kernel": "", "ms": predictor.network.subnet_ms})
    return rows


def show_explained(
    report: Report, predictor: Predictor, what: str, rows: Iterable[Mapping[str, Any]]
) -> None:
    """The breakdown as a table."""
    from rich.table import Table

    rows = list(rows)
    total = sum(row["ms"] for row in rows)
    table = Table("place", "kernel")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    for row in rows:
        share = f"{100 * row['ms'] / total:.1f} %"
        table.add_row(row["place"], row["kernel"], f"{row['ms']:.4f}", share)
    table.add_row("total", "", f"{total:.4f}", "100.0 %", style="bold")
    report.console.print(f"{what} on {predictor.device} ({origin(predictor)}), predicted")
    report.console.print(table)


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


def import_result(
    folder: Workspace,
    device: str,
    series: Series,
    added: int,
    *,
    missing: Sequence[str] = (),
    errors: Errors | None = None,
) -> dict[str, Any]:
    """What an import did, for JSON."""
    return {
        "device": device,
        "source": series.source,
        "added": added,
        "missing": list(missing),
        "errors": {name: dict(e) for name, e in (errors or {}).items()},
        "lut": str(folder.lut_path),
        "predictor": str(folder.predictor_path(device)),
    }
