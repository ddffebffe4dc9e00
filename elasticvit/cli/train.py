"""`evit-train`: train the supernet of a search space on a data set."""

from __future__ import annotations

from typing import Any

import click

from elasticvit.cli.app import evit_command
from elasticvit.cli.report import Report
from elasticvit.cli.soft_labels import write
from elasticvit.cli.train_report import TrainReport, next_command, print_result
from elasticvit.flows.settings import workspace_of
from elasticvit.flows.train import is_first_rank, train

HELP = """Train the supernet, from which evit-search cuts the best architecture.

An interrupted or killed run is resumed from its last checkpoint by the same command, and ends
with the same weights. On several GPUs: torchrun --nproc-per-node N -m elasticvit.cli.train OPTIONS.
"""
INTERRUPTED = (
    "what was trained up to the last checkpoint is kept, and the same command goes on from there, "
    "unless it has --resume-from: leave that out"
)


def _switch(_: click.Context, __: click.Parameter, value: str | None) -> bool | None:
    return None if value is None else value == "on"


@evit_command("evit-train", HELP, INTERRUPTED)
@click.option(
    "--space",
    default=None,
    help="Search space: preset or TOML file.  [default: the one used last, or one that "
    "suits the data set and the machine]",
)
@click.option(
    "--data",
    default=None,
    help="Data set: digits; a folder of images, parquet tables (CIFAR-10) or IDX files (MNIST); "
    "a parquet file; or timm:NAME:FOLDER.  [default: the one used last, or digits]",
)
@click.option(
    "--recipe",
    type=click.Choice(["cpu-minutes", "one-gpu", "paper"]),
    default=None,
    help="How to train: numbers of steps, rates and augmentation for minutes on a CPU, an hour on "
    "one GPU, or those of the paper.  [default: by data size and machine]",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=None,
    help="Passes over the training images.  [default: by recipe and data size]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=2),
    default=None,
    help="Images in a training step, over all processes.  [default: by recipe]",
)
@click.option(
    "--lr",
    type=float,
    default=None,
    help="Highest learning rate.  [default: by recipe and width]",
)
@click.option(
    "--start-from",
    default=None,
    help="Trained weights for the same classes to start from: a subnet's, which are spread over "
    "the supernet, or another supernet's; with --subnet, for any classes. Folder of a run or "
    "search, a subnet.pt, tiny-cifar10, which comes with the package, or a .safetensors file of a "
    "supernet.  [default: none]",
)
@click.option(
    "--init",
    default=None,
    help="Trained weights for any classes to start from (fine-tuning): as --start-from, or the "
    "authors' checkpoint for space mobile or photo.  [default: none]",
)
@click.option(
    "--start-share",
    type=float,
    default=None,
    help="Share of the steps in which one subnet is trained alone before its weights are spread "
    "over the supernet, 0 to 0.9.  [default: by recipe]",
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
@click.option(
    "--device-threads",
    type=click.IntRange(1, 64),
    default=None,
    help="Inference threads that its latency is of, where it was profiled with several.  "
    "[default: those of its latest profile]",
)
@click.option(
    "--device-cores",
    default=None,
    help="CPU cores that its latency is of, likewise: auto, big, mid, little or a mask.",
)
@click.option(
    "--teacher",
    multiple=True,
    help="Network that the subnets learn from; may be repeated. A network of timm's (NAME, or "
    "NAME:FILE with a file of its weights), the folder of a training run (its largest subnet, or "
    "RUN@ARCH), likewise tiny-cifar10 or a .safetensors file of a supernet, or a subnet.pt. One "
    "teacher counts half of the loss, several all of it.",
)
@click.option(
    "--soft-labels",
    type=click.Path(),
    default=None,
    help="File that --write-soft-labels wrote, in place of teachers: training is as fast as "
    "without any.",
)
@click.option(
    "--write-soft-labels",
    type=click.Path(),
    default=None,
    help="Train nothing; let the teachers judge every training image once and write this file.",
)
@click.option(
    "--subnet",
    default=None,
    help="Train this one architecture alone instead of a supernet: smallest, largest, a published "
    "name, or as tables print it.",
)
@click.option(
    "--sampling",
    type=click.Choice(["adjacent", "uniform", "sandwich"]),
    default="adjacent",
    help="Subnets of a training step: of one complexity level, which moves by at most one from "
    "step to step; of the whole space at random; or the largest, the smallest and random ones.",
)
@click.option(
    "--hss",
    type=click.Choice(["1", "3"]),
    callback=lambda _, __, value: None if value is None else int(value),
    default=None,
    help="Smallest subnets: one for all complexity levels, or three for a third of the levels "
    "each.  [default: 3 with adjacent]",
)
@click.option(
    "--bank",
    type=click.Choice(["on", "off"]),
    callback=_switch,
    default=None,
    help="Remember good subnets of each complexity level and train them again.  [default: on with "
    "adjacent]",
)
@click.option(
    "--preference",
    type=click.Choice(["on", "off"]),
    callback=_switch,
    default=None,
    help="Prefer wide random subnets to deep ones of the same cost.  [default: on with adjacent]",
)
@click.option(
    "--grow",
    type=click.FloatRange(0, 1),
    default=None,
    help="Begin with the lowest complexity level, and let the others in one after another up to "
    "this share of the training.  [default: by recipe]",
)
@click.option(
    "--level-bias",
    type=click.FloatRange(0, 2),
    default=None,
    help="Visit cheap complexity levels more often: in proportion to their cost to the power of "
    "minus this number; 0: all equally often, as in the paper.  [default: by recipe]",
)
@click.option(
    "--subnets",
    type=click.IntRange(1, 64),
    default=None,
    help="Sampled subnets of a training step, besides the smallest one, which learns from them; "
    "3 in the paper.  [default: by recipe]",
)
@click.option(
    "--keep",
    type=click.IntRange(1, 1000),
    default=2,
    help="Latest checkpoints to keep, besides the best one.",
)
@click.option(
    "--resume-from",
    type=click.IntRange(min=0),
    default=None,
    help="Step of an earlier checkpoint to go on from; later ones are removed.  [default: the "
    "latest one]",
)
@click.option(
    "--lr-scale",
    type=float,
    default=None,
    help="Factor of the learning rates of all further steps of an interrupted run, such as 0.5 "
    "after it diverged.  [default: as before]",
)
@click.option("--resume", is_flag=True, help="Resume an interrupted run; fail if there is none.")
@click.option("--fresh", is_flag=True, help="Start a new run even if there is one to resume.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Random seed.")
@click.option(
    "--threads",
    type=click.IntRange(1, 256),
    default=None,
    help="CPU threads to train on.  [default: one per core]",
)
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    default=None,
    help="Processes that decode images, for sets that memory does not hold; the result is the "
    "same.  [default: cores - 1, at most 8]",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    help="Number format of most layers; auto is 16 bits on GPUs, fp32 on CPUs.",
)
@click.option(
    "--accumulate",
    type=click.IntRange(min=1),
    default=1,
    help="Parts that a step's images are taken in: N need about 1/N of the memory.",
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
    "and the report; each time takes about as long as five to ten steps. 0: never.",
)
def main(
    report: Report, workspace: str | None, write_soft_labels: str | None, **options: Any
) -> None:
    if write_soft_labels is not None:
        write(report, workspace, write_soft_labels, options)
        return
    if not is_first_rank():
        report.silence()
    handler = TrainReport(report)
    result = train(workspace=workspace, events=handler, **options)
    report.activity.end()
    print_result(report, result, trained=handler.trained)
    report.close(result.to_dict(), next_command(result, workspace_of(workspace).device()))


if __name__ == "__main__":
    main()
