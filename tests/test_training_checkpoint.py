"""Runs on disk: what is written comes back, what is not whole is refused."""

import shutil
from pathlib import Path

import pytest
import torch
from checkpoint_forms import files_of
from training_small import MICRO, config, run_info, trainer

from elasticvit.errors import CheckpointError, NextStep
from elasticvit.nn import BlockOptions
from elasticvit.training.checkpoint import Checkpoint, load_supernet
from elasticvit.training.run_info import CHECKPOINT_FILE, RunInfo, RunSettings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of no steps, with averaged weights that differ from the plain ones."""
    folder = tmp_path_factory.mktemp("run")
    job = trainer()
    for parameter in job.averaged.parameters():
        parameter.data.add_(0.5)
    job.info.save(folder)
    job.save(folder)
    return folder


def test_run_info_comes_back(tmp_path: Path) -> None:
    info = run_info(config(lr=0.003), seed=4)
    info.save(tmp_path)
    assert RunInfo.load(tmp_path) == info
    assert info.space == MICRO


def test_load_supernet_takes_the_average_in_evaluation_mode(run: Path) -> None:
    supernet = load_supernet(run)
    assert not supernet.training
    assert supernet.space == MICRO
    plain = Checkpoint.load(run).weights["blocks.head_0_block.classifier.weight"]
    averaged = supernet.state_dict()["blocks.head_0_block.classifier.weight"]
    assert torch.allclose(averaged, plain + 0.5)


def test_load_supernet_takes_plain_weights_where_there_is_no_average(tmp_path: Path) -> None:
    job = trainer()
    job.info.save(tmp_path)
    Checkpoint(info=job.info, step=3, weights=job.supernet.state_dict()).save(tmp_path)
    loaded = load_supernet(tmp_path).state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in job.supernet.state_dict().items())
    assert Checkpoint.load(tmp_path).step == 3


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_checkpoint_is_refused(run: Path, tmp_path: Path, share: float) -> None:
    copied = shutil.copytree(run, tmp_path / "copied")
    for path, words in zip(
        files_of(copied),
        (r"\.json is not a checkpoint", r"\.safetensors is truncated"),
        strict=True,
    ):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(CheckpointError, match=words) as refused:
            load_supernet(copied)
        path.write_bytes(whole)
    assert refused.value.next_step == NextStep("train", {"fresh": True})


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    run_info(config()).save(tmp_path)
    with pytest.raises(CheckpointError, match="no checkpoint in") as refused:
        load_supernet(tmp_path)
    assert refused.value.next_step == NextStep("train")
    torch.save({"model": torch.zeros(3)}, tmp_path / CHECKPOINT_FILE)
    with pytest.raises(CheckpointError, match="holds schema None; a checkpoint has schema 2"):
        load_supernet(tmp_path)
    torch.save(torch.nn.Linear(2, 2), tmp_path / CHECKPOINT_FILE)  # a pickle that runs code
    with pytest.raises(CheckpointError, match="holds things other than tensors") as refused:
        load_supernet(tmp_path)
    assert "weights_only" not in str(refused.value)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    job = trainer()
    job.info.save(tmp_path)
    weights = dict(list(job.supernet.state_dict().items())[5:])
    Checkpoint(info=job.info, step=1, weights=weights).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"is of another network: '\S+' is missing, and 4"):
        load_supernet(tmp_path)


def test_a_checkpoint_of_another_run_is_refused(run: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(run, tmp_path / "copied")
    run_info(config(), seed=7).save(copied)
    with pytest.raises(CheckpointError, match=r"belongs to a run with another.*its seed differs"):
        load_supernet(copied)


def test_runs_of_another_version_are_refused(tmp_path: Path) -> None:
    info = run_info(config())
    for change in ({"schema": 2}, {"space": "not a space"}, {"options": {"norm": "x", "y": 1}}):
        with pytest.raises(CheckpointError):
            RunInfo.parse({**info.to_dict(), **change}, "run.json")
    with pytest.raises(CheckpointError, match=r"there is no .*run\.json, which should be"):
        RunInfo.load(tmp_path)
    (tmp_path / "run.json").write_text('{"schema": 1')
    with pytest.raises(CheckpointError, match="not a training run"):
        RunInfo.load(tmp_path)


def test_block_variants_come_back(tmp_path: Path) -> None:
    info = RunInfo(
        space=MICRO,
        data="digits",
        seed=0,
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
        options=BlockOptions(norm="joint", qkv="sliced"),
        settings=RunSettings(**vars(config())),
    )
    info.save(tmp_path)
    assert RunInfo.load(tmp_path).options == info.options
