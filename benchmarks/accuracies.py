"""Accuracies of architectures with a trained supernet's weights, as a data set.

    python benchmarks/accuracies.py --run RUN [--data DATA] [--archs 1000] [--out FILE]

For each architecture the subnet is cut out, its batch norms are recalibrated on images of the
training part, and it is judged on images of the held-out part, which a search may look at, and of
the test part, which none may. The file (parquet) has one row an architecture:

    architecture                     text form
    macs_m                           multiply-accumulates, millions
    search_accuracy, test_accuracy   percent
    search_error, test_error         their standard errors, percentage points
    search_correct, test_correct     which images were classified right, 8 a byte (numpy.packbits),
                                     the same images in the same order for all architectures
    born                             0: drawn at random; later rounds: near the front of the ones
                                     before

Half of the architectures are drawn at random, spread evenly over the logarithm of their MACs up to
80 million. The others come in four rounds of mutations and crossovers of the front so far (held-out
accuracy against MACs), since that is where a search goes. The metadata tells how it was made. An
interrupted run goes on: what is judged is kept beside the file. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.nn.fuse import fused
from elasticvit.nn.judging import recalibrate
from elasticvit.nn.subnet import Subnet
from elasticvit.nn.supernet import Supernet
from elasticvit.searching.evaluate import weights_hash
from elasticvit.searching.judge import Judged
from elasticvit.searching.pareto import ranks
from elasticvit.space import SearchSpace
from elasticvit.training.checkpoint import load_supernet
from elasticvit.training.data import ImageData, open_data
from elasticvit.training.run_info import RunInfo

HERE = Path(__file__).resolve().parent
ROUNDS = 4  # after the random half
POOL = 200_000  # random architectures that the first half is taken from
PARENTS = 40
BATCH_SIZE = 64
TRAINING = ("epochs", "batch_size", "lr", "subnets", "level_bias", "grow")  # told in the file
Part = list[tuple[Tensor, Tensor]]


class Worker:
    """What a process needs to judge architectures, one thread each."""

    def __init__(self, run: Path, data: str, counts: dict[str, int], seed: int) -> None:
        torch.set_num_threads(1)
        self.supernet = load_supernet(run)
        self.images = Images(open_data(data), counts, seed)


WORKER: list[Worker] = []  # of this process


def _start(*arguments: Any) -> None:
    WORKER[:] = [Worker(*arguments)]


def _judge(arch: Arch) -> dict[str, str]:
    """Packed bits of what is classified right, as hexadecimal text by part."""
    right = judge(WORKER[0].supernet, WORKER[0].images, arch)
    return {part: np.packbits(bits).tobytes().hex() for part, bits in right.items()}


class Images:
    """Images of the three parts at a resolution, the same ones for every architecture."""

    def __init__(self, data: ImageData, counts: dict[str, int], seed: int) -> None:
        self.data, self.counts, self.seed = data, counts, seed
        self.kept: dict[int, dict[str, Part]] = {}

    def at(self, resolution: int) -> dict[str, Part]:
        """Batches by part."""
        if resolution not in self.kept:
            self.kept[resolution] = {
                part: list(self._batches(part, resolution)) for part in self.counts
            }
        return self.kept[resolution]

    def _batches(self, part: Any, resolution: int) -> Iterator[tuple[Tensor, Tensor]]:
        left = self.counts[part]
        loader = self.data.loader(
            part, resolution=resolution, batch_size=BATCH_SIZE, shuffle=True, seed=self.seed
        )
        for images, labels in loader:
            yield images[:left], labels[:left]
            left -= len(labels)
            if left <= 0:
                return


def judge(supernet: Supernet, images: Images, arch: Arch) -> dict[str, npt.NDArray[np.bool_]]:
    """Which images of the held-out and of the test part are classified right."""
    parts = images.at(arch.resolution)
    subnet = fused(recalibrate(Subnet.cut(supernet, arch), parts["train"], len(parts["train"])))
    right = {}
    with torch.inference_mode():
        for part in ("search", "test"):
            found = [(subnet(x).argmax(1) == y).numpy() for x, y in parts[part]]
            right[part] = np.concatenate(found)
    return right


def spread_evenly(
    space: SearchSpace, most: float, count: int, rng: np.random.Generator
) -> ArchBatch:
    """Random architectures of at most so many MMACs, spread evenly over their logarithm."""
    pool = space.sample(POOL, rng).unique()
    pool = pool.take(MacsCost(space).price(pool) <= most)
    cost = np.log(MacsCost(space).price(pool))
    order = np.argsort(cost, kind="stable")
    wanted = np.linspace(cost.min(), cost.max(), count)
    rows = order[np.clip(np.searchsorted(cost[order], wanted), 0, len(order) - 1)]
    rows = np.unique(rows)
    rest = rng.permutation(np.setdiff1d(np.arange(len(pool)), rows))[: count - len(rows)]
    return pool.take(np.concatenate([rows, rest])).concat(ArchBatch.of([space.smallest]))


def near_front(
    space: SearchSpace,
    most: float,
    archs: ArchBatch,
    accuracy: Any,
    count: int,
    rng: np.random.Generator,
) -> ArchBatch:
    """New architectures of at most so many MMACs, made from the first layers of the front."""
    price = MacsCost(space).price
    cost = price(archs)
    layer = ranks(np.stack([cost, -np.asarray(accuracy)], axis=1))
    parents = archs.take(np.argsort(layer, kind="stable")[:PARENTS])
    seen = set(archs)
    new: list[Arch] = []
    while len(new) < count:
        one, other = (parents.take(rng.integers(len(parents), size=count)) for _ in range(2))
        children = space.mutate(one, rng, 0.1).concat(space.crossover(one, other, rng))
        children = children.take(price(children) <= most)
        for arch in children.take(rng.permutation(len(children))):
            if arch not in seen and len(new) < count:
                seen.add(arch)
                new.append(arch)
    return ArchBatch.of(new)


class Notebook:
    """What is judged so far, one JSON line an architecture, in a file beside the result."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        if path.exists():
            whole = path.read_bytes().rpartition(b"\n")[0]
            for line in whole.splitlines():
                row = json.loads(line)
                self.rows[row["architecture"]] = row
            path.write_bytes(whole + b"\n" if whole else b"")

    def add(self, row: dict[str, Any]) -> None:
        self.rows[row["architecture"]] = row
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="Folder of a training run.")
    parser.add_argument("--data", default=None, help="Data set, if it lies elsewhere now.")
    parser.add_argument("--archs", type=int, default=1000)
    parser.add_argument("--most-mmacs", type=float, default=80.0, help="Of an architecture.")
    parser.add_argument("--recalibration", type=int, default=256, help="Training images.")
    parser.add_argument("--search", type=int, default=1000, help="Held-out images.")
    parser.add_argument("--test", type=int, default=1000, help="Test images.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="Processes, one thread each.")
    parser.add_argument("--out", type=Path, default=HERE / "data" / "tiny_cifar10.parquet")
    options = parser.parse_args()
    info = RunInfo.load(options.run)
    counts = {"train": options.recalibration, "search": options.search, "test": options.test}
    start = (options.run, options.data or info.data, counts, options.seed)
    with multiprocessing.get_context("spawn").Pool(options.jobs, _start, start) as workers:
        collect(options, info, counts, workers)


def collect(options: Any, info: RunInfo, counts: dict[str, int], workers: Any) -> None:
    """Judge all architectures and write the file."""
    space = info.space
    book = Notebook(options.out.with_suffix(".jsonl"))
    rng = np.random.default_rng(options.seed)
    begun = time.monotonic()
    batch = spread_evenly(space, options.most_mmacs, options.archs // 2 - 1, rng)
    archs, per_round = batch.take(slice(0, 0)), (options.archs - len(batch)) // ROUNDS
    for born in range(ROUNDS + 1):
        wanted = [a for a in sorted(batch, key=lambda a: a.resolution) if str(a) not in book.rows]
        for arch, right in zip(wanted, workers.imap(_judge, wanted), strict=True):
            book.add({"architecture": str(arch), "born": born, **right})
            if len(book.rows) % 20 == 0:
                seconds = time.monotonic() - begun
                print(f"{len(book.rows)} judged, {seconds:.0f} s", file=sys.stderr, flush=True)
        archs = archs.concat(batch)
        if born < ROUNDS:
            seen = _bits([book.rows[str(arch)]["search"] for arch in archs], options.search)
            last = options.archs - len(archs) if born == ROUNDS - 1 else per_round
            batch = near_front(
                space, options.most_mmacs, archs, Judged.of(seen).accuracy, last, rng
            )
    table = _table(archs, book, counts, space)
    facts = {
        "made_by": "benchmarks/accuracies.py",
        "space": space.name,
        "weights": weights_hash(load_supernet(options.run)),
        "data": Path(info.data).name,
        "training": {name: getattr(info.settings, name) for name in TRAINING},
        "images": counts,
        "most_mmacs": options.most_mmacs,
        "seed": options.seed,
    }
    written = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(written.schema.metadata or {}), b"elasticvit": json.dumps(facts).encode()}
    options.out.parent.mkdir(exist_ok=True)
    pq.write_table(written.replace_schema_metadata(metadata), options.out, compression="zstd")
    quartiles = table["test_accuracy"].quantile([0, 0.25, 0.5, 0.75, 1]).round(2).tolist()
    correlation = table["search_accuracy"].corr(table["test_accuracy"], method="kendall")
    line = {
        "benchmark": "accuracies",
        **facts,
        "archs": len(table),
        "test_accuracy_quartiles": quartiles,
        "median_test_error": round(float(table["test_error"].median()), 2),
        "tau_search_test": round(float(correlation), 3),
        "bytes": options.out.stat().st_size,
        "seconds": round(time.monotonic() - begun),
    }
    print(json.dumps(line))


def _bits(packed: list[str], count: int) -> npt.NDArray[np.bool_]:
    rows = [np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))[:count] for text in packed]
    return np.array(rows, dtype=bool)


def _table(
    archs: ArchBatch, book: Notebook, counts: dict[str, int], space: SearchSpace
) -> pd.DataFrame:
    rows = [book.rows[str(arch)] for arch in archs]
    columns: dict[str, Any] = {
        "architecture": [row["architecture"] for row in rows],
        "macs_m": MacsCost(space).price(archs),
    }
    for part in ("search", "test"):
        judged = Judged.of(_bits([row[part] for row in rows], counts[part]))
        columns[f"{part}_accuracy"] = judged.accuracy
        columns[f"{part}_error"] = judged.error
        columns[f"{part}_images"] = counts[part]
    columns["search_correct"] = [bytes.fromhex(row["search"]) for row in rows]
    columns["test_correct"] = [bytes.fromhex(row["test"]) for row in rows]
    columns["born"] = [row["born"] for row in rows]
    table: pd.DataFrame = pd.DataFrame(columns)
    return table


if __name__ == "__main__":
    main()
