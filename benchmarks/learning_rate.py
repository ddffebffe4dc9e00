"""Does the default learning rate suit sets that it was not chosen on?

    python benchmarks/learning_rate.py [--epochs N] [--sets NAME ...] [--factors X ...]
        [--seeds N ...] [--jobs 1] [--out FOLDER]

Supernets of space `tiny` are trained as a bare `evit-train` on one thread would, with half of the
learning rate of recipe `cpu-minutes`, with it, and with twice as much: on scikit-learn's digits
(where the rate was chosen) and on photographs of CIFAR-10: some 850 of ten classes, of two and of
four, and 4,250 and 17,000 of ten. Each is judged by the mean accuracy of its panel of subnets on
test images, batch norm recalibrated on training images. One JSON line, means over the seeds;
FOLDER keeps what is finished.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch
from alone import judge
from conflict import CIFAR

import elasticvit as ev
from elasticvit.files import write_atomic
from elasticvit.nn.subnet import Subnet
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.data import open_data
from elasticvit.training.recipes import CPU_MINUTES

FACTORS = (0.5, 1.0, 2.0)
DIGITS = "digits"
# classes of CIFAR-10 by their numbers, and images of each to train and choose by
SETS: Mapping[str, tuple[Sequence[int], int] | None] = {
    DIGITS: None,
    "10 classes": (range(10), 100),
    "cats and dogs": ((3, 5), 500),
    "4 vehicles": ((0, 1, 8, 9), 250),
    "10 classes of 500": (range(10), 500),
    "10 classes of 2000": (range(10), 2_000),
}
TEST_IMAGES, ORDER_SEED = 1_000, 11


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=None, help="In place of the recipe's.")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument(
        "--factors", nargs="*", type=float, default=FACTORS, help="Of the recipe's rate; has 1."
    )
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="Trainings at the same time.")
    parser.add_argument(
        "--data", type=Path, default=CIFAR, help="Folder of CIFAR-10's parquet files."
    )
    parser.add_argument("--out", type=Path, default=Path("learning_rate"))
    options = parser.parse_args()
    for name in options.sets:
        make(name, options.data, options.out)
    if 1.0 not in options.factors or not options.seeds:
        parser.error("--factors must have 1, the recipe's own rate, and --seeds at least one seed")
    runs = list(product(options.sets, options.seeds, options.factors))
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        jobs = {run: pool.submit(one, *run, options.out, options.epochs) for run in runs}
        found = {run: job.result() for run, job in jobs.items()}
    rows = []
    for name in options.sets:
        means = {
            factor: statistics.fmean(found[name, seed, factor] for seed in options.seeds)
            for factor in options.factors
        }
        behind = [
            max(found[name, seed, f] for f in options.factors) - found[name, seed, 1.0]
            for seed in options.seeds
        ]
        info = open_data(spec(name, options.out)).info
        rows.append(
            {
                "set": name,
                "train_images": info.train_images,
                "classes": info.classes,
                "accuracy": {str(factor): round(mean, 2) for factor, mean in means.items()},
                "behind_best": round(max(means.values()) - means[1.0], 2),
                "behind_best_by_seed": [round(value, 2) for value in behind],
            }
        )
    line = {"benchmark": "learning_rate", "rate": CPU_MINUTES.lr, "seeds": options.seeds}
    print(json.dumps(line | {"sets": rows}))


def spec(name: str, out: Path) -> str:
    """A set as `evit-train --data` takes it."""
    return DIGITS if name == DIGITS else str((out / "data" / name.replace(" ", "-")).resolve())


def make(name: str, source: Path, out: Path) -> None:
    """Write a subset of CIFAR-10."""
    wanted, folder = SETS[name], Path(spec(name, out))
    if wanted is None or (folder / "test.parquet").exists():
        return
    classes, count = wanted
    folder.mkdir(parents=True, exist_ok=True)
    for part, most in (("train", count), ("test", TEST_IMAGES // len(classes))):
        table = pd.read_parquet(source / f"{part}.parquet").sample(frac=1, random_state=ORDER_SEED)
        kept = table[table["label"].isin(list(classes))].groupby("label").head(most)
        numbers = {label: number for number, label in enumerate(classes)}
        kept.assign(label=kept["label"].map(numbers)).to_parquet(folder / f"{part}.parquet")


def one(name: str, seed: int, factor: float, out: Path, epochs: int | None) -> float:
    """Mean test accuracy of the panel of one training, in percent."""
    torch.set_num_threads(1)
    run = out / f"{name.replace(' ', '-')}-{factor:g}-seed{seed}"
    note = out / f"{run.name}.json"
    if not note.exists():
        ev.train(
            workspace=out / "workspaces" / run.name,
            out=run,
            space="tiny",
            data=spec(name, out),
            epochs=epochs,
            lr=factor * CPU_MINUTES.lr,
            threads=1,
            seed=seed,
            panel_every=0,
        )
        supernet, data = load_supernet(run), open_data(spec(name, out))
        archs = pd.read_csv(run / "panel.csv")["arch"].unique()
        found = [judge(Subnet.cut(supernet, ev.Arch.parse(a)), data, TEST_IMAGES) for a in archs]
        write_atomic(note, json.dumps({"mean": statistics.fmean(found), "accuracies": found}))
        print(name, seed, factor, statistics.fmean(found), file=sys.stderr, flush=True)
    return float(json.loads(note.read_text())["mean"])


if __name__ == "__main__":
    main()
