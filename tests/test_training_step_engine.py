"""Steps in micro-batches, and losses that are read together."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_small import config, trainer

from elasticvit.errors import DataError, TrainingError
from elasticvit.events import Event
from elasticvit.nn.layers import ElasticBatchNorm
from elasticvit.training.checkpoint import Checkpoint
from elasticvit.training.events import TrainProgress
from elasticvit.training.loop import run_training
from elasticvit.training.trainer import Trainer


@pytest.mark.parametrize("parts", [2, 3])
def test_micro_batches_give_the_gradients_of_the_whole_batch(parts: int) -> None:
    """Up to batch statistics, which are taken from the running ones here."""
    gradients, values = [], []
    for accumulate in (1, parts):
        job = trainer(config(accumulate=accumulate, batch_size=50))
        for module in job.supernet.modules():
            if isinstance(module, ElasticBatchNorm):
                module.eval()
        batch, draw = next(job.loader.batches(0)), job.sampler.draw()
        values.append(job.engine.add_gradients(0, batch, draw).values)
        named = job.supernet.named_parameters()
        gradients.append({name: p.grad for name, p in named if p.grad is not None})
    whole, summed = gradients
    assert whole.keys() == summed.keys()
    assert torch.allclose(*values, rtol=1e-4)
    for name, gradient in whole.items():
        assert (gradient - summed[name]).norm() <= 1e-3 * gradient.norm() + 1e-6, name


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("reference")
    run_training(trainer(), run)
    return run


def rows(run: Path) -> list[dict[str, str]]:
    """What the log says of each step, but how long it took."""
    with (run / "log.csv").open(newline="") as file:
        steps = list(csv.DictReader(file))
    return [
        {k: v for k, v in step.items() if not k.endswith("_s") and k != "seconds"} for step in steps
    ]


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read losses as on a GPU."""

    def add(self, step):  # type: ignore[no-untyped-def]
        self.size, self.patience_s = 4, float("inf")
        return whole_add(self, step)

    from elasticvit.training.loss_buffer import LossBuffer

    whole_add = LossBuffer.add
    monkeypatch.setattr(LossBuffer, "add", add)


@pytest.mark.usefixtures("together")
def test_losses_that_are_read_together_are_all_logged(reference: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    job = trainer()
    run_training(job, tmp_path, events.append)
    seen = [e for e in events if isinstance(e, TrainProgress)]
    assert [e.done for e in seen] == list(range(1, 20))
    assert len({e.step_s for e in seen}) == 5  # the nineteen steps were read four at a time
    assert rows(tmp_path) == rows(reference)
    expected, got = Checkpoint.load(reference), Checkpoint.load(tmp_path)
    assert all(torch.equal(expected.weights[n], w) for n, w in got.weights.items())
    assert got.trainer is not None
    assert expected.trainer is not None
    assert got.trainer.watch == expected.trainer.watch


def spoil(job: Trainer, at: int, failure: Exception | None = None) -> None:
    """Make the batch of a step not a number, or fail."""
    batches = job.loader.batches

    def spoiled(epoch: int, start: int = 0):  # type: ignore[no-untyped-def]
        for i, batch in enumerate(batches(epoch, start), start):
            if i == at and failure is not None:
                raise failure
            yield replace(batch, images=batch.images * float("nan")) if i == at else batch

    job.loader.batches = spoiled  # type: ignore[method-assign]


@pytest.mark.usefixtures("together")
def test_a_loss_that_is_no_number_is_found_where_it_is_read(tmp_path: Path) -> None:
    job = trainer()
    job.save(tmp_path)
    spoil(job, at=5)
    with pytest.raises(TrainingError, match=r"step 5: the loss is not a number"):
        run_training(job, tmp_path)
    assert all(torch.isfinite(p).all() for p in job.supernet.parameters())
    assert len(rows(tmp_path)) == 5
    assert Checkpoint.load(tmp_path).step == 0


@pytest.mark.usefixtures("together")
def test_steps_before_an_image_that_cannot_be_read_are_logged_and_saved(
    reference: Path, tmp_path: Path
) -> None:
    job = trainer()
    spoil(job, at=6, failure=DataError("one bad picture"))
    with pytest.raises(DataError, match="one bad picture"):
        run_training(job, tmp_path)
    assert rows(tmp_path) == rows(reference)[:6]
    assert Checkpoint.load(tmp_path).step == 6
