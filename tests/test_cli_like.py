"""evit-profile --like: a new device from known ones and a few chosen kernels."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from elasticvit.arch import ArchBatch
from elasticvit.cli.profile import main
from elasticvit.cost import reachable_kernels
from elasticvit.kernels import Kernel
from elasticvit.space import TINY
from elasticvit.workspace import Workspace
from lut.frames import DRIFT_ROUND
from lut.held_out import HeldOutSplit
from lut.store import Store
from predictors.features import work_matrix
from predictors.fit import table_predictor
from predictors.predictor import load_predictor
from predictors.workspace_predictors import load_device_predictor

COUNT, SUBNETS, ROUNDS = 14, 12, 2
SMALL = SUBNETS // 2  # subnets that are timed in twice as many rounds
LIKE = ["--like", "a,b", "--budget-kernels", str(COUNT), "--rounds", str(ROUNDS)]


def workspace(folder: Path) -> Workspace:
    """One that knows two made-up devices, and a third on a part of the space only."""
    found = Workspace.open(folder)
    found.remember(space=TINY, data="digits")
    kernels = reachable_kernels(TINY)
    work = work_matrix(kernels)
    for seed, name in enumerate(("a", "b", "part")):
        rates = np.random.default_rng(seed).uniform(0.5, 1.5, work.shape[1]) * 1e-7
        table = dict(zip(kernels, (work @ rates + 1e-3).tolist(), strict=True))
        if name == "part":
            table = {k: ms for k, ms in table.items() if k.kind != "head"}
        predictor = table_predictor(table, device=name, source=f"import:{name}.json")
        predictor.save(found.predictor_path(name))
    return found


def call(folder: Path, *options: str, device: str = "fake") -> Result:
    where = ["--workspace", str(folder), "--json"]
    return CliRunner().invoke(main, [*options, "--device", device, *where])


def rounds(folder: Path) -> Counter[tuple[str, int]]:
    """How often each round of each model was timed, those that show drift left out."""
    with Store(folder / "lut.sqlite") as store:
        frame = store.measurements("fake")
    frame = frame[frame["round"] < DRIFT_ROUND]
    return Counter(zip(frame["key"], frame["round"], strict=True))


def kernels_of(counted: Counter[tuple[str, int]]) -> set[Kernel]:
    return {Kernel.from_key(key) for key, _ in counted if not key.startswith("subnet")}


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("like") / "ws"
    workspace(folder)
    return folder, call(folder, *LIKE)


def test_a_new_device_is_learnt_from_known_ones_and_a_few_kernels(learnt) -> None:
    folder, done = learnt
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    counted = rounds(folder)
    assert set(counted.values()) == {1}
    assert len(counted) == (COUNT + SUBNETS + SMALL) * ROUNDS
    assert sum(result["measured"].values()) == COUNT + SUBNETS
    assert result["complete"]
    assert result["errors"] == {}  # nothing was held out
    transfer = result["transfer"]
    assert transfer["like"] == {
        name: f"{name}.json, imported, conditions unrecorded" for name in ("a", "b")
    }
    assert (transfer["kernels"], transfer["subnets"]) == (COUNT, SUBNETS)
    interval = transfer["interval"]
    assert interval["lower"] < 1 < interval["upper"]
    assert Path(result["report"]).is_file()


def test_its_predictor_prices_the_space_and_becomes_the_default(learnt) -> None:
    folder, _ = learnt
    here = Workspace.open(folder)
    assert here.settings().device == "fake"
    predictor = load_predictor(here.predictor_path("fake"))
    assert predictor.report.like == ("a", "b")
    assert predictor.source == "fake:fake"
    batch = ArchBatch.of([TINY.smallest, TINY.largest])
    cost = load_device_predictor(here, "fake").cost(TINY)
    assert (cost.upper(batch) > cost.price(batch)).all()


def test_a_person_is_told_what_was_known_and_how_sure_it_is(learnt) -> None:
    told = " ".join(learnt[1].stderr.split())
    for words in (
        f"choosing {COUNT} kernels by the predictors of a, b",
        "source devices: a (a.json, imported, conditions unrecorded); b (b.json",
        f"from {COUNT} of its own kernels",
        f"from {SUBNETS} whole subnets",
        "no whole subnet was held out to check it",
        "of its prediction",
    ):
        assert words in told


def test_a_killed_one_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "ws"
    workspace(folder)
    command = [Path(sys.executable).parent / "evit-profile", "--workspace", folder, *LIKE]
    process = subprocess.Popen(
        [*command, "--device", "fake"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    table = folder / "lut.sqlite"
    for _ in range(3000):
        time.sleep(0.01)
        if table.with_name("lut.sqlite-wal").exists():
            with Store(table) as store:
                if store.devices() and len(store.measurements("fake")) > 3:
                    break
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = rounds(folder)
    result = json.loads(call(folder, *LIKE).stdout)
    counted = rounds(folder)
    assert before
    assert set(before) <= set(counted)
    assert set(counted.values()) == {1}
    assert len(counted) == (COUNT + SUBNETS + SMALL) * ROUNDS
    assert result["transfer"]["kernels"] == COUNT


def test_more_kernels_and_then_a_whole_profile_deepen_the_same_table(tmp_path: Path) -> None:
    folder = tmp_path / "ws"
    workspace(folder)
    assert call(folder, *LIKE).exit_code == 0
    few = kernels_of(rounds(folder))
    assert call(folder, *LIKE, "--budget-kernels", "20").exit_code == 0
    more = kernels_of(rounds(folder))
    assert few < more
    assert len(more) == 20
    whole = call(folder, "--budget-minutes", "0.2", "--rounds", str(ROUNDS))
    assert whole.exit_code == 0, whole.output
    counted = rounds(folder)
    assert set(counted.values()) == {1}
    assert more < kernels_of(counted)
    split = HeldOutSplit(seed=0)
    assert not any(split.held_out(k.key) for k in more)
    assert not load_predictor(Workspace.open(folder).predictor_path("fake")).report.like

    again = json.loads(call(folder, *LIKE).stdout)  # uses what there is, judged on what is held out
    # the sources know no heads of other class counts, which a whole profile times besides
    known = set(reachable_kernels(TINY)) & kernels_of(counted)
    assert again["transfer"]["kernels"] == sum(not split.held_out(k.key) for k in known)
    assert again["errors"]["subnets"]["count"] > 0
    assert again["errors"]["kernels"]["count"] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--like", "a,pixel9"],
            ["no predictor of device 'pixel9'", "there is one for a, b", "--like"],
        ),
        (["--like", "a,fake"], ["fake cannot be learnt from itself"]),
        (["--like", "a,a"], ["one is named twice"]),
        (["--like", "a,"], ["name profiled source devices, such as 'pixel4,xiaomi11'", "--like"]),
        (["--like", ""], ["it is empty", "--like"]),
        (["--like", "a,part"], ["part cannot be a source device", "head", "space tiny"]),
        (
            ["--like", "a", "--budget-kernels", "2"],
            ["budget_kernels is 2", "from 3 to", "--budget-kernels"],
        ),
        (["--like", "a", "--budget-kernels", "100000"], ["100000", "space tiny has"]),
        (["--budget-kernels", "50"], ["learnt from known ones", "--like"]),
        (["--like", "a", "--explain", "smallest"], ["--like a is for measuring"]),
    ],
)
def test_what_makes_no_sense_is_refused(learnt, options: list[str], words: list[str]) -> None:
    folder, _ = learnt
    before = rounds(folder)
    done = call(folder, *options)
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.output
    for word in words:
        assert word in done.stderr
    assert rounds(folder) == before


def test_this_computer_is_learnt_too(tmp_path: Path) -> None:
    workspace(tmp_path / "ws")
    done = call(tmp_path / "ws", "--like", "a", "--budget-kernels", "5", device="host")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["source"].startswith("host:")
    assert result["transfer"]["kernels"] == 5
