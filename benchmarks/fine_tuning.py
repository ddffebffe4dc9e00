"""What the weights of a supernet bring on another data set: one of its subnets, fine-tuned.

    python benchmarks/fine_tuning.py [--seeds 3] [--epochs 2 5 20] [--arch ARCH] [--out FOLDER]

A subnet of the supernet that comes with the package, which was trained on CIFAR-10's photographs,
goes on with handwritten digits (`evit-train --subnet ARCH --start-from SUBNET --data digits`), and
the same architecture starts from random weights, for as many epochs. Both have the defaults of the
command, which nothing here was chosen by, and are judged on the 360 test images after batch norm
was recalibrated. One JSON line; finished trainings are kept in the folder and not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch
from alone import judge

import elasticvit as ev
from elasticvit.files import write_atomic
from elasticvit.nn.subnet import Subnet
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.data import open_data

SUPERNET, DATA = "tiny-cifar10", "digits"
ARCH = "r32 16x1e1k5 24x2e4k3 24x2e2k3 | 64x1m3v3 64x1m2v2"  # 4.5 MMACs
WAYS = ("fine-tuned", "from scratch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, nargs="+", default=[2, 5, 20])
    parser.add_argument("--arch", default=ARCH)
    parser.add_argument("--out", type=Path, default=Path("fine-tuning"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    subnet = options.out / "subnet.pt"
    Subnet.cut(ev.load_supernet(SUPERNET), ev.Arch.parse(options.arch)).save(subnet)
    rows = []
    for epochs in options.epochs:
        row: dict[str, Any] = {"epochs": epochs}
        for way in WAYS:
            found = [
                one(options.out, options.arch, subnet if way == WAYS[0] else None, epochs, seed)
                for seed in range(options.seeds)
            ]
            row[way] = {
                "mean": round(statistics.fmean(found), 2),
                "sd": round(statistics.stdev(found), 2) if len(found) > 1 else None,
            }
        rows.append(row)
        print(row, flush=True)
    data = open_data(DATA).info
    line = {
        "benchmark": "fine_tuning",
        "supernet": SUPERNET,
        "data": data.name,
        "train_images": data.train_images,
        "test_images": data.test_images,
        "architecture": options.arch,
        "seeds": options.seeds,
        "rows": rows,
    }
    print(json.dumps(line))


def one(out: Path, arch: str, start: Path | None, epochs: int, seed: int) -> float:
    """Accuracy on the test images of one training, in percent."""
    way = "start" if start is not None else "scratch"
    folder = out / f"{way}-{epochs}-{seed}"
    note = out / f"{folder.name}.json"
    if not note.exists():
        ev.train(
            workspace=folder / "workspace",
            data=DATA,
            space=None if start is not None else "tiny",
            subnet=arch,
            start_from=start,
            epochs=epochs,
            seed=seed,
            threads=1,
            out=folder / "run",
        )
        data = open_data(DATA)
        net = Subnet.cut(load_supernet(folder / "run"), ev.Arch.parse(arch))
        write_atomic(note, json.dumps(judge(net, data, data.info.test_images)))
    return float(json.loads(note.read_text()))


if __name__ == "__main__":
    main()
