"""`evit-train`: train the supernet of a search space on a data set."""

from __future__ import annotations

from typing import Any

import click

from elasticvit.cli.app import evit_command
from elasticvit.cli.report import Report
from elasticvit.cli.train_report import TrainReport, next_command, print_result
from elasticvit.flows.settings import workspace_of
from elasticvit.flows.train import is_first_rank, train

HELP = """Train the supernet, from which evit-search cuts the best architecture.

An interrupted or killed run is resumed from its last checkpoint by the same command, and ends
with the same weights. On several GPUs: torchrun --nproc-per-node N -m elasticvit.cli.train OPTIONS.
"""
INTERRUPTED = (
    "what was trained up to the last checkpoint is kept, and the same command goes on from there"
)


@evit_command("evit-train", HELP, INTERRUPTED)
@click.option(
    "--space",
    default=None,
    help="Search space: preset or TOML file.  [default: the one used last, or mobile]",
)
@click.option(
    "--data",
    default=None,
    help="Data set: digits; a folder of images, parquet tables (CIFAR-10) or IDX files (MNIST); "
    "a parquet file; or timm:NAME:FOLDER.  [default: the one used last, or digits]",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=None,
    help="Passes over the training images.  [default: by data size]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=2),
    default=None,
    help="Images in a training step, over all processes.  [default: by data size]",
)
@click.option(
    "--lr",
    type=float,
    default=None,
    help="Highest learning rate.  [default: by data size and width]",
)
@click.option(
    "--complexity",
    type=click.Choice(["macs", "ms"]),
    default="macs",
    help="Unit of the complexity levels.",
)
@click.option(
    "--device",
    default=None,
    help="Device whose latency defines the complexity levels.  [default: the one profiled last]",
)
@click.option("--resume", is_flag=True, help="Resume an interrupted run; fail if there is none.")
@click.option("--fresh", is_flag=True, help="Start a new run even if there is one to resume.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Random seed.")
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=None,
    help="CPU threads of torch.  [default: all cores]",
)
@click.option(
    "--panel-every",
    type=click.IntRange(min=0),
    default=None,
    metavar="STEPS",
    help="Judge a fixed panel of subnets on held-out images after every so many steps; 0: only at "
    "the end.  [default: as often as 5 % of the time allows]",
)
@click.option(
    "--diagnose-every",
    type=click.IntRange(min=0),
    default=0,
    metavar="STEPS",
    help="Compare the gradients of pairs of subnets after every so many steps, for diagnosis.csv "
    "and the report; each time takes about as long as five to ten steps.  [default: 0, never]",
)
def main(report: Report, workspace: str | None, **options: Any) -> None:
    if not is_first_rank():
        report.silence()
    handler = TrainReport(report)
    result = train(workspace=workspace, events=handler, **options)
    report.activity.end()
    print_result(report, result, trained=handler.trained)
    report.close(result.to_dict(), next_command(result, workspace_of(workspace).device()))


if __name__ == "__main__":
    main()
