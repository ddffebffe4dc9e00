"""What a training step tells the sampler, and how banks are kept up to date."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from training_small import MICRO, config, sampler, trainer

from elasticvit.arch import Arch, ArchBatch
from elasticvit.cost import MacsCost
from elasticvit.space import TINY
from elasticvit.training.batch import Batch
from elasticvit.training.levels import PAPER_LEVELS_MMACS
from elasticvit.training.losses import AlphaDivergence
from elasticvit.training.ranks import Ranks
from elasticvit.training.sampling.bank import Banks, Entry, bank_sizes
from elasticvit.training.sampling.draw import Draw
from elasticvit.training.sampling.upkeep import SHARE, Upkeep, judged
from elasticvit.training.targets import Targets

ON = {"bank": True, "preference": True}


def as_batch(batch: tuple[torch.Tensor, torch.Tensor]) -> Batch:
    return Batch(images=batch[0], labels=batch[1], rows=torch.arange(len(batch[1])))


class Counter:
    """A judge that evaluates nothing and counts the work that it would be."""

    def __init__(self, macs: object) -> None:
        self.macs, self.work = macs, 0.0

    def __call__(
        self, archs: Sequence[Arch], images: torch.Tensor, labels: torch.Tensor
    ) -> list[float]:
        if archs:
            prices = self.macs.price(ArchBatch.of(list(archs)))
            self.work += min(len(images), 64) * float(prices.sum())
        return [1.0] * len(archs)


@given(epoch_steps=st.integers(1, 60), images=st.integers(2, 300), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_upkeep_never_spends_what_was_not_earned(epoch_steps: int, images: int, seed: int) -> None:
    job, macs = sampler(seed, config(epochs=200, **ON)), MacsCost(MICRO)
    judge, ran, rows = Counter(macs), 0.0, torch.zeros(images, 1)
    upkeep = Upkeep(job.banks, macs, judge, epoch_steps=epoch_steps, images=images)
    for step in range(90):
        draw = job.draw(step / 90)
        job.learn(draw, [1.0] * 3)
        ran += images * float(macs.price(ArchBatch.of([*draw.archs, *draw.students])).sum())
        held = sum(map(len, job.banks))
        assert upkeep.after(step, draw, rows, rows[:, 0]) <= held
        assert judge.work <= SHARE * ran + 1e-6
        assert job.banks.earned >= 0


def test_upkeep_takes_at_most_a_tenth_of_the_forward_passes() -> None:
    job, macs = sampler(0, config(epochs=200, **ON)), MacsCost(MICRO)
    judge = Counter(macs)
    upkeep = Upkeep(job.banks, macs, judge, epoch_steps=19, images=48)
    images, spent, ran, evaluated = torch.zeros(48, 1), 0.0, 0.0, 0
    for step in range(19 * 12):
        draw = job.draw(step / 3800)
        job.learn(draw, [1.0] * 3)
        ran += 48 * float(macs.price(ArchBatch.of([*draw.archs, *draw.students])).sum())
        evaluated += upkeep.after(step, draw, images, images[:, 0])
        assert judge.work <= SHARE * ran + 1e-6
        spent = judge.work
    assert evaluated > 60
    assert spent > 0.5 * SHARE * ran
    held = [entry for bank in job.banks for entry in bank]
    assert min(entry.judged for entry in held) > 0


def test_ranks_with_one_image_more_evaluate_the_same() -> None:
    states = []
    for images in (torch.zeros(33, 1), torch.zeros(32, 1)):
        job, macs = sampler(0, config(epochs=200, **ON)), MacsCost(MICRO)
        upkeep = Upkeep(job.banks, macs, Counter(macs), epoch_steps=19, images=32)
        counts = []
        for step in range(60):
            draw = job.draw(step / 3800)
            job.learn(draw, [1.0] * 3)
            counts.append(upkeep.after(step, draw, images, images[:, 0]))
        states.append((counts, job.state()))
    assert states[0] == states[1]


class PaperMacs:
    """Costs of stand-ins for the paper's architectures, in MMACs."""

    unit, name = "MMACs", "macs"

    def __init__(self, prices: dict[Arch, float]) -> None:
        self.prices = prices

    def price(self, batch: ArchBatch) -> torch.Tensor:
        return np.array([self.prices[arch] for arch in batch])


def test_the_papers_schedule_comes_out_for_the_papers_training() -> None:
    """Its levels, banks, smallest subnets, images a GPU and steps an epoch of ImageNet."""
    sizes = bank_sizes(8, 3 * 600 * 1668)
    pool = iter(TINY.sample(4000, np.random.default_rng(0)).unique())
    prices: dict[Arch, float] = {}
    banks = Banks(sizes)
    for level, (size, price) in enumerate(zip(sizes, PAPER_LEVELS_MMACS, strict=True)):
        for _ in range(size):
            arch = next(pool)
            prices[arch] = price + 10
            banks[level].offer(Entry(arch=arch, loss=1.0, judged=0))
    smallest = [next(pool) for _ in range(3)]
    prices |= dict(zip(smallest, (37.4, 159.9, 288.8), strict=True))
    groups = (0, 0, 1, 1, 2, 2, 2, 2)
    draws = [
        Draw(
            level=level,
            archs=tuple(entry.arch for entry in bank)[:3],
            students=(smallest[groups[level]],),
            chosen=("uniform",) * 3,
        )
        for level, bank in enumerate(banks)
    ]
    macs = PaperMacs(prices)
    judge = Counter(macs)
    upkeep = Upkeep(banks, macs, judge, epoch_steps=1668, images=96)
    rng = np.random.default_rng(0)
    images, level, done = torch.zeros(96, 1), 0, {}
    for step in range(3 * 1668):
        level = min(max(level + int(rng.integers(-1, 2)), 0), 7)
        count = upkeep.after(step, draws[level], images, images[:, 0])
        if count:
            done[step] = (count, sizes[level])
    first = [416, 833, 1250]
    assert [step for step in done if step < 1668] == first
    assert [step for step in done if step >= 2 * 1668] == [3336, *(3336 + i for i in first)]
    assert done[1668][0] == done[3336][0] == 800
    assert all(count == size for step, (count, size) in done.items() if step % 1668)


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = next(iter(trainer().loader))
    return images, labels


def test_an_evaluation_is_that_of_training_and_touches_nothing(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    supernet = trainer(seed=3).supernet
    images, labels = batch
    archs = list(MICRO.sample(3, sampler(1).rng))  # type: ignore[attr-defined]
    with torch.no_grad():
        supernet(images, MICRO.largest)  # statistics that are not those of the start
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    rng = torch.get_rng_state()
    found = judged(supernet, Ranks(), archs, images, labels)
    after = supernet.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(rng, torch.get_rng_state())
    assert supernet.training
    assert all(p.grad is None for p in supernet.parameters())
    with torch.no_grad():
        expected = [float(F.cross_entropy(supernet(images, arch), labels)) for arch in archs]
    assert found == pytest.approx(expected, rel=1e-5)
    buffers = dict(supernet.named_buffers())
    assert any(not torch.equal(before[name], value) for name, value in buffers.items())


@pytest.mark.parametrize("mixup", [0.0, 0.3])
def test_a_step_teaches_the_bank_losses_on_the_unmixed_labels(
    batch: tuple[torch.Tensor, torch.Tensor], mixup: float
) -> None:
    job = trainer(config(mixup=mixup, smoothing=0.3, **ON))
    draw = job.sampler.draw()
    expected = judged(job.supernet, Ranks(), draw.archs, *batch)
    job.step_at(as_batch(batch), draw)
    assert job.sampler.banks is not None
    assert {e.arch: e.loss for e in job.sampler.banks[draw.level]} == (
        pytest.approx(dict(zip(draw.archs, expected, strict=True)), rel=1e-4)
    )


def test_a_step_without_banks_costs_no_more_passes(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    job, passes = trainer(config(mixup=0.3)), []
    job.supernet.register_forward_hook(lambda *_: passes.append(1))
    job.step_at(as_batch(batch), job.sampler.draw())
    assert len(passes) == 4


def test_subnets_from_the_bank_are_not_run_again_on_mixed_images(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    job, passes = trainer(config(mixup=0.3, **ON)), []
    draw = job.sampler.draw()
    draw = Draw(
        level=draw.level, archs=draw.archs, students=draw.students, chosen=("bank", "bank", "bank")
    )
    job.supernet.register_forward_hook(lambda *_: passes.append(1))
    values = job.step_at(as_batch(batch), draw)
    assert not len(values.plain)
    assert len(passes) == 4
    assert job.sampler.banks is not None
    assert not any(len(bank) for bank in job.sampler.banks)


def test_in_the_sandwich_the_largest_learns_from_labels_and_teaches_the_others(
    batch: tuple[torch.Tensor, torch.Tensor],
) -> None:
    images, labels = batch[0][:24], batch[1][:24]
    rule = config(sampling="sandwich", hss=1, bank=False, preference=False)
    job, divergence = trainer(rule), AlphaDivergence()
    draw = job.sampler.draw()
    values = job.engine.run_step(images, Targets(labels=labels, smoothing=0.1), draw)
    losses = values.losses()
    got = {n: p.grad.clone() for n, p in job.supernet.named_parameters() if p.grad is not None}
    job.supernet.zero_grad(set_to_none=True)
    largest = job.supernet(images, MICRO.largest)
    loss = F.cross_entropy(largest, labels, label_smoothing=0.1)
    distances = [
        divergence(job.supernet(images, arch), largest.detach().softmax(dim=1))
        for arch in draw.students
    ]
    (loss + sum(distances)).backward()
    assert losses.sampled == pytest.approx(float(loss.detach()))
    assert losses.smallest == pytest.approx(float(torch.stack(distances).detach().mean()))
    for name, parameter in job.supernet.named_parameters():
        assert (name in got) == (parameter.grad is not None)
        if name in got:
            torch.testing.assert_close(got[name], parameter.grad, rtol=1e-3, atol=1e-5)
    assert math.isfinite(float(values.plain[0]))
