"""The prepared folder: a small space, a few images, and a workspace in which all commands ran."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from attacks.attack import WORKSPACE, Attack, Outcome
from attacks.running import Running
from elasticvit.cost import reachable_kernels
from elasticvit.events import Event
from elasticvit.kernels import (
    DOWNSAMPLE_EXPANSION,
    FFN,
    Attention,
    Downsample,
    FirstConv,
    Head,
    Kernel,
    Layout,
    MBConv,
)
from elasticvit.space import MOBILE, SearchSpace

MICRO = SearchSpace(
    "micro",
    Layout(
        conv_strides=(2,),
        conv_se=(True,),
        attn_strides=(1,),
        head_expansion=2,
        head_hidden=64,
        classes=10,
    ),
    (
        (16, 24),
        *((8,), (1,), (1,), (3, 5)),
        *((16, 24), (1, 2), (2, 3), (3, 5)),
        *((32, 48), (1, 2), (2, 3), (2, 3)),
    ),
)
CLASSES, IMAGES, SIDE = ("cat", "dog", "owl"), 24, 24
EPOCHS, STOP_STEP, STOP_EVALUATIONS = 4, 3, 4
# what is timed differs from run to run, so nothing is
SMALL = ("--population", "2", "--generations", "1", "--verify", "0")
PROFILE = ("evit-profile", "--space", "micro.toml", "--budget-minutes", "0.1")
MEASURED = ("*lut.sqlite*", "*.evit/profiles*")  # what it may change before it fails
TRAIN = ("evit-train", "--epochs", str(EPOCHS))
SEARCH = ("evit-search", "--target-ms", "1000", *SMALL)
EXPORT = ("evit-export", "--format", "tflite")
TABLE_CSV = ("evit-profile", "--export-lut", "table.csv")
TABLE_PARQUET = ("evit-profile", "--export-lut", "table.parquet")
CATALOGUE = """[mine]
product = "My phone"
soc = "Chip 1"
clusters = "8 x 2 GHz"
match = { "ro.product.device" = ["mine"] }
address = "127.0.0.1:1"
serial = "abc"
runner = "runner"
"""
HALF_TRAINED, HALF_SEARCHED = ".half-trained", ".half-searched"


class Unprepared(Exception):
    """A command failed in an undamaged folder."""


class Stopped(Exception):
    """Ends a flow on purpose, as Ctrl-C does."""


def prepare(folder: Path, scratch: Path) -> None:
    """Fill a folder by running the commands; the images lie beside it, in `photos`, since a
    training run knows its data set by its whole path.

    Raises:
        Unprepared: One of them failed.
    """
    folder.mkdir(parents=True)
    (folder / "micro.toml").write_text(MICRO.to_toml())
    (folder / "blocks.json").write_text(json.dumps(block_table(), indent=1))
    photos = folder.with_name("photos").absolute()
    pictures(photos)
    train = (*TRAIN, "--data", str(photos))
    for number, argv in enumerate((PROFILE, train, SEARCH, EXPORT, TABLE_CSV, TABLE_PARQUET)):
        place = scratch / f"prepare-{number}"
        attack = Attack(kind="prepare", name=argv[0], argv=argv, limit_s=240)
        outcome = finish(Running(attack, attack.words, folder, place))
        if outcome.code or outcome.trouble or outcome.unbounded:
            raise Unprepared(
                f"{' '.join(argv)} failed in an undamaged folder: {outcome.trouble or ''}"
                f"{outcome.unbounded or ''}\n{outcome.stderr[-3000:]}{outcome.trace[-3000:]}"
            )
        shutil.rmtree(folder)
        (place / "site").rename(folder)
    (folder / WORKSPACE / "devices.toml").write_text(CATALOGUE)
    for name, stop in ((HALF_TRAINED, _half_train), (HALF_SEARCHED, _half_search)):
        shutil.copytree(folder / WORKSPACE, folder / name)
        _in_fork(stop, folder, name)


def finish(running: Running) -> Outcome:
    """The outcome, when there is one."""
    while (outcome := running.poll()) is None:
        time.sleep(0.02)
    return outcome


def pictures(folder: Path) -> None:
    """Write images of three classes that differ in colour."""
    rng = np.random.default_rng(0)
    for channel, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(IMAGES):
            pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            pixels[..., channel] //= 3
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def block_table() -> dict[str, float]:
    """Latencies in the form of the published block tables, for all kernels of `mobile`."""
    return {_block(k): round(k.macs / 1e6 + 0.01, 6) for k in reachable_kernels(MOBILE)}


def _block(kernel: Kernel) -> str:
    match kernel:
        case FirstConv(size, _, cout):
            return f"firstconv_{size}_3_{cout}_2_3"
        case MBConv(size, cin, cout, expansion, side, stride, se):
            with_se = "se" if se else "nose"
            return f"conv_{size}_{cin}_{cout}_{expansion}_{stride}_hard_swish_{side}_{with_se}"
        case Downsample(size, cin, cout, stride):
            return f"transds_{size}_{cin}_{cout}_{stride}_{DOWNSAMPLE_EXPANSION}"
        case Attention(size, width, v_scale):
            return f"transattn_{size}_{width}_hard_swish_{v_scale}_ln"
        case FFN(size, width, mlp_ratio):
            return f"transffn_{size}_{width}_{mlp_ratio}_hard_swish_ln"
        case Head(size, width, expansion, hidden, _):
            return f"mbpool_{size}_{width}_{hidden}_{expansion}_hard_swish"
    raise TypeError(f"a kernel of another kind: {kernel}")


def _half_train(workspace: Path) -> None:
    """Interrupt a training after a few steps; what came after it is taken away first."""
    from elasticvit.flows.train import train
    from elasticvit.flows.train_events import TrainProgress
    from elasticvit.workspace import Workspace

    for name in ("runs", "searches", "exports"):
        shutil.rmtree(workspace / name)
    Workspace.open(workspace).update({"latest": None})

    def stop(event: Event) -> None:
        if isinstance(event, TrainProgress) and event.done >= STOP_STEP:
            raise Stopped

    train(workspace=workspace, events=stop, epochs=EPOCHS)


def _half_search(workspace: Path) -> None:
    from elasticvit.flows.search import search
    from elasticvit.flows.search_events import SearchProgress

    def stop(event: Event) -> None:
        if isinstance(event, SearchProgress) and event.done >= STOP_EVALUATIONS:
            raise Stopped

    search(workspace=workspace, events=stop, target_ms=1000, population=2, generations=1, seed=1)


def _in_fork(work: Callable[[Path], None], folder: Path, name: str) -> None:
    """Run a function that must be stopped, in a folder, in a process of its own."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.chdir(folder)
            work(Path(name))
        except Stopped:
            code = 0
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise Unprepared(f"{name}: the work was not stopped as intended")
