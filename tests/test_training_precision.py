"""Training in 16 bits: close to fp32, with fp32 losses and weights, and resumed bit for bit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_small import config, trainer

from elasticvit.errors import SettingError
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.precision import ScalerState, chosen_precision
from elasticvit.training.trainer import Trainer


def steps(job: Trainer, count: int) -> list[float]:
    losses = []
    for _ in range(count):
        batch = next(job.loader.batches(*divmod(job.step, len(job.loader))))
        values = job.step_at(batch, job.sampler.draw())
        assert values.values.dtype == torch.float32
        job.step += 1
        losses.append(values.losses().sampled)
    return losses


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_16_bits_are_close_to_fp32_and_resumed_bit_for_bit(tmp_path: Path, precision: str) -> None:
    settings = config(precision=precision, batch_size=8)  # fp16 is slow on a CPU
    whole = trainer(settings)
    losses = steps(whole, 4)
    expected = steps(trainer(replace(settings, precision="fp32")), 4)
    assert losses == pytest.approx(expected, rel=0.02)
    assert losses != expected
    first = trainer(settings)
    steps(first, 2)
    first.save(tmp_path)
    second = trainer(settings)
    second.resume(tmp_path)
    steps(second, 2)
    assert all(p.dtype == torch.float32 for p in second.supernet.parameters())
    for ours, theirs in ((second.supernet, whole.supernet), (second.averaged, whole.averaged)):
        states = ours.state_dict(), theirs.state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    state = Checkpoint.load(tmp_path).trainer
    assert state is not None
    assert (state.scaler is not None) == (precision == "fp16")


def test_gradients_that_fp16_cannot_hold_skip_the_update_and_lower_the_scale(
    tmp_path: Path,
) -> None:
    settings = config(precision="fp16", batch_size=8)
    job = trainer(settings)
    job.engine.precision.restore(ScalerState(scale=2.0**100, growth_tracker=7))
    before = {name: p.detach().clone() for name, p in job.supernet.named_parameters()}
    (loss,) = steps(job, 1)
    assert loss < 5
    assert all(torch.equal(before[name], p) for name, p in job.supernet.named_parameters())
    state = job.engine.precision.state()
    assert state == ScalerState(scale=2.0**99, growth_tracker=0)
    job.save(tmp_path)
    resumed = trainer(settings)
    assert resumed.resume(tmp_path)
    assert resumed.engine.precision.state() == state


def test_auto_is_fp32_on_the_cpu_and_unknown_ones_are_named() -> None:
    cpu = torch.device("cpu")
    assert chosen_precision("auto", cpu) == "fp32"
    assert chosen_precision("bf16", cpu) == "bf16"
    with pytest.raises(SettingError, match="precision is 'fp8'; it must be one of fp32") as error:
        config(precision="fp8")
    assert error.value.settings == ("precision",)
