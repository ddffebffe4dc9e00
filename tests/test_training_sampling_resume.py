"""Banks, schedule, walk and generators survive a resume bit for bit; damage is refused."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from checkpoint_forms import plain_of, put_first_version
from training_small import config, run_info, sampler, trainer

from elasticvit.errors import CheckpointError
from elasticvit.events import Event
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.config import TrainConfig
from elasticvit.training.events import TrainProgress
from elasticvit.training.loop import run_training
from elasticvit.training.run_info import RunInfo
from elasticvit.training.trainer import Trainer

ON = {"bank": True, "preference": True, "batch_size": 128, "epochs": 2}


class Enough(Exception):
    pass


def state(run: Path) -> tuple[dict[str, torch.Tensor], Any]:
    checkpoint = Checkpoint.load(run)
    assert checkpoint.ema is not None
    return {**checkpoint.weights, **{f"ema {k}": v for k, v in checkpoint.ema.items()}}, (
        checkpoint.sampler
    )


def stop_behind(job: Trainer, run: Path, last: int) -> None:
    """Train as a process does that is killed a step behind its last checkpoint."""

    def handle(event: Event) -> None:
        if isinstance(event, TrainProgress) and event.done == last:
            job.save(run)
            job.save = lambda _: None  # type: ignore[method-assign]
        if isinstance(event, TrainProgress) and event.done == last + 1:
            raise Enough

    with pytest.raises(Enough):
        run_training(job, run, handle)


@pytest.mark.parametrize(
    "changes",
    [{"grow": 0.3, "level_bias": 0.7}, {"mixup": 0.2, "hss": 1}],
    ids=["growing", "mixed"],
)
def test_a_run_killed_between_steps_goes_on_bit_for_bit(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    settings = config(**ON, **changes)
    chosen: list[str] = []
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    job = trainer(settings)
    draw = job.sampler.draw
    job.sampler.draw = lambda share=0.0: (  # type: ignore[method-assign]
        chosen.extend((made := draw(share)).chosen) or made
    )
    run_training(job, whole)
    assert {"bank", "preference"} <= set(chosen)
    assert job.sampler.banks is not None
    held = [entry for bank in job.sampler.banks for entry in bank]
    assert held

    for last in (6, 10):  # the second time right after the upkeep of an epoch's first batch
        stop_behind(trainer(settings), parts, last)
        assert Checkpoint.load(parts).step == last
    run_training(trainer(settings), parts)
    (expected, walked), (got, again) = state(whole), state(parts)
    assert walked == again
    assert walked.banks is not None
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps with banks."""
    folder = tmp_path_factory.mktemp("run")
    job = trainer(config(**ON))
    job.info.save(folder)
    for _ in range(3):
        job.step_at(next(job.loader.batches(0)), job.sampler.draw())
        job.step += 1
        job.watch.mean = 2.0
    job.save(folder)
    return folder


@pytest.fixture(scope="module")
def plain(run: Path) -> dict[str, Any]:
    data: dict[str, Any] = plain_of(run)
    data["sampler"]["banks"]["entries"] = [list(e) for e in data["sampler"]["banks"]["entries"]]
    return data


def resumed(folder: Path, data: dict[str, Any]) -> Any:
    put_first_version(folder, data)
    job = trainer(config(**ON))
    assert job.resume(folder)
    return job.sampler


def test_a_checkpoint_without_banks_is_gone_on_with(plain: dict[str, Any], tmp_path: Path) -> None:
    data = deepcopy(plain)
    del data["sampler"]["banks"]
    found = resumed(tmp_path, data)
    assert not any(len(bank) for bank in found.banks)
    assert found.state().kept == Checkpoint.load(tmp_path).sampler.kept  # type: ignore[union-attr]


def level_of(plain: dict[str, Any]) -> int:
    return next(i for i, e in enumerate(plain["sampler"]["banks"]["entries"]) if e)


GENES = [16, 8, 1, 1, 3, 16, 1, 2, 3, 32, 1, 2, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b, i: b["entries"].pop(), "5 memory banks; there are 6 levels"),
        (lambda b, i: b["entries"][i].__setitem__(0, b["entries"][i][1]), "an architecture twice"),
        (lambda b, i: b["entries"][i].extend(b["entries"][i] * 9), "more than 4 of them"),
        (lambda b, i: b["entries"][i][0].update(genes=[1, 2]), "of another form"),
        (lambda b, i: b["entries"][i][0].update(genes=[1] * 13), "outside the space"),
        (lambda b, i: b["entries"][i][0].update(genes=[10**9] * 13), "genes"),
        (lambda b, i: b["entries"][i][0].update(loss=float("nan")), "loss is nan"),
        (lambda b, i: b["entries"][i][0].update(loss="low"), "loss is 'low'"),
        (lambda b, i: b["entries"][i][0].update(judged=-1), "judged is -1"),
        (lambda b, i: b["entries"][i][0].pop("loss"), "loss"),
        (lambda b, i: b.update(rng="{}"), "sampler.banks.rng"),
        (lambda b, i: b.update(earned=-1.0), "earned is -1"),
        (lambda b, i: b.update(steps=-5), "steps is -5"),
        (lambda b, i: b.update(entries=5), "entries is 5"),
    ],
)
def test_banks_that_cannot_be_are_refused(
    plain: dict[str, Any], tmp_path: Path, change: Any, words: str
) -> None:
    data = deepcopy(plain)
    change(data["sampler"]["banks"], level_of(data))
    with pytest.raises(CheckpointError, match=words) as refused:
        resumed(tmp_path, data)
    assert "fresh training" in str(refused.value)
    assert "checkpoint" in str(refused.value)


def test_settings_of_earlier_versions_mean_what_they_meant() -> None:
    new = ("sampling", "hss", "bank", "preference", "grow")
    data = run_info(config()).to_dict()
    for name in new:
        del data["settings"][name]
    old = RunInfo.parse(data, "run.json").settings
    assert isinstance(old, TrainConfig)
    assert tuple(getattr(old, name) for name in new) == ("adjacent", 3, False, False, 0.0)
    assert sampler(0, old).banks is None


def test_states_of_earlier_versions_are_read() -> None:
    job = sampler()
    data = msgspec.to_builtins(job.state())
    del data["banks"]
    job.restore(msgspec.convert(data, type(job.state())))
