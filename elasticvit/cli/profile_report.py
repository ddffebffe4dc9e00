"""What `evit-profile` shows: tables for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted, duration

if TYPE_CHECKING:
    from elasticvit.flows.connected import DeviceList
    from elasticvit.flows.import_result import ImportResult
    from elasticvit.flows.latency import Latency
    from elasticvit.flows.profile_result import DeviceProfile, Errors

NAMED = 5  # rejected or missing kernels that are listed before they are only counted


def show_profile(report: Report, result: DeviceProfile) -> None:
    """The closing tables of one device's profile."""
    from rich.table import Table

    from elasticvit.flows.profile_page import NOISE_FLOOR

    say, summary = report.say, result.summary
    say(f"measured on {result.device}: {summary.series}")
    counts = Table("kind")
    for column in ("to fit with", "held out"):
        counts.add_column(column, justify="right")
    for kind in dict.fromkeys([*summary.fitted, *summary.held_out]):
        counts.add_row(kind, *(str(c.get(kind, 0)) for c in (summary.fitted, summary.held_out)))
    say(counts)
    floor = result.noise_floor
    show_errors(report, result.errors if floor is None else {**result.errors, NOISE_FLOOR: floor})
    if summary.drift is not None and summary.drift.count > 1:
        drift = summary.drift
        corrected = (
            f", and {drift.steady_pct:.1f} % when corrected for background load"
            if drift.steady_pct
            else ""
        )
        say(
            f"drift: the reference subnet took {drift.median_ms:.3g} ms in the median of "
            f"{drift.count} timings over the profile; 80 % of them lie within "
            f"{drift.spread_pct:.1f} %{corrected}"
        )
    for note in result.notes:
        say(note)
    for key, reason in list(summary.rejected.items())[:NAMED]:
        say(f"rejected: {key}: {reason}")
    if len(summary.rejected) > NAMED:
        say(f"and {len(summary.rejected) - NAMED} more rejected")
    say(f"{counted(summary.timed, 'timing')} in {duration(summary.seconds)}")
    if not summary.complete:
        say("the budget ended before the plan did; run the same command again to complete it")
    report.place(str(result.report), "report:")
    if result.space_ms is None:
        say(f"not every architecture can be priced yet: {result.unpriced}")
    else:
        reach = result.space_ms
        say(
            f"space {result.space} on {result.predictor.name}: fastest {reach['fastest']:.3g} ms, "
            f"median {reach['median']:.3g} ms, slowest {reach['slowest']:.3g} ms"
        )


def show_errors(report: Report, errors: Errors) -> None:
    """Held-out errors, a row a kind of model."""
    from rich.table import Table

    if not errors:
        return
    table = Table("held-out error")
    for column in ("count", "within 5 %", "within 10 %", "RMSPE", "bias"):
        table.add_column(column, justify="right")
    for name, row in errors.items():
        table.add_row(
            name,
            f"{row['count']:.0f}",
            f"{row['within_5_pct']:.0f} %",
            f"{row['within_10_pct']:.0f} %",
            f"{row['rmspe_pct']:.1f} %",
            f"{row['bias_pct']:+.1f} %",
        )
    report.say(table)
    subnets = errors.get("subnets", {})
    if "upper_nominal_pct" in subnets:
        report.say(
            f"upper bound: holds for {subnets.get('upper_pct', 0.0):.0f} % of the held-out "
            f"subnets; nominal coverage {subnets['upper_nominal_pct']:.0f} %"
        )


def show_import(report: Report, result: ImportResult) -> None:
    """What was imported; of a published block table also what it says."""
    from rich.table import Table

    say, sums = report.say, result.sums
    what = "measurements" if sums is None else "kernels"
    say(f"{result.added} {what} added to {result.device}: {result.series}")
    show_errors(report, result.errors)
    if sums is not None:
        if sums.left_out:
            say(f"{sums.left_out} rows left out that no architecture of this family can have")
        if sums.ms:
            rows = Table("architecture")
            rows.add_column("ms as it runs", justify="right")
            rows.add_column("ms as the table's authors sum", justify="right")
            for name, ms in sums.ms.items():
                rows.add_row(name, f"{ms:.3f}", f"{sums.authors_ms[name]:.3f}")
            say(rows)
            say("the authors round odd map sides down, the strided convolutions that run round up")
        if result.missing:
            say(f"{len(result.missing)} kernels of space {result.space} are not in the table:")
            for key in result.missing[:NAMED]:
                say(f"  {key}")
            if len(result.missing) > NAMED:
                say(f"  and {len(result.missing) - NAMED} more (all of them under --json)")
        else:
            say(f"every architecture of space {result.space} can be priced")
    for remark in result.remarks:
        say(remark)
    report.place(result.predictor_folder)


def explained(latency: Latency, what: str) -> dict[str, Any]:
    """The latency of an architecture and of each of its kernels, JSON-ready."""
    prediction, rows = latency.predict(what), latency.explain(what)
    return {
        "device": latency.device,
        "precision": latency.precision,
        "threads": None if latency.cpu is None else latency.cpu.threads,
        "cores": None if latency.cpu is None else latency.cpu.cores,
        "source": latency.predictor.source,
        "space": latency.space.name,
        "arch": what,
        "architecture": str(latency.find(what)),
        "ms": prediction.median_ms,
        "lower_ms": prediction.lower_ms,
        "upper_ms": prediction.upper_ms,
        "coverage": prediction.coverage,
        "kernels": rows.to_dict("records"),
        "remarks": list(latency.remarks),
    }


def show_explained(report: Report, latency: Latency, result: Mapping[str, Any]) -> None:
    """The latency of an architecture by kernel, as a table."""
    from rich.table import Table

    say = report.say
    table = Table("place", "kernel")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    for row in result["kernels"]:
        share = f"{100 * row['share']:.1f} %"
        table.add_row(row["place"], row["kernel"], f"{row['ms']:.4f}", share)
    table.add_row("total", "", f"{result['ms']:.4f}", "100.0 %", style="bold")
    say(f"predicted latency of {result['arch']} on {latency.device} ({latency.source})")
    say(table)
    if result["upper_ms"] is not None:
        say(
            f"bounds: {result['lower_ms']:.4f} to {result['upper_ms']:.4f} ms, each with a "
            f"probability of {result['coverage']:.0%}"
        )
    for remark in latency.remarks:
        say(remark)


def show_devices(report: Report, found: DeviceList) -> None:
    """What is connected, and what is known by name."""
    from rich.table import Table

    table = Table("where", "serial", "product", "name", "state", title="connected")
    for phone in found.connected:
        state = phone.state if not phone.hint else f"{phone.state}: {phone.hint}"
        table.add_row(phone.where, phone.serial, phone.product, phone.name or "unknown", state)
    if found.connected:
        report.say(table)
    else:
        report.say("no phone is connected")
    report.say(f"known devices: {', '.join(found.known)}")
