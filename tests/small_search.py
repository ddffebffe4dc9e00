"""A space small enough to go through, a supernet trained for a moment, and costs to cap by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from elasticvit.arch import ArchBatch
from elasticvit.arrays import FloatArray
from elasticvit.cost import MacsCost, space_kernels
from elasticvit.kernels import Layout
from elasticvit.space import SearchSpace
from elasticvit.training.data import ImageData, open_data
from elasticvit.workspace import Workspace

if TYPE_CHECKING:
    from elasticvit.flows.search import SearchOutcome
    from elasticvit.nn import Supernet
    from predictors.predictor import Predictor

LAYOUT = Layout(
    conv_strides=(2,),
    conv_se=(False,),
    attn_strides=(1,),
    head_expansion=2,
    head_hidden=64,
    classes=10,
)
SMALL = SearchSpace(
    "small",
    LAYOUT,
    (
        (16, 24),  # resolution
        *((8, 16), (1,), (1,), (3,)),  # stem: width, depth, expansion, kernel
        *((16, 24), (1, 2), (2, 3), (3, 5)),  # conv1
        *((16, 32, 48), (1, 2), (2, 3), (2,)),  # attn1: width, depth, MLP ratio, V scale
    ),
)


def everything(space: SearchSpace) -> ArchBatch:
    """All architectures of a small space."""
    grid = np.array(np.meshgrid(*space.choices, indexing="ij"), dtype=np.int16)
    batch = ArchBatch(grid.reshape(len(space.choices), -1).T, space.layout.n_conv)
    return batch.take(space.valid(batch))


class OddCost:
    """A latency by which the smallest architecture is not the fastest: odd kernels of side 3
    and low resolutions are slow on it. Knows an upper bound."""

    unit = "ms"

    def __init__(self, space: SearchSpace, name: str = "latency on odd") -> None:
        self.name, self.macs, self.space = name, MacsCost(space), space

    def price(self, batch: ArchBatch) -> FloatArray:
        kernels = batch.genes[:, [i for i, n in enumerate(batch.names) if n.endswith("kernel")]]
        slow = (kernels == 3).sum(axis=1) + 2.0 * (batch.genes[:, 0] == self.space.choices[0][0])
        return (
            1 + self.macs.price(batch) / self.macs.price(ArchBatch.of([self.space.largest])) + slow
        )

    def upper(self, batch: ArchBatch) -> FloatArray:
        return 1.1 * self.price(batch)


def proxy(batch: ArchBatch) -> FloatArray:
    """A deterministic accuracy with dependences between genes."""
    genes = batch.genes.astype(np.float64)
    return (
        50 + 10 * np.sin(genes @ np.linspace(0.1, 1.7, genes.shape[1])) + 0.1 * genes.mean(axis=1)
    )


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches judge architectures on few images, finalists on no more."""
    from elasticvit.searching import evaluate, judges

    monkeypatch.setitem(evaluate.QUICK_GMACS, "cpu", 0.1)
    monkeypatch.setattr(judges, "THOROUGH_FACTOR", 1.0)
    monkeypatch.setattr(judges, "THOROUGH_RECALIBRATION", 128)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads, and on a busy machine far slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def digits() -> ImageData:
    return open_data("digits")


@cache
def trained(steps: int = 80) -> Supernet:
    """A supernet of `SMALL` after some steps of single random architectures."""
    import torch
    import torch.nn.functional as F

    from elasticvit.nn import Supernet

    rng = np.random.default_rng(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Supernet(SMALL).train()
        optimiser = torch.optim.AdamW(net.parameters(), 4e-3)
        step = 0
        while step < steps:
            loader = digits().loader(
                "train", resolution=16, batch_size=64, shuffle=True, seed=step, drop_last=True
            )
            for images, labels in loader:
                logits = net(images, SMALL.sample(1, rng)[0])
                optimiser.zero_grad()
                F.cross_entropy(logits, labels).backward()
                torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimiser.step()
                step += 1
    return net.eval()


def workspace_with_run(root: Path) -> Workspace:
    """A workspace of `SMALL` and digits with a run that holds the trained supernet."""
    workspace = Workspace.open(root)
    run = workspace.new_folder("run")
    save_run(run)
    workspace.remember(space=SMALL, data=digits().info.spec)
    workspace.set_latest("run", run)
    return workspace


def save_run(folder: Path) -> None:
    """The trained supernet of `SMALL` as a training run in a folder."""
    from elasticvit.training.checkpoint import Checkpoint
    from elasticvit.training.run_info import RunInfo, RunSettings

    data = digits()
    facts = RunInfo(
        space=SMALL,
        data=data.info.spec,
        seed=0,
        mean=data.mean,
        std=data.std,
        settings=RunSettings(epochs=5, batch_size=64, lr=4e-3),
    )
    facts.save(folder)
    Checkpoint(info=facts, step=80, weights=trained().state_dict()).save(folder)


def workspace_with_devices(root: Path) -> Workspace:
    """The same with predictors of a `phone`, which was profiled last, and of a `board`."""
    made = workspace_with_run(root)
    add_predictor(made.predictor_path("phone"), "phone", ms_per_mmac=2.0, upper=1.1)
    add_predictor(made.predictor_path("board"), "board", ms_per_mmac=5.0, upper=1.0)
    made.remember(device="phone")
    return made


def same(one: SearchOutcome, other: SearchOutcome) -> None:
    """Two searches found the same, in whatever folder their run lies."""
    assert replace(one.result, run="") == replace(other.result, run="")


def supernet_file(path: Path, **changes: Any) -> Path:
    """The trained supernet of `SMALL` in one file, normalised otherwise than digits are.

    Args:
        path: The file.
        changes: Other values of its card.
    """
    from elasticvit.block_options import BlockOptions
    from elasticvit.nn.shipped import SupernetCard, save_supernet

    facts = {
        "name": "small",
        "space": SMALL.to_toml(),
        "options": BlockOptions(),
        "data": "digits",
        "classes": tuple("0123456789"),
        "mean": (0.3, 0.3, 0.3),
        "std": (0.25, 0.25, 0.25),
        "training": {},
    }
    save_supernet(path, trained(), SupernetCard(**(facts | changes)))
    return path


def add_predictor(
    folder: Path, device: str, ms_per_mmac: float, upper: float, kernels: int | None = None
) -> Predictor:
    """A predictor whose latencies are the multiply-accumulates, slowed down by a factor.

    Args:
        folder: Folder to save it to.
        upper: Upper bound as a multiple of the prediction; 1 if nothing is known of the error.
        kernels: Number of the kernels of `SMALL` that it knows; None is all.
    """
    from predictors.interval import Interval
    from predictors.kernel_table import KernelTable
    from predictors.predictor import Predictor

    table = {k: (k.macs / 1e6 + 0.01) * ms_per_mmac for k in space_kernels(SMALL)[:kernels]}
    known = Interval(lower=1 / upper, upper=upper, coverage=0.95, count=40)
    predictor = Predictor(
        device=device,
        source=f"fake:{device}",
        kernels=KernelTable(table),
        interval=known if upper > 1 else Interval.unknown(),
    )
    predictor.save(folder)
    return predictor
