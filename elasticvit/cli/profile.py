"""`evit-profile`: time a space's kernels and subnets on a device, and fit its predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from elasticvit.cli.app import Report, bind, evit_command
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.space import SearchSpace
    from lut.dataset import Dataset
    from lut.profile import ProfileConfig, ProfileSummary, Progress
    from lut.store import Store
    from predictors.metrics import ErrorSummary
    from predictors.predictor import Predictor

HELP = """Time kernels and whole subnets on a device and fit its latency predictor.

Goes on where an earlier profile of the device ended; run again, it deepens the same table.
"""
DEFAULT_MINUTES = 4.0
NEXT = "evit-train"


@evit_command("evit-profile", HELP)
@click.option("--device", default="host", help="Device to profile.")
@click.option("--space", default=None, help="Search space: preset or TOML file.  [default: mobile]")
@click.option("--data", default=None, help="Data set, for its classes.  [default: digits]")
@click.option(
    "--budget-minutes",
    type=click.FloatRange(min=0.02),
    default=None,
    help=f"Time for measuring.  [default: at most {DEFAULT_MINUTES:g}]",
)
@click.option("--rounds", type=click.IntRange(2, 99), default=3, help="Timings of each model.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, help="Inference threads.")
@click.option("--cores", default="auto", help="auto, big, mid, little or a hexadecimal mask.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Of what is measured.")
@click.option(
    "--import",
    "table",
    type=click.Path(dir_okay=False),
    default=None,
    help="Read a table from this file instead of measuring.",
)
def main(
    workspace: str | None,
    as_json: bool,
    device: str,
    space: str | None,
    data: str | None,
    budget_minutes: float | None,
    rounds: int,
    threads: int,
    cores: str,
    seed: int,
    table: str | None,
) -> None:
    from lut.store import Store

    report = Report(as_json)
    folder = Workspace.open(workspace)
    chosen = bind(folder, space, data)
    with Store(folder.lut_path) as store:
        if table is not None:
            _import(report, folder, store, device, chosen, table)
            return
        _profile(
            report,
            folder,
            store,
            device,
            chosen,
            _config(budget_minutes, rounds, threads, cores, seed),
        )


def _config(
    budget_minutes: float | None, rounds: int, threads: int, cores: str, seed: int
) -> ProfileConfig:
    from devices.protocol import TimingConfig
    from lut.plan import PlanConfig
    from lut.profile import ProfileConfig

    size = {} if budget_minutes is not None else {"max_kernels": 480, "max_subnets": 72}
    return ProfileConfig(
        budget_s=60 * (budget_minutes or DEFAULT_MINUTES),
        timing=TimingConfig(threads=threads, cores=cores, rounds=rounds),
        plan=PlanConfig(seed=seed, **size),
    )


def _profile(
    report: Report,
    folder: Workspace,
    store: Store,
    name: str,
    space: SearchSpace,
    config: ProfileConfig,
) -> None:
    import numpy as np

    from devices import open_device
    from lut.dataset import Dataset
    from lut.profile import profile
    from predictors.fit import fit_predictor

    with open_device(name, folder) as device, _Bar(report) as bar:
        summary = profile(
            device,
            space,
            store,
            config,
            rng=np.random.default_rng(config.plan.seed),
            progress=bar.show,
        )
    data = Dataset.of(store, name, space, summary.series)
    predictor = fit_predictor(
        data.fit_kernels,
        data.fit_subnets,
        space,
        device=name,
        source=data.series.source,
        rng=np.random.default_rng(config.plan.seed),
    )
    predictor.save(folder.predictor_path(name))
    folder.update({"device": name})
    errors = _errors(predictor, data, space)
    _tell(report, summary, errors)
    report.close(_result(folder, summary, errors), NEXT)


class _Bar:
    """Progress bar with the time left that the profile itself expects."""

    def __init__(self, report: Report) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("timing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]} left  {task.fields[what]}"),
            console=report.console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, left="?", what="")

    def show(self, at: Progress) -> None:
        left = f"{int(at.left_s) // 60}:{int(at.left_s) % 60:02d}"
        what = at.key if len(at.key) < 44 else f"{at.key[:40]} ..."
        self._progress.update(self._task, completed=at.done, total=at.total, left=left, what=what)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _errors(predictor: Predictor, data: Dataset, space: SearchSpace) -> dict[str, ErrorSummary]:
    """Errors on what was never fitted or chosen by: kernels, and subnets before and after the
    network model."""
    from elasticvit.kernels import lower
    from predictors.metrics import error_summary

    errors = {}
    if data.held_kernels:
        kernels = list(data.held_kernels)
        errors["kernels"] = error_summary(
            predictor.kernels.ms(kernels), list(data.held_kernels.values())
        )
    if data.held_subnets:
        lowered = [lower(arch, space.layout) for arch in data.held_subnets]
        measured = list(data.held_subnets.values())
        sums = [float(predictor.kernels.ms(kernels).sum()) for kernels in lowered]
        errors["subnets, sum of kernels"] = error_summary(sums, measured)
        errors["subnets"] = error_summary([predictor.predict_ms(ks) for ks in lowered], measured)
    return errors


def _tell(report: Report, summary: ProfileSummary, errors: dict[str, ErrorSummary]) -> None:
    from rich.table import Table

    counts = Table(title=f"measured on {summary.info.name}: {summary.series}", title_justify="left")
    for column in ("kind", "to fit with", "held out"):
        counts.add_column(column, justify="left" if column == "kind" else "right")
    for kind in [*summary.fitted, *(k for k in summary.held_out if k not in summary.fitted)]:
        counts.add_row(kind, str(summary.fitted.get(kind, 0)), str(summary.held_out.get(kind, 0)))
    report.console.print(counts)
    quality = Table(title="on models that were never fitted", title_justify="left")
    for column in ("", "count", "within 5 %", "within 10 %", "RMSPE", "bias"):
        quality.add_column(column, justify="left" if not column else "right")
    rows = [
        (name, e.count, e.within_5_pct, e.within_10_pct, e.rmspe_pct, e.bias_pct)
        for name, e in errors.items()
    ]
    if summary.noise is not None:
        n = summary.noise
        rows.append(
            ("noise floor: subnets timed twice", n.count, n.within_5, n.within_10, n.rmspe, n.bias)
        )
    for name, count, *numbers in rows:
        within_5, within_10, rmspe, bias = numbers
        quality.add_row(
            name,
            str(count),
            f"{within_5:.0f} %",
            f"{within_10:.0f} %",
            f"{rmspe:.1f} %",
            f"{bias:+.1f} %",
        )
    report.console.print(quality)
    if summary.drift is not None:
        d = summary.drift
        report.console.print(
            f"drift: the reference subnet took {d.median_ms:.2f} ms, {d.count} times over the "
            f"profile, 80 % of them within {d.spread:.1f} %"
        )
    for key, reason in list(summary.rejected.items())[:5]:
        report.console.print(f"rejected: {key}: {reason}")
    report.console.print(
        f"{summary.timed} timings in {summary.seconds:.0f} s"
        + ("" if summary.complete else "; the budget ended before the plan did: run it again")
    )


def _result(
    folder: Workspace, summary: ProfileSummary, errors: dict[str, ErrorSummary]
) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "device": summary.info.name,
        "source": summary.series.source,
        "runtime": summary.series.runtime,
        "threads": summary.series.threads,
        "cores": summary.series.cores,
        "measured": summary.fitted,
        "held_out": summary.held_out,
        "timed": summary.timed,
        "seconds": summary.seconds,
        "complete": summary.complete,
        "rejected": summary.rejected,
        "errors": {name: e.to_dict() for name, e in errors.items()},
        "noise_floor": None if summary.noise is None else asdict(summary.noise),
        "drift": None if summary.drift is None else asdict(summary.drift),
        "lut": str(folder.lut_path),
        "predictor": str(folder.predictor_path(summary.info.name)),
    }


def _import(
    report: Report,
    folder: Workspace,
    store: Store,
    device: str,
    space: SearchSpace,
    path: str,
) -> None:
    from lut.importer import read_block_table
    from predictors.fit import table_predictor

    table = read_block_table(path)
    added = table.store(store, device)
    predictor = table_predictor(table.table_ms, device=device, source=table.source)
