"""The training loop: it learns, it says when it does not, and it survives being killed."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoint_forms import files_of
from training_small import DATA, MICRO, config, sampler, trainer

from elasticvit.errors import CheckpointError, NextStep, SettingError, TrainingError
from elasticvit.events import Event, Notice
from elasticvit.nn import Subnet
from elasticvit.training.checkpoint import Checkpoint, load_supernet
from elasticvit.training.events import TrainProgress
from elasticvit.training.forecast import Forecaster, forecast
from elasticvit.training.loop import run_training
from elasticvit.training.probe import Probe
from elasticvit.training.run_info import CHECKPOINTS
from elasticvit.training.start import parameter_groups
from elasticvit.training.step import StepLosses
from elasticvit.training.watch import LossWatch

TESTS = Path(__file__).parent


def weights(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = Checkpoint.load(run)
    return {**checkpoint.weights, **{f"ema {k}": v for k, v in checkpoint.ema.items()}}


def steps_logged(run: Path) -> list[int]:
    with (run / "log.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch without interruption."""
    run = tmp_path_factory.mktemp("reference")
    run_training(trainer(), run)
    return run


def test_two_epochs_beat_chance_in_small_and_large_subnets(tmp_path: Path) -> None:
    events: list[Event] = []
    job = trainer(config(epochs=2, batch_size=32))
    job.info.save(tmp_path)
    run_training(job, tmp_path, events.append)
    seen = [e for e in events if isinstance(e, TrainProgress)]
    supernet = load_supernet(tmp_path)
    for arch in (MICRO.smallest, MICRO.largest):
        subnet = Subnet.cut(supernet, arch).train()  # statistics of the batch itself
        loader = DATA.loader("search", resolution=arch.resolution, batch_size=216)
        images, labels = next(iter(loader))
        with torch.no_grad():
            right = (subnet(images).argmax(dim=1) == labels).float().mean()
        assert right > 0.3, (arch, right)
    first, last = seen[:20], seen[-20:]
    means = [sum(p.losses.sampled for p in part) / 20 for part in (first, last)]
    assert means[1] < 0.85 * means[0]
    assert [p.done for p in seen] == list(range(1, seen[0].total + 1)) == steps_logged(tmp_path)
    assert {p.losses.level for p in seen} == set(range(len(sampler().levels)))


def test_a_run_killed_twice_ends_with_the_same_weights(reference: Path, tmp_path: Path) -> None:
    code = f"import training_small; training_small.train({str(tmp_path)!r})"
    for least_steps in (3, 9):
        process = subprocess.Popen([sys.executable, "-c", code], cwd=TESTS, env=os.environ)
        deadline = time.monotonic() + 120
        while True:
            log = tmp_path / "log.csv"
            if log.exists() and log.read_text().count("\n") > least_steps:
                break
            assert process.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert 0 < Checkpoint.load(tmp_path).step < 19
    job = trainer()
    assert job.resume(tmp_path)
    run_training(job, tmp_path)
    expected, got = weights(reference), weights(tmp_path)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert steps_logged(tmp_path) == steps_logged(reference) == list(range(1, 20))


def test_ctrl_c_finishes_the_step_and_saves_it(reference: Path, tmp_path: Path) -> None:
    def press(at: Event) -> None:
        if isinstance(at, TrainProgress) and at.done == 4:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run_training(trainer(), tmp_path, press)
    assert signal.getsignal(signal.SIGINT) is before
    assert Checkpoint.load(tmp_path).step == 4
    run_training(trainer(), tmp_path)
    expected, got = weights(reference), weights(tmp_path)
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_what_the_event_handler_raises_ends_a_run_that_is_saved(
    reference: Path, tmp_path: Path
) -> None:
    class Enough(Exception):
        pass

    def stop(at: Event) -> None:
        if isinstance(at, TrainProgress) and at.done == 5:
            raise Enough

    with pytest.raises(Enough):
        run_training(trainer(), tmp_path, stop)
    assert Checkpoint.load(tmp_path).step == 5
    run_training(trainer(), tmp_path)
    expected, got = weights(reference), weights(tmp_path)
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert steps_logged(tmp_path) == steps_logged(reference)


def test_a_loss_at_chance_is_a_warning_among_the_events(tmp_path: Path) -> None:
    job = trainer(config(lr=1e-5, batch_size=32))  # too low to learn anything
    events: list[Event] = []
    run_training(job, tmp_path, events.append)
    (warning,) = [e for e in events if isinstance(e, Notice)]
    assert warning.warning
    assert "does not learn" in warning.text
    assert "--" not in warning.text


def test_the_seed_matters(reference: Path) -> None:
    other = trainer(seed=1).supernet.state_dict()
    first = trainer().supernet.state_dict()
    name = "blocks.head_0_block.classifier.weight"
    assert not torch.equal(other[name], first[name])


def test_a_checkpoint_of_other_settings_is_refused(reference: Path) -> None:
    with pytest.raises(CheckpointError, match="another space, data set, seed or settings"):
        trainer(config(lr=1e-4)).resume(reference)
    with pytest.raises(CheckpointError):
        trainer(seed=1).resume(reference)


def test_a_truncated_checkpoint_stops_the_run_and_stays(reference: Path, tmp_path: Path) -> None:
    shutil.copytree(reference / CHECKPOINTS, tmp_path / CHECKPOINTS)
    for path in files_of(tmp_path):
        path.write_bytes(path.read_bytes()[:5000])
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*")}
    with pytest.raises(CheckpointError):
        run_training(trainer(), tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.*")} == before


def test_a_loss_that_is_no_number_stops_before_the_weights_are_touched(tmp_path: Path) -> None:
    job = trainer()
    job.save(tmp_path)
    with torch.no_grad():
        next(job.supernet.parameters()).fill_(float("nan"))
    before = {name: p.detach().clone() for name, p in job.supernet.named_parameters()}
    losses = job.step_at(next(job.loader.batches(0)), job.sampler.draw()).losses()
    assert job.watch.not_finite(losses)
    after = dict(job.supernet.named_parameters())
    assert all(torch.equal(old.nan_to_num(), after[n].nan_to_num()) for n, old in before.items())
    assert not any(state["exp_avg"].any() for state in job.optimiser.state.values())
    with pytest.raises(TrainingError, match=r"step 0.*not a number.*lower") as refused:
        run_training(trainer_with_nan(tmp_path), tmp_path)
    assert refused.value.settings == ("lr_scale", "lr", "fresh")
    assert refused.value.next_step == NextStep("train", {"lr_scale": 0.5})
    assert Checkpoint.load(tmp_path).step == 0


def trainer_with_nan(run: Path):  # type: ignore[no-untyped-def]
    """A run whose checkpoint is fine but whose data set is not."""
    job = trainer()
    batch = next(job.loader.batches(0))
    bad = replace(batch, images=batch.images * float("nan"))
    job.loader.batches = lambda *_: iter([bad])  # type: ignore[method-assign]
    return job


def test_a_loss_that_stays_at_chance_is_said_once() -> None:
    watch = LossWatch(10, 200)
    flat = StepLosses(level=0, sampled=2.302, smallest=0.0, accuracy=10.0)
    warnings = [watch.look(step, flat) for step in range(1, 201)]
    assert [i for i, w in enumerate(warnings) if w] == [49]
    assert "does not learn" in str(warnings[49])
    learning = LossWatch(10, 200)
    good = replace(flat, sampled=1.5)
    assert not any(learning.look(step, good) for step in range(1, 201))


def test_norms_biases_and_position_biases_are_not_decayed() -> None:
    supernet = trainer().supernet
    decayed, free = parameter_groups(supernet, 0.05)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.05, 0.0)
    names = {id(p): name for name, p in supernet.named_parameters()}
    assert len(decayed["params"]) + len(free["params"]) == len(names)
    kept = [names[id(p)] for p in decayed["params"]]
    assert kept
    assert not [n for n in kept if re.search(r"bias$|norm|bn", n)]


@pytest.mark.parametrize("mixing", [{"mixup": 0.5}, {"cutmix": 1.0, "erasing": 0.5}])
def test_a_step_on_mixed_images_depends_on_its_number(mixing: dict[str, float]) -> None:
    losses = []
    for step in (0, 0, 1):
        job = trainer(config(**mixing))
        job.step = step
        losses.append(job.step_at(next(job.loader.batches(0)), job.sampler.draw()).losses())
    assert losses[0] == losses[1] != losses[2]


def test_a_forecast_times_real_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elasticvit.training.probe.BUDGET_S", 0.0)
    expected = forecast(trainer(), sampler()).forecast()
    assert list(expected.step_s) == [0]
    assert 0 < expected.step_s[0] < expected.mean_step_s
    assert expected.steps == 19
    assert expected.total_s() == pytest.approx(19 * expected.mean_step_s)
    assert expected.total_s(done=19) == 0
    assert expected.memory_bytes is not None
    assert expected.memory_bytes > 1e8  # torch alone is larger


def test_a_forecast_leaves_the_training_as_it_was() -> None:
    job = trainer()
    before = {name: t.clone() for name, t in job.supernet.state_dict().items()}
    rng, drawn = torch.get_rng_state(), job.sampler.state()
    forecast(job, sampler())
    assert all(torch.equal(before[name], t) for name, t in job.supernet.state_dict().items())
    assert all(p.grad is None for p in job.supernet.parameters())
    assert job.supernet.training
    assert not job.optimiser.state
    assert torch.equal(rng, torch.get_rng_state())
    assert job.sampler.state() == drawn


def test_a_forecast_is_refined_by_the_steps_that_are_taken() -> None:
    look = Probe(fixed_s=0.5, image_s=0.01, loading_s=0.0, memory_bytes=None)
    forecaster = Forecaster(look, [10.0, 20.0, 40.0], batch_size=50, steps=100)
    first = forecaster.forecast()
    assert first.step_s == {0: 1.0}
    assert 1.0 < first.mean_step_s < (1 + 1.5 + 2.5) / 3  # wide layers use a machine better
    assert forecaster.add(2, 4.0)
    assert forecaster.forecast().step_s == {2: 4.0}
    assert forecaster.forecast().mean_step_s > first.mean_step_s  # the others by the same factor
    assert [forecaster.add(2, 6.0), forecaster.add(2, 4.0), forecaster.add(2, 4.0)] == [
        True,
        False,
        True,
    ]
    assert forecaster.add(0, 2.0)
    assert forecaster.add(1, 3.0)
    last = forecaster.forecast()
    assert last.step_s == {0: 2.0, 1: 3.0, 2: 4.0}  # medians
    assert last.mean_step_s == 3.0
    assert last.total_s(done=90) == 30.0


def test_settings_that_make_no_sense_are_named() -> None:
    for bad, word in (
        ({"epochs": 0}, "epochs"),
        ({"lr": 3.0}, "lr"),
        ({"complexity": "s"}, "macs"),
    ):
        with pytest.raises(SettingError, match=word) as refused:
            config(**bad)
        assert refused.value.settings == tuple(bad)
