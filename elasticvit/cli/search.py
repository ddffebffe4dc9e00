"""`evit-search`: the most accurate architecture of a space that keeps a latency target."""

from __future__ import annotations

from typing import Any

import click

from elasticvit.cli.app import evit_command
from elasticvit.cli.report import Report
from elasticvit.workspace import Workspace

HELP = """Find the most accurate architecture under a latency cap on your device.

Several devices: repeat --device, with one --target-ms for all or one for each. An interrupted
search is resumed when the same command is run again.
"""
INTERRUPTED = (
    "the architectures that were evaluated are kept, and the same command goes on from there"
)


@evit_command("evit-search", HELP, INTERRUPTED)
@click.option(
    "--target-ms",
    type=float,
    multiple=True,
    help="Latency cap in ms per image; repeat for one cap per device.",
)
@click.option(
    "--device",
    multiple=True,
    help="Device whose latency is capped; repeat for several.  [default: the one profiled last]",
)
@click.option(
    "--target-mmacs",
    type=float,
    default=None,
    help="Cap on multiply-accumulates per image, in millions.",
)
@click.option(
    "--run",
    type=click.Path(file_okay=False),
    default=None,
    help="Folder of the training run to search in.  [default: the latest]",
)
@click.option(
    "--population",
    type=click.IntRange(min=2),
    default=None,
    help="Parents of each generation.  [default: as time allows]",
)
@click.option(
    "--generations",
    type=click.IntRange(min=1),
    default=None,
    help="Generations after the initial population.  [default: as time allows]",
)
@click.option(
    "--budget-minutes",
    type=click.FloatRange(min=0.05),
    default=None,
    help="Time budget of the whole search.  [default: about 3, at most 15 on a slow machine]",
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
    help="CPU threads of torch.  [default: one per core]",
)
@click.option(
    "--torch-device",
    default=None,
    help="Torch device to run on, such as cpu or cuda:1.  [default: cuda if there is any]",
)
def main(report: Report, workspace: str | None, **settings: Any) -> None:
    from elasticvit.cli.search_report import SearchReport, print_choice, print_front
    from elasticvit.flows.search import search

    found = search(workspace=Workspace.open(workspace), events=SearchReport(report), **settings)
    report.activity.end()
    print_front(report, found.result)
    print_choice(report, found.result, found.folder)
    report.close(
        {"command": "evit-search", "folder": str(found.folder), **found.result.to_dict()},
        "evit-export --format tflite",
    )


if __name__ == "__main__":
    main()
