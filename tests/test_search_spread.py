"""Several processes judge as one does, and end together where one fails."""

import json
import multiprocessing
import os
import re
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from small_search import (
    SMALL,
    digits,
    everything,
    one_thread,
    supernet_file,
    trained,
    workspace_with_run,
)

from elasticvit.cli.search import main
from elasticvit.errors import DataError, EvitError
from elasticvit.flows import search_team
from elasticvit.flows.search import search
from elasticvit.searching import evaluate
from elasticvit.searching.evaluate import Sizes, Stretch, SupernetEvaluator
from elasticvit.searching.judgement_store import JudgementStore
from elasticvit.searching.spread import shares
from elasticvit.workspace import Workspace

pytestmark = pytest.mark.usefixtures(one_thread.__name__)
ASKED = ("--target-mmacs", "2", "--evaluations", "12", "--threads", "1")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_with_run(tmp_path / "ws")


def started_as_by_torchrun(target: Callable[..., None], *arguments: object) -> None:
    """Run a function of a rank in two processes that find each other, and wait for them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(target=_as_rank, args=(rank, port, target, *arguments)) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(60)
            assert process.exitcode is not None
    finally:
        for process in processes:
            process.kill()


def _as_rank(rank: int, port: int, target: Callable[..., None], *arguments: object) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    search_team.GRACE_S = 0.0
    evaluate.QUICK_GMACS["cpu"] = 0.1
    target(rank, *arguments)


def _command(rank: int, root: Path, supernet: Path, told: Path) -> None:
    """`evit-search` as one of two processes, its standard output in a file."""
    named = ("--supernet", str(supernet), "--data", "digits")
    with (told / f"output{rank}").open("w") as output:
        os.dup2(output.fileno(), 1)
        sys.stdout = output
        main(["--workspace", str(root), "--json", *named, *ASKED])


def test_two_processes_find_what_one_finds(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leave the same judgements, of images that are normalised as the supernet asks for; the
    second one prints and writes nothing."""
    named = supernet_file(tmp_path / "small.safetensors")
    started_as_by_torchrun(_command, workspace.root, named, tmp_path)
    assert (tmp_path / "output1").read_text() == ""
    (line,) = (tmp_path / "output0").read_text().splitlines()
    spread = json.loads(line)
    store = workspace.root / "judgements.sqlite"
    store.rename(tmp_path / "of_two.sqlite")
    monkeypatch.setitem(evaluate.QUICK_GMACS, "cpu", 0.1)
    alone = search(
        target_mmacs=2,
        evaluations=12,
        threads=1,
        supernet=named,
        data="digits",
        workspace=workspace,
    )
    assert alone.result.normalisation is not None
    folder = spread.pop("folder")
    assert [Path(folder), alone.folder] == workspace.folders("search")
    assert {name: spread[name] for name in alone.result.to_dict()} == json.loads(
        json.dumps(alone.result.to_dict())
    )
    known = [_judged(JudgementStore(path)) for path in (store, tmp_path / "of_two.sqlite")]
    assert known[0].keys() == known[1].keys()
    for key, bits in known[0].items():
        np.testing.assert_array_equal(bits, known[1][key])
    assert len(known[0]) >= 12


def _judged(store: JudgementStore) -> dict[tuple[str, object], np.ndarray]:
    with closing(sqlite3.connect(store.path)) as database:
        contexts = [context for (context,) in database.execute("SELECT context FROM contexts")]
    archs = list(everything(SMALL))
    return {
        (context, arch): bits
        for context in contexts
        for arch, bits in zip(archs, store.get(context, archs), strict=True)
        if len(bits)
    }


@pytest.mark.parametrize(
    ("way", "first", "second"),
    [
        (
            "raises 1",
            "DataError: rank 0 of 2: on rank 1 of 2: one bad picture",
            "rank 0 of 2 is gone",
        ),
        ("raises 0", "DataError: rank 0 of 2: one bad picture", "rank 0 of 2 is gone"),
        ("killed 1", "ProcessError: rank 0 of 2: rank 1 of 2 is gone: .* what was judged", None),
    ],
)
def test_a_process_that_fails_ends_the_others_and_is_named(
    workspace: Workspace, tmp_path: Path, way: str, first: str, second: str | None
) -> None:
    started_as_by_torchrun(_failing, way, workspace.root, tmp_path)
    assert re.search(first, (tmp_path / "0").read_text())
    if second is not None:
        assert re.search(second, (tmp_path / "1").read_text())
    assert _judged(JudgementStore(workspace.root / "judgements.sqlite"))  # nothing is lost


def _failing(rank: int, way: str, root: Path, told: Path) -> None:
    """One of two processes, of which one fails; writes down the error of its search."""
    extend, done = SupernetEvaluator.extend, []

    def failing(self: SupernetEvaluator, stretch: Stretch) -> np.ndarray:
        done.append(stretch)
        if way.endswith(str(rank)) and len(done) == 6:
            if way.startswith("killed"):
                os.kill(os.getpid(), signal.SIGKILL)
            raise DataError("one bad picture")
        return extend(self, stretch)

    SupernetEvaluator.extend = failing  # type: ignore[method-assign]
    try:
        search(target_mmacs=2, evaluations=12, workspace=root)
    except EvitError as error:
        (told / str(rank)).write_text(f"{type(error).__name__}: {error}")
        time.sleep(2)  # lives on, as a program may: the other one must end all the same


def test_shares_are_even_and_whole() -> None:
    sizes = Sizes(recalibration_images=64, search_images=128)
    evaluator = SupernetEvaluator(trained(), digits(), sizes)
    stretches = [Stretch(arch, 0, 128) for arch in SMALL.sample(20, np.random.default_rng(0))]
    dealt = shares(evaluator, stretches, 3)
    assert sorted(id(stretch) for share in dealt for stretch in share) == sorted(map(id, stretches))
    assert {len(share) for share in dealt} <= {6, 7, 8}
    for share in dealt:
        resolutions = [stretch.arch.resolution for stretch in share]
        assert resolutions == sorted(resolutions)
    assert shares(evaluator, [], 2) == [[], []]
