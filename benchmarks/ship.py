"""Write a trained supernet into the one file that comes with the package.

    python benchmarks/ship.py --run RUN --accuracies FILE --name tiny-cifar10 --data-name CIFAR-10

The card says how it was trained (read off the run), and the test accuracies of the architectures
that are best by held-out accuracy for their MACs (read off the data set of accuracies that
`benchmarks/accuracies.py` made from the same weights; another one's are refused).
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from elasticvit.nn.shipped import JudgedSubnet, SupernetCard, save_supernet
from elasticvit.searching.evaluate import weights_hash
from elasticvit.searching.pareto import on_front
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.data import open_data
from elasticvit.training.recipes import RECIPES
from elasticvit.training.run_info import RunInfo

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE.parent / "elasticvit" / "weights"
MOST_BYTES = 8_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--accuracies", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--data-name", required=True, help="What people call the data set.")
    parser.add_argument("--cores", type=int, default=1, help="CPU cores that it was trained on.")
    parser.add_argument("--classes", default=None, help="Names, with commas, if the data has none.")
    options = parser.parse_args()
    info, supernet = RunInfo.load(options.run), load_supernet(options.run)
    facts = json.loads(pq.read_schema(options.accuracies).metadata[b"elasticvit"])
    if facts["weights"] != weights_hash(supernet):
        raise SystemExit(f"{options.accuracies} is of other weights ({facts['weights']})")
    log = pd.read_csv(options.run / "log.csv")
    settings = info.settings
    card = SupernetCard(
        name=options.name,
        space=info.space.to_toml(),
        options=info.options,
        data=options.data_name,
        classes=tuple(options.classes.split(","))
        if options.classes
        else open_data(info.data).class_names,
        mean=info.mean,
        std=info.std,
        training={
            "command": command_of(info, options.cores),
            "recipe": settings.recipe,
            "steps": len(log),
            "seconds": round(float(log["seconds"].sum())),
            "cores": options.cores,
            "machine": platform.machine(),
            "torch": str(torch.__version__),
        },
        judged=best_of(pd.read_parquet(options.accuracies)),
        test_images=facts["images"]["test"],
        recalibration_images=facts["images"]["train"],
        licence="Apache-2.0",
    )
    path = WEIGHTS / f"{options.name}.safetensors"
    save_supernet(path, supernet, card)
    size = path.stat().st_size
    print(json.dumps({"file": str(path), "bytes": size, "judged": len(card.judged)}))
    if size > MOST_BYTES:
        raise SystemExit(f"{path} has {size:,} bytes; at most {MOST_BYTES:,} may be shipped")


def command_of(info: RunInfo, cores: int) -> str:
    """The command that trains such a supernet: what the recipe does not say by itself is named."""
    settings = info.settings
    recipe = RECIPES[settings.recipe]
    words = ["evit-train", "--space", info.space.name, "--data", Path(info.data).name]
    words += ["--recipe", recipe.name, "--batch-size", settings.batch_size]
    words += ["--epochs", settings.epochs]
    for name in ("subnets", "level_bias", "grow"):
        if getattr(settings, name) != getattr(recipe, name):
            words += [f"--{name.replace('_', '-')}", f"{getattr(settings, name):g}"]
    return " ".join(map(str, [*words, "--threads", cores]))


def best_of(table: pd.DataFrame) -> tuple[JudgedSubnet, ...]:
    """The front of held-out accuracy against MACs, with test accuracies, cheapest first."""
    points = np.stack([table["macs_m"], -table["search_accuracy"]], axis=1)
    front = table[on_front(points)].sort_values("macs_m")
    return tuple(
        JudgedSubnet(
            architecture=row.architecture,
            macs_m=round(float(row.macs_m), 6),
            test_accuracy=round(float(row.test_accuracy), 2),
        )
        for row in front.itertuples()
    )


if __name__ == "__main__":
    main()
