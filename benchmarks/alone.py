"""Does a supernet earn its keep? Its subnets against the same architectures trained alone.

    python benchmarks/alone.py [--share 0.333] [--archs ARCH ...] [--out FOLDER]

Three architectures of a fixed panel (one of the second, one of the fourth and one of the highest
level) are trained alone on CIFAR-10, each for a third of the seconds of one core that the training
of the supernet that comes with the package took by its card, on the same images, with the same
batches and recipe; then both are judged on the same test images, the supernet's subnets after
recalibration. Whoever wants these three and no other size has the same time either way; every
further size costs nothing with the supernet. One JSON line; finished trainings are kept in the
folder and not repeated, so that `--archs` in several processes can share one folder.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from conflict import CIFAR, CLASSES, PANEL_SEED, levels_of
from torch import nn

import elasticvit as ev
from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.nn.judging import accuracy, recalibrate
from elasticvit.nn.shipped import load_card, read_supernet
from elasticvit.nn.subnet import Subnet
from elasticvit.space import PRESETS
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.data import ImageData, PartName, open_data
from elasticvit.training.panel import choose_panel

SUPERNET, SPACE, RECIPE = "tiny-cifar10", "tiny", "cpu-minutes"
PILOT_STEPS = 30
RECALIBRATION = 512
BATCH_SIZE = 64  # of the supernet's training


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--archs", nargs="*", default=None)
    parser.add_argument("--share", type=float, default=1 / 3, help="Of the supernet's seconds.")
    parser.add_argument("--seconds", type=float, default=None, help="In place of a share.")
    parser.add_argument("--test", type=int, default=10_000, help="Test images.")
    parser.add_argument(
        "--data", type=Path, default=CIFAR, help="Folder of CIFAR-10's parquet files."
    )
    parser.add_argument("--out", type=Path, default=Path("alone"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    supernet, whole_s = read_supernet(SUPERNET), supernet_seconds()
    seconds = options.seconds or options.share * whole_s
    data = open_data(str(options.data))
    price = MacsCost(PRESETS[SPACE].with_classes(CLASSES)).price
    rows = []
    for arch in map(Arch.parse, options.archs or panel_archs()):
        alone = train_alone(arch, seconds, options)
        macs_m = float(price(ArchBatch.of([arch]))[0])
        row = {"architecture": str(arch), "mmacs": round(macs_m, 1), **alone.pop("facts")}
        nets = {
            "supernet": Subnet.cut(supernet, arch),
            "alone": Subnet.cut(load_supernet(alone["run"]), arch),
        }
        for name, net in nets.items():
            row[name] = round(judge(net, data, options.test), 2)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    line = {
        "benchmark": "alone",
        "supernet_seconds": round(whole_s),
        "seconds_each": round(seconds),
        "test_images": min(options.test, data.info.test_images),
        "subnets": rows,
        "won": sum(row["supernet"] > row["alone"] for row in rows),
    }
    print(json.dumps(line))


def supernet_seconds() -> float:
    """Seconds of one core that the training of the supernet took, as its card says."""
    training = load_card(SUPERNET).training
    return float(training["seconds"]) * int(training["cores"])


def panel_archs() -> list[str]:
    """An architecture of the second, one of the fourth and one of the highest level."""
    space = PRESETS[SPACE].with_classes(CLASSES)
    levels = levels_of(SPACE, CLASSES)
    panel = choose_panel(space, MacsCost(space), levels, PANEL_SEED)
    first = {one.level: str(one.arch) for one in reversed(panel.members)}
    return [first[level] for level in (1, 3, len(levels.values) - 1)]


def train_alone(arch: Arch, seconds: float, options: Any) -> dict[str, Any]:
    """Train one architecture for about as many seconds; its run and what it took."""
    name = "".join(c if c.isalnum() else "-" for c in str(arch))
    workspace = ev.Workspace.open(options.out / name)
    wanted: dict[str, Any] = {
        "data": str(options.data),
        "space": SPACE,
        "recipe": RECIPE,
        "subnet": str(arch),
        "batch_size": BATCH_SIZE,
        "threads": 1,
    }
    note = workspace.root / "alone.json"
    if not note.exists():
        pilot = ev.Workspace.open(options.out / f"pilot-{workspace.root.name}")
        each_s = step_seconds(pilot, wanted)
        steps = open_data(wanted["data"]).info.train_images // BATCH_SIZE
        epochs = max(1, math.floor(seconds / each_s / steps))
        workspace.root.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"epochs": epochs, "step_s": each_s}))
    epochs = json.loads(note.read_text())["epochs"]
    runs = workspace.folders("run")
    if not (runs and (runs[-1] / "result.json").exists()):
        ev.train(workspace=workspace, epochs=epochs, **wanted)
    run = workspace.folders("run")[-1]
    log = pd.read_csv(run / "log.csv")
    facts = {"epochs": epochs, "steps": len(log), "seconds": round(float(log["seconds"].sum()))}
    return {"run": run, "facts": facts}


class Enough(Exception):
    """The pilot has run for long enough."""


def step_seconds(workspace: ev.Workspace, wanted: dict[str, Any]) -> float:
    """Median seconds of a step, from the first ones of a training that is thrown away."""

    def watch(event: ev.Event) -> None:
        for run in workspace.folders("run"):
            log = run / "log.csv"
            if log.exists() and len(log.read_text().splitlines()) > PILOT_STEPS:
                raise Enough

    with suppress(Enough):
        ev.train(workspace=workspace, epochs=1, fresh=True, events=watch, **wanted)
    log = pd.read_csv(workspace.folders("run")[-1] / "log.csv")
    return float(log["seconds"].iloc[5:].median())


def judge(subnet: Subnet, data: ImageData, images: int) -> float:
    """Accuracy on test images after recalibration, in percent."""
    resolution = subnet.arch.resolution
    training = data.loader(
        "train", resolution=resolution, batch_size=BATCH_SIZE, shuffle=True, seed=0
    )
    recalibrate(subnet, training, RECALIBRATION // BATCH_SIZE)
    return right_of(subnet, data, "test", images, resolution)


def right_of(
    network: nn.Module, data: ImageData, part: PartName, images: int, resolution: int
) -> float:
    """Accuracy on about so many images of a part, in percent."""
    loader = data.loader(part, resolution=resolution, batch_size=BATCH_SIZE, shuffle=True, seed=0)
    batches = [batch for batch, _ in zip(loader, range(-(-images // BATCH_SIZE)), strict=False)]
    return accuracy(network, batches)


if __name__ == "__main__":
    main()
