"""`evit-profile`: time a space's kernels and subnets on a device, and fit its predictor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from elasticvit.cli.app import Report, bind, evit_command
from elasticvit.errors import EvitError
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from devices import Device
    from elasticvit.cli.profile_devices import Devices
    from elasticvit.cli.profile_like import FewShot
    from elasticvit.space import SearchSpace
    from lut.profile import ProfileConfig, ProfileSummary, Progress

HELP = """Time kernels and whole subnets on a device and fit its latency predictor.

Goes on where an earlier profile of the device ended; run again, it deepens the same table.
"""
DEFAULT_MINUTES = 10.0
DEFAULT_SUBNETS = 112  # to fit with, unless a budget is named
FILE = click.Path(dir_okay=False)


@evit_command("evit-profile", HELP)
@click.option(
    "--device", multiple=True, help="Device to profile; repeat for several.  [default: host]"
)
@click.option("--space", default=None, help="Search space: preset or TOML file.  [default: mobile]")
@click.option("--data", default=None, help="Data set, for its classes.  [default: digits]")
@click.option(
    "--budget-minutes",
    type=click.FloatRange(min=0.02),
    default=None,
    help=f"Time for measuring.  [default: at most {DEFAULT_MINUTES:g}]",
)
@click.option("--like", default=None, help="Known devices, A,B: learn a new one from them.")
@click.option(
    "--budget-kernels", type=int, default=None, help="Kernels to time with --like.  [default: 50]"
)
@click.option("--rounds", type=click.IntRange(2, 99), default=3, help="Timings of each model.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, help="Inference threads.")
@click.option("--cores", default="auto", help="auto, big, mid, little or a hexadecimal mask.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Of what is measured.")
@click.option("--address", default=None, help="HOST[:PORT] of a phone, instead of USB.")
@click.option("--serial", default=None, help="Which phone, where several are on USB.")
@click.option("--runner", type=FILE, default=None, help="benchmark_model for phones; remembered.")
@click.option("--list-devices", is_flag=True, help="Show what is connected and what is known.")
@click.option("--import", "table", type=FILE, default=None, help="Read a table, measure nothing.")
@click.option("--export-lut", type=FILE, default=None, help="Write the table, measure nothing.")
@click.option("--explain", default=None, help="Show where an architecture's time goes.")
def main(
    workspace: str | None,
    as_json: bool,
    device: tuple[str, ...],
    space: str | None,
    data: str | None,
    budget_minutes: float | None,
    like: str | None,
    budget_kernels: int | None,
    rounds: int,
    threads: int,
    cores: str,
    seed: int,
    address: str | None,
    serial: str | None,
    runner: str | None,
    list_devices: bool,
    table: str | None,
    export_lut: str | None,
    explain: str | None,
) -> None:
    from elasticvit.cli.profile_devices import Devices
    from elasticvit.cli.profile_explain import run_explain
    from elasticvit.cli.profile_like import FewShot, like_names
    from elasticvit.cli.profile_tables import run_export, run_import

    report = Report(as_json)
    folder = Workspace.open(workspace)
    names = device or ("host",)
    likes = like_names(like, budget_kernels, names)
    _check(device, address or serial, [table, export_lut, explain, list_devices or None], like)
    known = device[0] if device else folder.settings().get("device", "host")

    def choose() -> SearchSpace:
        return bind(folder, space, data)

    if list_devices:
        _list(report, folder, [address] if address else [])
    elif table is not None:
        run_import(report, folder, names[0], choose, table)
    elif export_lut is not None:
        run_export(report, folder, known, export_lut)
    elif explain is not None:
        run_explain(report, folder, known, choose(), explain)
    else:
        config = _config(budget_minutes, rounds, threads, cores, seed)

        def learn(space: SearchSpace) -> FewShot | None:
            return FewShot.of(folder, likes, space, budget_kernels) if likes else None

        devices = Devices(folder, names, address=address, serial=serial, runner=runner)
        _profile(report, folder, devices, names, choose, learn, config)


def _check(
    names: tuple[str, ...], place: str | None, actions: Sequence[object], like: str | None
) -> None:
    """Refuse options that contradict each other."""
    named = sum(action is not None for action in actions)
    if named > 1:
        raise EvitError(
            "--import, --export-lut, --explain and --list-devices do one thing each; name one"
        )
    if named and like:
        raise EvitError(
            f"--like {like} is for measuring; --import, --export-lut, --explain and --list-devices "
            "measure nothing: name one of them, or --like"
        )
    if len(set(names)) < len(names):
        raise EvitError(f"devices {', '.join(names)}: one is named twice; name each once")
    if len(names) > 1 and (named or place):
        raise EvitError(
            f"{len(names)} devices; --address, --serial, --import, --export-lut and --explain are "
            "about one: name one --device"
        )


def _config(
    budget_minutes: float | None, rounds: int, threads: int, cores: str, seed: int
) -> ProfileConfig:
    from devices import TimingConfig
    from lut.plan import PlanConfig
    from lut.profile import ProfileConfig

    plan = PlanConfig(seed=seed)
    if budget_minutes is None:
        plan = PlanConfig(seed=seed, max_subnets=DEFAULT_SUBNETS)
    return ProfileConfig(
        budget_s=60 * (budget_minutes or DEFAULT_MINUTES),
        timing=TimingConfig(threads=threads, cores=cores, rounds=rounds),
        plan=plan,
    )


def _profile(
    report: Report,
    folder: Workspace,
    devices: Devices,
    names: tuple[str, ...],
    choose: Callable[[], SearchSpace],
    learn: Callable[[SearchSpace], FewShot | None],
    config: ProfileConfig,
) -> None:
    """Profile the devices at once, each into the same table; then fit and tell one by one.

    Args:
        learn: how to learn them from known devices; None where each is profiled by itself.
    """
    from dataclasses import asdict, replace

    import numpy as np

    from devices.fleet import run_fleet
    from elasticvit.cli.profile_bars import Bars
    from elasticvit.cli.profile_fit import fit
    from elasticvit.cli.profile_page import write_page
    from elasticvit.cli.profile_report import NEXT, profile_result, show_profile, show_reach
    from lut.dataset import Dataset
    from lut.profile import profile
    from lut.store import Store
    from predictors.choice import UncertaintyChoice

    results = {}
    bars = Bars(report, names)
    opened = {name: devices.open(name, bars.notice) for name in names}
    space = choose()
    few = learn(space)
    with Store(folder.lut_path) as store:
        plans = {n: few.plan(store, n, config.plan) if few else config.plan for n in names}

        def work(name: str, device: Device, check: Callable[[], None]) -> ProfileSummary:
            def progress(at: Progress) -> None:
                devices.worked(name)
                bars.show(name, at)
                check()

            rng = np.random.default_rng(config.plan.seed)
            own = replace(config, plan=plans[name])
            chooser = None if few else UncertaintyChoice()
            return profile(device, space, store, own, rng=rng, progress=progress, chooser=chooser)

        with bars:
            outcomes = run_fleet(opened, work)
        for name in reversed(names):  # the first one named becomes the default
            summary = outcomes[name].result
            if summary is None:
                continue
            data = Dataset.of(store, name, space, summary.series)
            data = few.within(data) if few else data
            predictor, errors = fit(folder, name, data, space, few.fit if few else None)
            quality = getattr(opened[name], "quality", None)
            notes = [quality.summary()] if quality else []
            notes += few.told(predictor, data, errors) if few else []
            page = write_page(folder, store, data, predictor, space, summary, errors, notes)
            show_profile(report, summary, errors, notes)
            report.console.print(f"report: {page}")
            reach = show_reach(report, predictor, space)
            results[name] = profile_result(folder, summary, errors) | {
                "space_ms": reach,
                "report": str(page),
                "quality": asdict(quality) if quality else None,
                **({"transfer": few.result(predictor, data)} if few else {}),
            }
    failed = {name: o.error for name, o in outcomes.items() if o.error is not None}
    if failed:
        for name, error in failed.items():
            if len(names) > 1:
                report.console.print(f"{name}: {error}")
        raise next(iter(failed.values()))
    one = results[names[0]]
    report.close(one if len(names) == 1 else {"devices": results}, NEXT)


def _list(report: Report, folder: Workspace, addresses: list[str]) -> None:
    from dataclasses import asdict

    from devices.catalog import load_catalog
    from devices.discovery import list_devices
    from elasticvit.cli.profile_report import show_devices

    connected, catalog = list_devices(folder, addresses), load_catalog(folder)
    show_devices(report, connected, catalog)
    report.close({"connected": [asdict(c) for c in connected], "known": ["host", *catalog]})
