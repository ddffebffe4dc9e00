"""Two processes that torchrun started train as one does, and end together where one fails."""

import csv
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from training_small import config, trainer

from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.loop import run_training
from elasticvit.training.trainer import Trainer

TESTS = Path(__file__).parent
BATCH = 201  # of 1,221 images: six steps, and shares of different size
HALF = 3  # steps


def some_steps(job: Trainer, count: int) -> list[tuple[int, float]]:
    """Take steps by hand; level and loss of each."""
    seen = []
    for _ in range(count):
        batch = next(job.loader.batches(*divmod(job.step, len(job.loader))))
        losses = job.step_at(batch, job.sampler.draw()).losses()
        job.step += 1
        job.watch.look(job.step, losses)
        seen.append((losses.level, losses.sampled))
    return seen


def with_calm_optimiser(job: Trainer) -> Trainer:
    """A trainer whose optimiser ignores rounding errors: Adam would make a step of full length of
    a gradient that is zero but for them, such as that of a bias before a batch norm."""
    for group in job.optimiser.param_groups:
        group["eps"] = 1e-3
    return job


def torchrun(tmp_path: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "ranks.py"
    script.write_text(code)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    return subprocess.run(
        [sys.executable, *command, *arguments],
        env=os.environ
        | {"PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


TRAIN = """
import sys, torch
from pathlib import Path
from test_training_distributed import BATCH, HALF, some_steps, with_calm_optimiser
from training_small import config, trainer
from elasticvit.errors import TrainingError
from elasticvit.training import ranks as module
from elasticvit.training.loop import run_training
from elasticvit.training.ranks import joined
folder = Path(sys.argv[1])
module.BUCKET = 1000  # numbers, so that there are many buckets
with joined() as ranks:
    assert ranks.share(f"from {ranks.rank}") == "from 0"
    assert ranks.any(ranks.rank == 1) and not ranks.any(False)
    tensors = [torch.full((3,), float(ranks.rank)), torch.full((2, 2), float(ranks.rank))]
    ranks.average(tensors, weight=ranks.rank + 1)
    assert all(torch.allclose(tensor, torch.tensor(2 / 3)) for tensor in tensors)
    try:
        ranks.check_same(ranks.rank == 0, "this is the first one")
        assert ranks.rank == 0
    except TrainingError as error:
        assert "for rank 0 it is True, here it is False that this is the first" in str(error)
    job = with_calm_optimiser(trainer(config(batch_size=BATCH), ranks=ranks))
    seen = some_steps(job, HALF)
    job.save(folder / "from_two")
    seen += some_steps(job, HALF)
    torch.save((seen, job.supernet.state_dict()), folder / f"rank{ranks.rank}.pt")
    run_training(trainer(config(batch_size=BATCH), ranks=ranks), folder / "from_one")
"""


def test_two_processes_train_as_one_and_go_on_as_one(tmp_path: Path) -> None:
    """One process with two micro-batches has the batch statistics of two processes, and so must
    have their weights. Its running statistics differ: they move twice a step."""
    for name in ("from_one", "from_two"):
        (tmp_path / name).mkdir()
    alone = trainer(config(batch_size=BATCH))
    some_steps(alone, HALF)
    alone.save(tmp_path / "from_one")
    done = torchrun(tmp_path, TRAIN, str(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    (seen, one), (_, two) = (torch.load(tmp_path / f"rank{i}.pt") for i in (0, 1))
    assert all(torch.equal(one[name], two[name]) for name in one)  # statistics, too
    job = with_calm_optimiser(trainer(config(batch_size=BATCH, accumulate=2)))
    start = {name: p.detach().clone() for name, p in job.supernet.named_parameters()}
    expected = some_steps(job, 2 * HALF)
    assert [level for level, _ in seen] == [level for level, _ in expected]
    assert len({level for level, _ in seen}) > 1
    assert [loss for _, loss in seen] == pytest.approx([x for _, x in expected], rel=1e-4)
    for name, parameter in job.supernet.named_parameters():
        moved = (parameter - start[name]).norm()
        assert (one[name] - parameter).norm() <= 1e-3 * moved + 1e-5, name
    shutil.copytree(tmp_path / "from_two", tmp_path / "back")
    run_training(trainer(config(batch_size=BATCH)), tmp_path / "back")
    for folder in ("from_one", "back"):
        assert Checkpoint.load(tmp_path / folder).step == 2 * HALF
        with (tmp_path / folder / "log.csv").open(newline="") as file:
            assert [int(row["step"]) for row in csv.DictReader(file)] == [4, 5, 6]


FAIL = """
import os, signal, sys, time
from pathlib import Path
from training_small import trainer
from elasticvit.errors import DataError
from elasticvit.training.loop import run_training
from elasticvit.training.ranks import joined
folder, way = Path(sys.argv[1]), sys.argv[2]
with joined() as ranks:
    job = trainer(ranks=ranks)
    draw = job.sampler.draw
    def failing(share):
        if ranks.rank == 1 and job.step == 3:
            (folder / "failed").write_text(str(time.time()))
            if way == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise DataError("one bad picture")
        return draw(share)
    job.sampler.draw = failing
    job.save(folder)
    ranks.share(None)  # the others wait for the checkpoint
    run_training(job, folder)
"""


@pytest.mark.parametrize(
    ("way", "words"),
    [("killed", r"exitcode\s*: -9"), ("raises", "DataError: rank 1 of 2: one bad picture")],
)
def test_a_process_that_fails_ends_the_others_and_is_named(
    tmp_path: Path, way: str, words: str
) -> None:
    done = torchrun(tmp_path, FAIL, str(tmp_path), way)
    took_s = time.time() - float((tmp_path / "failed").read_text())
    assert done.returncode != 0
    assert took_s < 30, took_s  # some two seconds where the machine is idle
    assert re.search(words, done.stderr), done.stderr[-3000:]
    assert re.search(r"Root Cause.*rank\s*: 1 \(local_rank: 1\)", done.stderr, re.DOTALL)
    assert 0 <= Checkpoint.load(tmp_path).step <= 3
