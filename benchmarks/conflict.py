"""Gradient conflicts in a supernet, and what each technique against them brings, on CIFAR-10.

    python benchmarks/conflict.py [--size cpu|gpu] [--seeds 3] [--arms NAME ...] [--out FOLDER]

Supernets of one space are trained for the same number of steps on the same images, each with one
technique more: BigNAS's sandwich rule; a walk over adjacent complexity levels; three smallest
subnets; memory bank and path preference; and, on top, one subnet trained first (`start`), or small
levels first (`grow`). Each is judged by the mean accuracy of one fixed panel of subnets, batch norm
recalibrated on training images, on test images that no training and no choice has seen. Then the
gradients of pairs of subnets are compared, halfway through the training with banks: their cosine
similarity against the distance of their complexity, and of good pairs against random ones.

One JSON line. FOLDER keeps every finished and unfinished training: the same command goes on from
there. `cpu` takes about an hour on two cores; `gpu` is meant for a quarter of an hour on one GPU.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from conflict_cosines import cosines
from sklearn.model_selection import train_test_split

import elasticvit as ev
from elasticvit.cost import MacsCost
from elasticvit.files import write_atomic
from elasticvit.nn import Subnet, Supernet
from elasticvit.nn.judging import accuracy, recalibrate
from elasticvit.space import PRESETS
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.data import ImageData, open_data
from elasticvit.training.levels import Levels, levels_for
from elasticvit.training.panel import choose_panel
from elasticvit.training.run_info import LOG_FILE

CIFAR = Path(__file__).resolve().parents[2] / "shared" / "data" / "cifar10"
PAPER = {"subnets": 3, "level_bias": 0.0, "grow": 0.0}  # whatever the recipe has
LEVELS = PAPER | {"sampling": "adjacent", "hss": 1, "bank": False, "preference": False}
WHOLE = PAPER | {"sampling": "adjacent", "hss": 3, "bank": True, "preference": True}
ARMS: Mapping[str, Mapping[str, Any]] = {
    "sandwich": LEVELS | {"sampling": "sandwich"},
    "adjacent": LEVELS,
    "smallest": LEVELS | {"hss": 3},
    "bank": WHOLE,
    "start": WHOLE | {"start_share": 0.3},
    "grow": WHOLE | {"grow": 0.5},
}
PANEL_SEED, IMAGE_SEED, CLASSES = 1234, 7, 10


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large the comparison is.

    Attributes:
        space: Name of the preset.
        images: Images that a supernet may have: to train on and to choose by.
        test_images: Images that the panel is judged on.
        epochs: Passes over the images that are trained on.
        batch_size: Images a step.
        lr: Highest learning rate, the same for all.
        recalibration: Training images that batch norms are recalibrated on.
    """

    space: str
    images: int
    test_images: int
    epochs: int
    batch_size: int
    lr: float = 4e-3
    recalibration: int = 256


SIZES = {
    "cpu": Size(space="tiny", images=5_000, test_images=1_000, epochs=5, batch_size=32),
    "gpu": Size(
        space="tiny",
        images=50_000,
        test_images=10_000,
        epochs=10,
        batch_size=128,
        recalibration=512,
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    parser.add_argument(
        "--data", type=Path, default=CIFAR, help="folder of CIFAR-10's parquet files"
    )
    parser.add_argument("--out", type=Path, default=Path("conflict"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trainings at a time")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = SIZES[args.size]
    args.out.mkdir(parents=True, exist_ok=True)
    if args.one is not None:
        arm, seed = args.one.rsplit("-", 1)
        one(args.out, size, arm, int(seed))
        return 0
    subset(args.data, args.out / "data", size)
    names = [f"{arm}-{seed}" for seed in range(args.seeds) for arm in args.arms]
    in_parallel([name for name in names if not (args.out / f"{name}.json").exists()], args.jobs)
    found = {
        arm: [json.loads((args.out / f"{arm}-{s}.json").read_text()) for s in range(args.seeds)]
        for arm in args.arms
    }
    line: dict[str, Any] = {"benchmark": "conflict", "size": args.size, "arms": {}}
    for arm in args.arms:
        line["arms"][arm] = summary(found[arm], found.get("sandwich")) | {
            "took_s": round(
                statistics.median(trained_s(args.out / f"{arm}-{s}") for s in range(args.seeds))
            ),
        }
    if "bank" in args.arms:
        runs = [args.out / f"bank-{seed}" for seed in range(args.seeds)]
        levels = levels_of(size.space, CLASSES)
        line["cosine"] = cosines(runs, open_data(str(args.out / "data")), levels)
    print(json.dumps(line))
    return 0


def in_parallel(names: Sequence[str], jobs: int) -> None:
    """Train and judge runs, some at a time, each on its share of the cores."""
    gpu = torch.cuda.is_available()
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    waiting, running = list(names), {}
    while waiting or running:
        while waiting and len(running) < (1 if gpu else jobs):
            name = waiting.pop(0)
            print(f"training {name}", file=sys.stderr, flush=True)
            command = [sys.executable, *sys.argv, "--one", name]
            running[name] = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": threads})
        name = next(iter(running))
        if running.pop(name).wait():
            raise SystemExit(f"training {name} failed")


def subset(source: Path, folder: Path, size: Size) -> None:
    """Some of CIFAR-10's images, as many of each class, as a data set of its own."""
    folder.mkdir(exist_ok=True)
    for part, count in (("train", size.images), ("test", size.test_images)):
        target = folder / f"{part}.parquet"
        if target.exists():
            continue
        table = pd.read_parquet(source / f"{part}.parquet")
        if count < len(table):
            table, _ = train_test_split(
                table, train_size=count, stratify=table["label"], random_state=IMAGE_SEED
            )
        buffer = io.BytesIO()
        table.to_parquet(buffer)
        write_atomic(target, buffer.getvalue())


def one(out: Path, size: Size, arm: str, seed: int) -> None:
    """Train a supernet, or go on with it, and judge it."""
    run = out / f"{arm}-{seed}"
    ev.train(
        workspace=out / "workspace" / run.name,
        space=size.space,
        data=str((out / "data").resolve()),
        out=run,
        epochs=size.epochs,
        batch_size=size.batch_size,
        lr=size.lr,
        seed=seed,
        threads=int(os.environ.get("OMP_NUM_THREADS", "1")),
        panel_every=0,
        **ARMS[arm],
    )
    found = figures(load_supernet(run), open_data(str(out / "data")), size)
    write_atomic(out / f"{run.name}.json", json.dumps(found))


def trained_s(run: Path) -> float:
    """Seconds of all steps of a run, however often it was interrupted."""
    return float(pd.read_csv(run / LOG_FILE)["seconds"].sum())


def figures(supernet: Supernet, data: ImageData, size: Size) -> dict[str, Any]:
    """Accuracies of the panel, their mean, and their means by complexity level."""
    accuracies, levels = judged(supernet, data, size)
    return {
        "mean": statistics.fmean(accuracies),
        "by_level": [
            statistics.fmean(a for a, level in zip(accuracies, levels, strict=True) if level == i)
            for i in sorted(set(levels))
        ],
        "accuracies": accuracies,
    }


def summary(
    runs: Sequence[Mapping[str, Any]], base: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """What the seeds of an arm come to (`figures`), beside the same seeds of another arm if it was
    trained."""
    means = [run["mean"] for run in runs]
    found: dict[str, Any] = {
        "mean": round(statistics.fmean(means), 2),
        "sd": round(statistics.stdev(means), 2) if len(means) > 1 else None,
        "by_level": [
            round(float(x), 1) for x in np.mean([run["by_level"] for run in runs], axis=0)
        ],
    }
    if base is not None:
        gains = [run["mean"] - other["mean"] for run, other in zip(runs, base, strict=True)]
        found["gain"] = round(statistics.fmean(gains), 2)
        found["better_in"] = sum(gain > 0 for gain in gains)
    return found


@cache
def levels_of(name: str, classes: int) -> Levels:
    """The complexity levels of a space, the same for all arms."""
    space = PRESETS[name].with_classes(classes)
    return levels_for(space, MacsCost(space), np.random.default_rng(0))


def judged(supernet: Supernet, data: ImageData, size: Size) -> tuple[list[float], list[int]]:
    """Accuracies in percent on the test part of a fixed panel, and their levels (-1: of none)."""
    space = supernet.space
    levels = levels_of(size.space, space.layout.classes)
    panel = choose_panel(space, MacsCost(space), levels, PANEL_SEED)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    supernet = supernet.to(device)
    accuracies = []
    for member in panel.members:
        side = member.arch.resolution
        training = data.loader("train", resolution=side, batch_size=64, shuffle=True, device=device)
        test = data.loader("test", resolution=side, batch_size=100, device=device)
        subnet = recalibrate(Subnet.cut(supernet, member.arch), training, size.recalibration // 64)
        accuracies.append(accuracy(subnet, test))
    return accuracies, [-1 if m.level is None else m.level for m in panel.members]


if __name__ == "__main__":
    sys.exit(main())
