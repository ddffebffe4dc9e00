"""`evit-train`: train the supernet of a workspace's space on its data set."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from elasticvit.cli.app import Report, bind, duration, evit_command
from elasticvit.cli.train_report import TrainBar, show_accuracies, show_forecast
from elasticvit.cli.train_runs import RESULT_FILE, choose_run, run_info
from elasticvit.errors import WorkspaceError
from elasticvit.workspace import Workspace, write_atomic

if TYPE_CHECKING:
    from elasticvit.cost import CostModel
    from elasticvit.nn import Supernet
    from elasticvit.space import SearchSpace
    from elasticvit.training.checkpoint import RunInfo
    from elasticvit.training.data import ImageData
    from elasticvit.training.ranks import Ranks
    from elasticvit.training.sampler import LevelSampler

HELP = """Train the supernet, from which evit-search cuts the best architecture.

Interrupted or killed, the same command goes on from the last checkpoint and ends with the same
weights. On several GPUs: torchrun --nproc-per-node N -m elasticvit.cli.train OPTIONS.
"""
SUMMARY_IMAGES = 1024  # of the search part, for the closing table
RECALIBRATION_IMAGES = 512


@evit_command("evit-train", HELP)
@click.option("--space", default=None, help="Search space: preset or TOML file.  [default: mobile]")
@click.option(
    "--data",
    default=None,
    help="Data set: digits, a folder of images, CIFAR-10 parquet, a folder of Fashion-MNIST's "
    "files, or timm:NAME:FOLDER.  [default: digits]",
)
@click.option("--epochs", type=click.IntRange(min=1), default=None, help="[default: by data size]")
@click.option(
    "--batch-size", type=click.IntRange(min=2), default=None, help="[default: by data size]"
)
@click.option(
    "--lr", type=float, default=None, help="Learning rate.  [default: by data size and width]"
)
@click.option(
    "--complexity",
    type=click.Choice(["macs", "ms"]),
    default="macs",
    help="What complexity levels are measured in.",
)
@click.option("--device", default=None, help="Whose ms.  [default: the profiled device]")
@click.option("--resume", is_flag=True, help="Go on with an interrupted run or fail.")
@click.option("--fresh", is_flag=True, help="Start anew even if there is a run to go on with.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, help="Of everything drawn.")
@click.option("--threads", type=click.IntRange(1, 256), default=None, help="[default: all cores]")
def main(
    workspace: str | None,
    as_json: bool,
    space: str | None,
    data: str | None,
    epochs: int | None,
    batch_size: int | None,
    lr: float | None,
    complexity: str,
    device: str | None,
    resume: bool,
    fresh: bool,
    seed: int,
    threads: int | None,
) -> None:
    if resume and fresh:
        raise click.UsageError("--resume and --fresh exclude each other")
    folder = Workspace.open(workspace)
    chosen = bind(folder, space, data)
    cost, device_name = _cost(folder, chosen, complexity, device)

    import numpy as np
    import torch

    from elasticvit.training.config import default_config
    from elasticvit.training.data import open_data
    from elasticvit.training.levels import levels_for
    from elasticvit.training.ranks import joined
    from elasticvit.training.sampler import LevelSampler

    if threads is not None:
        torch.set_num_threads(threads)
    images = open_data(folder.settings()["data"])
    config = default_config(
        images.info,
        chosen,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        complexity=complexity,
        device=device_name,
    )
    levels = levels_for(chosen, cost, np.random.default_rng(0))
    info = run_info(chosen, images, config, levels, seed)

    def sampler() -> LevelSampler:
        return LevelSampler(chosen, cost, levels, seed=seed, subnets=config.subnets)

    with joined() as ranks:
        report = Report(as_json and ranks.writes)
        report.console.quiet = not ranks.writes
        found = choose_run(report, folder, info, resume, fresh) if ranks.writes else None
        run: Path = ranks.share(found)
        if not (run / RESULT_FILE).exists():
            seconds = _train(report, run, info, images, sampler, ranks)
            if ranks.writes:
                result = _summarise(report, run, info, images, sampler()) | seconds
                write_atomic(run / RESULT_FILE, json.dumps(result, indent=2) + "\n")
        if ranks.writes:
            folder.set_latest("run", run)
            _close(report, folder, chosen, run)


def _cost(
    folder: Workspace, space: SearchSpace, complexity: str, device: str | None
) -> tuple[CostModel, str]:
    """What levels are measured in, and the device's name (empty for multiply-accumulates)."""
    from elasticvit.cost import MacsCost

    if complexity == "macs":
        if device is not None:
            raise click.UsageError("--device says whose ms; add --complexity ms, or leave it out")
        return MacsCost(space), ""
    name = device or folder.settings().get("device")
    if name is None:
        raise WorkspaceError(
            f"workspace {folder.root} has no profiled device for --complexity ms; run "
            "`evit-profile --device host` first, or leave --complexity out"
        )
    from predictors.latency import load_latency_cost

    return load_latency_cost(folder, name, space), name


def _train(
    report: Report,
    run: Path,
    info: RunInfo,
    images: ImageData,
    sampler: Callable[[], LevelSampler],
    ranks: Ranks,
) -> dict[str, float]:
    """Train to the end; the seconds that were expected and taken.

    Args:
        sampler: makes a sampler that has drawn nothing yet.
    """
    from elasticvit.training.config import TrainConfig
    from elasticvit.training.forecast import forecast
    from elasticvit.training.trainer import Trainer

    config = TrainConfig.from_dict(info.settings)

    def trainer() -> Trainer:
        return Trainer(info, images, sampler(), config, ranks)

    levels = sampler().levels
    report.console.print(
        f"training space {info.space.name} on {images.info.name} ({images.info.train_images} "
        f"images, {images.info.classes} classes; {images.info.search_images} held out to choose "
        f"by, {images.info.test_images} for the final figure), {config.epochs} epochs of batches "
        f"of {config.batch_size}, seed {info.seed}\n"
        f"complexity levels ({levels.unit}): {', '.join(f'{v:g}' for v in levels.values)}"
    )
    expected = forecast(trainer())
    job = trainer()
    job.resume(run)
    show_forecast(report, expected, levels.values, levels.unit, job.step)
    expected_s, started_s = expected.total_s(job.step), time.monotonic()
    with TrainBar(report, levels.values, expected, job.step) as bar:
        job.run(run, bar.show)
    took_s = time.monotonic() - started_s
    report.console.print(f"trained in {duration(took_s)}, {duration(expected_s)} were expected")
    return {"expected_s": round(expected_s, 1), "took_s": round(took_s, 1)}


def _summarise(
    report: Report, run: Path, info: RunInfo, images: ImageData, sampler: LevelSampler
) -> dict[str, Any]:
    """Accuracies of a small, a middle and a large subnet on the search part."""
    from elasticvit.arch import ArchBatch
    from elasticvit.cost import MacsCost
    from elasticvit.search.evaluate import Sizes, SupernetEvaluator
    from elasticvit.training.checkpoint import load_supernet

    supernet: Supernet = load_supernet(run)
    values, unit = sampler.levels.values, sampler.levels.unit
    archs = {
        "smallest": info.space.smallest,
        f"at {values[len(values) // 2]:g} {unit}": sampler.draw_at(len(values) // 2).archs[0],
        f"at {values[-1]:g} {unit}": sampler.draw_at(len(values) - 1).archs[0],
    }
    evaluator = SupernetEvaluator(
        supernet,
        images,
        Sizes(
            recalibration_images=min(RECALIBRATION_IMAGES, images.info.train_images),
            search_images=min(SUMMARY_IMAGES, images.info.search_images),
        ),
    )
    batch = ArchBatch.of(list(archs.values()))
    macs, accuracies = MacsCost(info.space).price(batch), evaluator(batch)
    rows = [
        {"name": name, "arch": arch.to_dict(), "macs_m": float(macs_m), "accuracy": float(accuracy)}
        for (name, arch), macs_m, accuracy in zip(archs.items(), macs, accuracies, strict=True)
    ]
    show_accuracies(report, rows, list(archs.values()), evaluator.sizes.search_images)
    return {
        "command": "evit-train",
        "run": str(run),
        "space": info.space.name,
        "data": info.data,
        "seed": info.seed,
        "epochs": info.settings["epochs"],
        "subnets": rows,
    }


def _close(report: Report, folder: Workspace, space: SearchSpace, run: Path) -> None:
    """The result, and a target that is worth a try where latencies are known."""
    import numpy as np

    result = json.loads((run / RESULT_FILE).read_text())
    report.console.print(f"written to {run}")
    device = folder.settings().get("device")
    if device is None:
        report.close(result, "evit-profile --device host, then evit-search --target-ms N")
        return
    from predictors.latency import load_latency_cost

    cost = load_latency_cost(folder, device, space)
    prices = cost.price(space.sample(1000, np.random.default_rng(0)))
    target = float(f"{float(np.median(prices)):.2g}")
    report.close(result, f"evit-search --target-ms {target:g}")


if __name__ == "__main__":
    main()
