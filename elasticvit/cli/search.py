"""`evit-search`: the most accurate architecture of a space that keeps a latency target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from elasticvit.cli.app import evit_command
from elasticvit.cli.numbers import NamedNumbers, Numbers, distinct
from elasticvit.cli.report import Report
from elasticvit.flows.search_starts import CHECKPOINTS, STARTS, USUAL
from elasticvit.precisions import PRECISIONS
from elasticvit.workspace import Workspace

HELP = """Find the most accurate architecture under a latency cap on your device.

Several devices: --target pixel6=30 --target pixel4=45. Several goals on one device, with one
winner each: --target-ms 10,15,20. The whole front: --front 8. An interrupted search is resumed when
the same command is run again. On several GPUs: torchrun --nproc-per-node N -m
elasticvit.cli.search OPTIONS.
"""
INTERRUPTED = (
    "the architectures that were evaluated are kept, and the same command goes on from there"
)


@evit_command("evit-search", HELP, INTERRUPTED)
@click.option(
    "--target-ms",
    type=Numbers(),
    multiple=True,
    help="Latency cap in ms per image; repeat for several devices, in the order of --device. "
    "Several goals with one winner each: --target-ms 10,15,20.",
)
@click.option(
    "--target",
    type=NamedNumbers(),
    multiple=True,
    help="Cap of a device's latency in ms, such as pixel6=30, or of mmacs, params (both in "
    "millions), memory (of activations) or size (of the file, both in MB); repeat for several.",
)
@click.option(
    "--device",
    multiple=True,
    help="Device whose latency is capped; repeat for several.  [default: the one profiled last]",
)
@click.option(
    "--target-mmacs",
    type=Numbers(),
    default=None,
    help="Cap on multiply-accumulates per image, in millions.",
)
@click.option(
    "--front",
    type=click.IntRange(2, 64),
    default=None,
    help="Search for the whole front: this many targets, spaced geometrically from the cheapest "
    "architecture up to the target that is named, or to the most expensive one.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=None,
    help="Precision that the winner is deployed in: its latencies are capped, and the export "
    "takes it.  [default: the one that the device was profiled in last]",
)
@click.option(
    "--device-threads",
    type=click.IntRange(1, 64),
    default=None,
    help="Inference threads that the latencies are of, where a device was profiled with several.  "
    "[default: those of its latest profile]",
)
@click.option(
    "--device-cores",
    default=None,
    help="CPU cores that the latencies are of, likewise: auto, big, mid, little or a mask.",
)
@click.option(
    "--run",
    type=click.Path(file_okay=False),
    default=None,
    help="Folder of the training run to search in.  [default: the latest]",
)
@click.option(
    "--checkpoint",
    type=click.Choice(CHECKPOINTS),
    default="latest",
    show_default=True,
    help="Weights of the training run: the latest, or the best by its panel.",
)
@click.option(
    "--supernet",
    default=None,
    help="Search this trained supernet instead of the latest run's: tiny-cifar10, which comes with "
    "the package, a .safetensors file, the authors' checkpoint, or the folder of a training run.",
)
@click.option(
    "--data",
    default=None,
    help="Images to judge --supernet on: as evit-train --data takes them.  [default: for the "
    "folder of a run its own]",
)
@click.option(
    "--proxy",
    default=None,
    help="Rank architectures by this proxy instead of a supernet: macs, capacity, parameters or "
    "entropy.  [default: macs where there is no training run]",
)
@click.option(
    "--accuracies",
    type=click.Path(dir_okay=False),
    default=None,
    help="Rank architectures by a regression on this table of accuracies (CSV or parquet, columns "
    "architecture and accuracy) instead of a supernet.",
)
@click.option(
    "--space",
    default=None,
    help="Search space without a training run: preset or TOML file.  [default: the profile's]",
)
@click.option(
    "--evaluations",
    type=click.IntRange(min=2),
    default=None,
    help="Architectures to judge, most of them chosen by an accuracy predictor.  [default: about "
    "260 as time allows]",
)
@click.option(
    "--population",
    type=click.IntRange(min=2),
    default=None,
    help="Parents of each generation of the paper's evolution, which takes the place of the "
    "accuracy predictor.  [default: as time allows]",
)
@click.option(
    "--generations",
    type=click.IntRange(min=1),
    default=None,
    help="Generations of the paper's evolution.  [default: as time allows]",
)
@click.option(
    "--budget-minutes",
    type=click.FloatRange(min=0.05),
    default=None,
    help="Time budget of the whole search.  [default: about 3, at most 15 on a slow machine]",
)
@click.option(
    "--verify",
    type=click.IntRange(0, 64),
    default=None,
    help="Finalists to time on the device before one is chosen; 0 for none.  [default: 3 where the "
    "device is at hand]",
)
@click.option(
    "--top",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Architectures to write for each target, the best first: a table, top.csv, and subnets.",
)
@click.option(
    "--keep",
    type=NamedNumbers(whole=True),
    multiple=True,
    help="Gene to fix, such as resolution=192 or attn1.width=64; repeat for several.",
)
@click.option(
    "--start",
    type=click.Choice([*STARTS, "none"]),
    multiple=True,
    default=USUAL,
    show_default=True,
    help="Known architectures to begin with: of the training run's memory banks, the published "
    "ones, those of earlier searches. Replaces the default; repeat for several.",
)
@click.option(
    "--extrapolate",
    is_flag=True,
    help="Predict kernels outside the measured range, with wider bounds, instead of failing.",
)
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Random seed.")
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=None,
    help="CPU threads: architectures that are judged at the same time.  [default: one per core]",
)
@click.option(
    "--torch-device",
    default=None,
    help="Torch device to run on, such as cpu or cuda:1.  [default: cuda if there is any]",
)
def main(
    report: Report,
    workspace: str | None,
    target: Sequence[tuple[str, Any]],
    keep: Sequence[tuple[str, Any]],
    start: Sequence[str],
    **settings: Any,
) -> None:
    from elasticvit.cli.search_report import SearchReport, next_command, print_choices, print_front
    from elasticvit.cli.search_top import print_top
    from elasticvit.flows.search import search
    from elasticvit.flows.train import is_first_rank

    if not is_first_rank():
        report.silence()
    shown = SearchReport(report)
    found = search(
        workspace=Workspace.open(workspace),
        events=shown,
        target=distinct(target, "target"),
        keep=distinct(keep, "keep"),
        start=tuple(dict.fromkeys(name for name in start if name != "none")),
        **settings,
    )
    report.activity.end()
    if not is_first_rank():
        return
    print_front(report, found.result)
    print_top(report, shown.top, found.result)
    print_choices(report, found.result, found.folder)
    report.close(
        {"command": "evit-search", "folder": str(found.folder), **found.result.to_dict()},
        next_command(found.result),
    )


if __name__ == "__main__":
    main()
