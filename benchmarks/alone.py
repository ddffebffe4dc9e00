"""Does a supernet earn its keep? Its subnets against the same architectures trained alone.

    python benchmarks/alone.py --run RUN [--data DATA] [--share 0.333] [--out FOLDER]

Three architectures of the run's panel (one of the second, the middle and the highest level) are
trained alone, each for a third of the seconds that the supernet's training took, on the same
images, with the same recipe; then both are judged on the same test images, the supernet's subnets
after recalibration. Whoever wants these three and no other size has the same time either way; every
further size costs nothing with the supernet. One JSON line; finished trainings are kept in the
folder and not repeated.
"""

from __future__ import annotations

import argparse
import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

import elasticvit as ev
from elasticvit.nn.judging import accuracy, recalibrate
from elasticvit.nn.subnet import Subnet
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.data import ImageData, PartName, open_data
from elasticvit.training.run_info import RunInfo

PILOT_STEPS = 30
RECALIBRATION = 512
BATCH_SIZE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", default=None)
    parser.add_argument("--share", type=float, default=1 / 3)
    parser.add_argument("--test", type=int, default=10_000, help="Test images.")
    parser.add_argument("--out", type=Path, default=Path("alone"))
    parser.add_argument("--archs", nargs="*", default=None)
    parser.add_argument(
        "--seconds", type=float, default=None, help="Of each alone, in place of a share."
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    info = RunInfo.load(options.run)
    data = open_data(options.data or info.data)
    supernet = load_supernet(options.run)
    log = pd.read_csv(options.run / "log.csv")
    total_s = float(log["seconds"].sum())
    rows = []
    for arch in options.archs or panel_archs(options.run):
        alone = train_alone(arch, info, options, options.seconds or options.share * total_s)
        row = {"architecture": arch, **alone.pop("facts")}
        nets = {
            "supernet": Subnet.cut(supernet, ev.Arch.parse(arch)),
            "alone": Subnet.cut(load_supernet(alone["run"]), ev.Arch.parse(arch)),
        }
        for name, net in nets.items():
            row[name] = round(judge(net, data, options.test), 2)
        rows.append(row)
        print(row, flush=True)
    line = {
        "benchmark": "alone",
        "data": Path(info.data).name,
        "space": info.space.name,
        "supernet_s": round(total_s),
        "steps": len(log),
        "share": round(options.share, 3),
        "test_images": min(options.test, data.info.test_images),
        "subnets": rows,
        "won": sum(row["supernet"] > row["alone"] for row in rows),
    }
    print(json.dumps(line))


def panel_archs(run: Path) -> list[str]:
    """One architecture of the second, the middle and the highest level of the run's panel."""
    panel = pd.read_csv(run / "panel.csv")
    last = panel[panel["step"] == panel["step"].max()]
    levels = [group for _, group in last.dropna(subset=["level"]).groupby("level")]
    chosen = (levels[1], levels[len(levels) // 2], levels[-1])
    return [str(group.iloc[0]["arch"]) for group in chosen]


def train_alone(arch: str, info: RunInfo, options: Any, seconds: float) -> dict[str, Any]:
    """Train one architecture for about as many seconds; its run and what it took."""
    workspace = ev.Workspace.open(options.out / "".join(c if c.isalnum() else "-" for c in arch))
    wanted: dict[str, Any] = {
        "data": options.data or info.data,
        "space": info.space.name,
        "subnet": arch,
        "batch_size": info.settings.batch_size,
        "threads": 1,
    }
    note = workspace.root / "alone.json"
    if not note.exists():
        pilot = ev.Workspace.open(options.out / f"pilot-{workspace.root.name}")
        each_s = step_seconds(pilot, wanted)
        steps = open_data(wanted["data"]).info.train_images // info.settings.batch_size
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
