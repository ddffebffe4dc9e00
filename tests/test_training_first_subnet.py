"""A training that starts with one subnet: what is trained, what is spread, and going on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_small import DATA, MICRO, config, run_info, sampler

from elasticvit.arch import ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.events import Event
from elasticvit.nn import Subnet
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.events import TrainProgress
from elasticvit.training.first_subnet import FirstSubnet, first_subnet
from elasticvit.training.levels import levels_for
from elasticvit.training.loop import run_training
from elasticvit.training.trainer import Trainer

FIRST = 8


def first() -> FirstSubnet:
    cost = MacsCost(MICRO)
    found = first_subnet(MICRO, cost, levels_for(MICRO, cost, np.random.default_rng(0)), FIRST)
    assert found is not None
    return found


def trainer() -> Trainer:
    return Trainer(run_info(config(start_share=0.4)), DATA, sampler(), first=first())


class Enough(Exception):
    pass


def run(folder: Path, until: int | None = None) -> tuple[Trainer, list[TrainProgress]]:
    job, seen = trainer(), []

    def handle(event: Event) -> None:
        if isinstance(event, TrainProgress):
            seen.append(event)
            if event.done == until:
                raise Enough

    if until is None:
        run_training(job, folder, handle)
    else:
        with pytest.raises(Enough):
            run_training(job, folder, handle)
    return job, seen


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TrainProgress]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder)[1]


def test_the_first_subnet_has_a_middle_size() -> None:
    cost, found = MacsCost(MICRO), first()
    levels = levels_for(MICRO, cost, np.random.default_rng(0))
    (macs_m,) = cost.price(ArchBatch.of([found.arch]))
    assert levels.values[1] < macs_m <= levels.band(len(levels) // 2)[1]
    assert first_subnet(MICRO, cost, levels, 0) is None


def test_the_first_steps_train_one_architecture_alone(
    whole: tuple[Path, list[TrainProgress]],
) -> None:
    losses = [event.losses for event in whole[1]]
    assert {x.level for x in losses[:FIRST]} == {first().level}
    assert [x.smallest for x in losses[:FIRST]] == [0.0] * FIRST
    assert all(x.smallest > 0 for x in losses[FIRST:])
    assert len({x.level for x in losses[FIRST:]}) > 1


def test_what_was_learnt_is_spread_when_the_first_steps_end(tmp_path: Path) -> None:
    job, _ = run(tmp_path, until=FIRST)
    arch = job.first.arch if job.first else MICRO.smallest
    deeper = replace(
        arch,
        attn=tuple(replace(s, depth=2) for s in arch.attn),
        conv=tuple(replace(s, depth=2, kernel=5) for s in arch.conv),
    )
    assert deeper != arch
    images, _ = next(iter(job.loader))
    job.supernet.eval()
    with torch.no_grad():
        before = Subnet.cut(job.supernet, arch)(images)
        assert job.first is not None
        assert job.first.spread(FIRST, job.supernet, job.ema, job.optimiser)
        assert torch.equal(Subnet.cut(job.supernet, arch)(images), before)
        assert torch.allclose(job.supernet(images, deeper), before, atol=1e-5)
        averaged = job.averaged.eval()
        assert torch.allclose(averaged(images, deeper), averaged(images, arch), atol=1e-5)
    for parameter, state in job.optimiser.state.items():
        assert state["exp_avg_sq"].shape == parameter.shape
        assert (state["exp_avg_sq"] > 0).all() or not state["exp_avg_sq"].any()
    assert not job.first.spread(FIRST + 1, job.supernet, job.ema, job.optimiser)


@pytest.mark.parametrize("until", [3, FIRST, FIRST + 1, FIRST + 5])
def test_a_run_that_is_stopped_in_either_phase_ends_with_the_same_weights(
    whole: tuple[Path, list[TrainProgress]], tmp_path: Path, until: int
) -> None:
    run(tmp_path, until)
    assert Checkpoint.load(tmp_path).step == until
    run(tmp_path)
    expected, got = (Checkpoint.load(folder) for folder in (whole[0], tmp_path))
    assert expected.ema is not None
    assert got.ema is not None
    assert all(torch.equal(expected.weights[n], t) for n, t in got.weights.items())
    assert all(torch.equal(expected.ema[n], t) for n, t in got.ema.items())
