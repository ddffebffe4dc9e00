"""Checkpoints in pairs of files: complete or not there, and none falls back to another silently."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_forms import files_of, plain_of, put, put_first_version
from hypothesis import given, settings
from hypothesis import strategies as st
from training_small import trainer

from elasticvit.errors import CheckpointError, FileError, NextStep
from elasticvit.reading import seal
from elasticvit.training.checkpoint import Checkpoint, load_supernet
from elasticvit.training.checkpoint_store import CheckpointStore
from elasticvit.training.loop import run_training
from elasticvit.training.run_info import CHECKPOINTS

WEIGHT = "blocks.head_0_block.classifier.weight"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps with a checkpoint of each."""
    folder = tmp_path_factory.mktemp("run")
    job = trainer()
    job.info.save(folder)
    batch = next(job.loader.batches(0))
    for _ in range(2):
        losses = job.step_at(batch, job.sampler.draw()).losses()
        job.step += 1
        job.watch.look(job.step, losses)
        job.save(folder)
    return folder


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    return shutil.copytree(run, tmp_path / "run")


def small(step: int) -> dict[str, Any]:
    return {"step": step, "weights": {"w": torch.full((4,), float(step))}, "ema": None}


def names(run: Path) -> list[str]:
    return sorted(p.name for p in (run / CHECKPOINTS).iterdir())


def test_everything_comes_back_as_it_was(run: Path) -> None:
    job = trainer()
    assert job.resume(run)
    assert job.step == 2
    again = plain_of(run)
    assert again["optimiser"]["state"].keys() == job.optimiser.state_dict()["state"].keys()
    for parameter, state in job.optimiser.state.items():
        assert state["exp_avg"].stride() == parameter.stride()  # the fused step reads both in order
    assert any(p.is_contiguous() is False for p in job.optimiser.state)
    text = json.loads(files_of(run)[0].read_text())
    assert set(text) == {"schema", "tensors", "state", "sha256"}
    assert "weights" not in text["state"]


def test_the_last_few_and_the_best_are_kept(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=2)
    for step in range(1, 8):
        store.save(step, small(step))
        if step in (2, 3):
            assert store.mark_best(step, {2: 0.5, 3: 0.4}[step]) == (step == 2)
    assert store.steps() == [2, 6, 7]
    assert names(tmp_path) == sorted(
        [f"{s:08d}.{end}" for s in (2, 6, 7) for end in ("json", "safetensors")] + ["marks.json"]
    )
    assert store.marks().best is not None
    assert store.mark_best(7, 0.6)
    store.save(8, small(8))
    assert store.steps() == [7, 8]
    with pytest.raises(CheckpointError, match="no checkpoint of step 3 to mark"):
        store.mark_best(3, 1.0)


def test_the_last_good_one_stays_while_the_loss_rises(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, keep=1)
    store.save(1, small(1))
    assert store.good == 1
    for step in (2, 3, 4):
        store.save(step, small(step), good=False)
    assert (store.steps(), store.good) == ([1, 4], 1)
    store.save(5, small(5))
    assert (store.steps(), store.good) == ([5], 5)


def test_best_weights_can_be_loaded(copied: Path) -> None:
    with pytest.raises(CheckpointError, match="is marked as the best"):
        load_supernet(copied, best=True)
    CheckpointStore(copied).mark_best(1, 30.0)
    best, latest = load_supernet(copied, best=True), load_supernet(copied)
    first = Checkpoint.load(copied, step=1)
    assert first.ema is not None
    assert torch.equal(best.state_dict()[WEIGHT], first.ema[WEIGHT])
    assert not torch.equal(best.state_dict()[WEIGHT], latest.state_dict()[WEIGHT])


def test_a_judged_run_keeps_its_best_weights(tmp_path: Path) -> None:
    job = trainer()
    job.info.save(tmp_path)
    assert job.judged(tmp_path, 12.0)
    job.step = 5
    assert not job.judged(tmp_path, 11.0)
    assert CheckpointStore(tmp_path).steps() == [0]
    assert job.judged(tmp_path, 13.0)
    assert CheckpointStore(tmp_path).best()[0].step == 5


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("damage", ["cut", "gone", "garbage", "of another", "folder"])
def test_a_damaged_latest_checkpoint_names_the_one_before_it(
    copied: Path, which: int, damage: str
) -> None:
    path = files_of(copied)[which]
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "garbage":
        path.write_bytes(b"x" * len(whole))
    elif damage == "of another":
        path.write_bytes(path.with_name(path.name.replace("2", "1")).read_bytes())
    else:
        path.unlink()
    if damage == "folder":
        path.mkdir()
    if damage == "gone" and which == 0:  # a checkpoint without its JSON file is none
        assert Checkpoint.load(copied).step == 1
        return
    before = {p: p.is_file() and p.read_bytes() for p in copied.rglob("*")}
    for use in (load_supernet, lambda folder: run_training(trainer(), folder)):
        with pytest.raises(CheckpointError, match="of step 1 before it is complete") as refused:
            use(copied)
        assert str(path) in str(refused.value)
        assert refused.value.settings == ("resume_from",)
        assert refused.value.next_step == NextStep("train", {"resume_from": 1})
    assert {p: p.is_file() and p.read_bytes() for p in copied.rglob("*")} == before


def test_no_earlier_one_is_named_if_it_is_damaged_too(copied: Path) -> None:
    for path in (copied / CHECKPOINTS).glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"truncated.*start a fresh training$"):
        load_supernet(copied)


def test_a_checkpoint_of_an_earlier_version_is_gone_on_with(copied: Path, tmp_path: Path) -> None:
    path = put_first_version(copied, plain_of(copied))
    job = trainer()
    assert job.resume(copied)
    assert (job.step, job.lr_scale) == (2, 1.0)
    assert CheckpointStore(copied).good == 2
    job.step = 3
    job.save(copied)
    assert path.exists()
    job.step = 4
    job.save(copied)
    assert not path.exists()
    assert CheckpointStore(copied).steps() == [3, 4]


@pytest.mark.parametrize("name", ["00000003.safetensors", "00000003.json"])
def test_a_full_disk_keeps_what_was_complete(
    copied: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put_in_place = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put_in_place(source, target)

    plain = plain_of(copied)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(FileError, match=rf"{name} cannot be written: No space left.*free some"):
            CheckpointStore(copied).save(3, plain)
    assert CheckpointStore(copied).latest()[0].step == 2
    CheckpointStore(copied).save(3, {**plain, "step": 3})
    assert CheckpointStore(copied).steps() == [2, 3]


def test_the_writer_of_tensors_names_the_cause(tmp_path: Path) -> None:
    from safetensors import SafetensorError

    from elasticvit.nn import tensor_file

    def full(*_: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_file.safetensors.torch, "save_file", full)
        with pytest.raises(FileError, match="cannot be written: No space left; free some space"):
            tensor_file.write_tensors(tmp_path / "1.safetensors", {})
    assert list(tmp_path.iterdir()) == []


class Killed(BaseException):
    """A process that ends here."""


class Calls:
    """Functions that may be called a number of times together."""

    def __init__(self, left: int) -> None:
        self.left = left

    def counted(self, call: Any) -> Any:
        def instead(*args: Any, **kwargs: Any) -> Any:
            if not self.left:
                raise Killed
            self.left -= 1
            return call(*args, **kwargs)

        return instead


@pytest.mark.parametrize("step", [1, 2])  # a new checkpoint, or the same step again
def test_a_kill_at_any_instant_leaves_a_complete_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The writer ends before each of its calls of the file system, one after the other."""
    number = 0
    while True:
        run = tmp_path / str(number)
        CheckpointStore(run, keep=1).save(1, small(1))
        calls = Calls(number)
        with monkeypatch.context() as patch:
            for name in ("replace", "unlink", "fsync", "chmod"):
                patch.setattr(os, name, calls.counted(getattr(os, name)))
            try:
                CheckpointStore(run, keep=1).save(step, small(step + 10 * (step == 1)))
                done = True
            except Killed:
                done = False
        store = CheckpointStore(run)
        latest = store.steps()[-1]
        value = _weights(store.path(latest))
        assert value in ((1, 11) if step == 1 else (latest,))
        store.save(3, small(3))
        assert _weights(store.path(3)) == 3
        left = {n for n in names(run) if not n.endswith(("json", "safetensors")) or n[0] == "."}
        assert not left
        if done:
            break
        number += 1
    assert number > 5


def _weights(path: Path) -> int:
    """The value of the weights of a pair, whose files are checked."""
    from safetensors.torch import load_file

    from elasticvit.training.checkpoint_pair import check_pair

    return int(load_file(path.parent / check_pair(path).file)["weights/w"][0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["state"].update(step=7), "step is 7; its name says 2"),
        (lambda d: d["state"].update(step=-1), "step is -1"),
        (lambda d: d["state"].update(weights=5), "is a tensor within no table"),
        (lambda d: d["state"].update(sampler="x"), "sampler"),
        (lambda d: d["tensors"].update(file="../x.safetensors"), "file"),
        (lambda d: d["tensors"].update(bytes=3), "of another checkpoint"),
        (lambda d: d["tensors"].update(sha256="0"), "its checksum does not match"),
        (lambda d: d.update(schema=9), "written by a later version"),
        (lambda d: d.update(tensors=[]), "tensors"),
    ],
)
def test_values_that_cannot_be_are_named(copied: Path, change: Any, words: str) -> None:
    path = files_of(copied)[0]
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(seal(data)))
    with pytest.raises(CheckpointError) as refused:
        trainer().resume(copied)
    assert words in str(refused.value)
    assert str(path) in str(refused.value) or str(files_of(copied)[1]) in str(refused.value)


@pytest.mark.parametrize("part", ["weights", "ema"])
def test_weights_that_are_not_finite_are_refused(copied: Path, part: str) -> None:
    plain = plain_of(copied)
    plain[part][WEIGHT][0, 0] = float("nan")
    put(copied, plain)
    with pytest.raises(CheckpointError, match=f"{part}: {WEIGHT} holds numbers that are not"):
        trainer().resume(copied)


@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), which=st.integers(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_changed_byte_is_refused_or_changes_nothing(
    run: Path, tmp_path_factory: pytest.TempPathFactory, place: float, byte: int, which: int
) -> None:
    folder = shutil.copytree(run, tmp_path_factory.mktemp("changed") / "run")
    path = files_of(folder)[which]
    raw = bytearray(path.read_bytes())
    same = raw[int(place * len(raw))] == byte
    raw[int(place * len(raw))] = byte
    path.write_bytes(raw)
    if same:
        assert CheckpointStore(folder).latest()[0].step == 2
        return
    with pytest.raises(CheckpointError) as refused:
        CheckpointStore(folder).latest()
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_damaged_marks_are_named(copied: Path) -> None:
    CheckpointStore(copied).mark_best(2, 1.0)
    path = copied / CHECKPOINTS / "marks.json"
    path.write_text(path.read_text().replace("1.0", "9.0"))
    with pytest.raises(CheckpointError, match=r"marks\.json was changed or damaged.*remove it"):
        load_supernet(copied, best=True)
    assert load_supernet(copied) is not None
