"""Subnets of a step at the same time: the bits of one after the other."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_search import one_thread
from torch import Tensor
from training_small import DATA, MICRO, config, sampler, trainer

from elasticvit.cost import MacsCost
from elasticvit.errors import TrainingError
from elasticvit.nn import Supernet
from elasticvit.nn.layers import ElasticBatchNorm, statistics_later
from elasticvit.nn.side_by_side import SideBySide, side_by_side
from elasticvit.training import step_side_by_side as steps
from elasticvit.training import subnet_threads as module
from elasticvit.training.config import TrainConfig
from elasticvit.training.loop import run_training
from elasticvit.training.panel import choose_panel
from elasticvit.training.panel_judge import PanelJudge, TrainingSize
from elasticvit.training.start import computer_bytes
from elasticvit.training.step_memory import StepMemory, step_memory
from elasticvit.training.subnet_threads import dearest_draw, subnet_threads

pytestmark = pytest.mark.usefixtures(one_thread.__name__)
STEPS = {
    "three and a student": config(),
    "one and a student": config(subnets=1, bank=True, preference=True),
    "sandwich": config(sampling="sandwich", hss=1),
    "micro-batches": config(accumulate=2, batch_size=50),
    "mixed images": config(mixup=0.2, cutmix=0.2),
    "bf16": config(precision="bf16"),
}


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[SideBySide]:
    with side_by_side(request.param) as found:
        yield found


@pytest.mark.parametrize("settings", STEPS.values(), ids=STEPS)
def test_losses_and_gradients_are_those_of_one_after_the_other(
    settings: TrainConfig, threads: SideBySide
) -> None:
    alone, together = trainer(settings), trainer(settings)
    together.engine.threads = threads
    for step, batch in zip(range(3), alone.loader.batches(0), strict=False):
        draw = alone.sampler.draw()
        expected, found = (j.engine.gradients(step, batch, draw) for j in (alone, together))
        assert torch.equal(expected.values, found.values)
        assert torch.equal(expected.plain, found.plain)
        for ours, theirs in zip(
            together.supernet.parameters(), alone.supernet.parameters(), strict=True
        ):
            if theirs.grad is None:
                assert ours.grad is None
            else:
                assert torch.equal(ours.grad, theirs.grad)
                assert ours.grad.stride() == ours.stride()
        for ours, theirs in zip(together.supernet.buffers(), alone.supernet.buffers(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_training_ends_with_the_same_weights(tmp_path: Path, threads: SideBySide) -> None:
    jobs = [trainer(), trainer()]
    jobs[1].engine.threads = threads
    for i, job in enumerate(jobs):
        run_training(job, tmp_path / str(i))
    for a, b in zip(*(job.averaged.parameters() for job in jobs), strict=True):
        assert torch.equal(a, b)


def test_statistics_wait_until_they_are_taken() -> None:
    norm, plain, x = ElasticBatchNorm(4), ElasticBatchNorm(4), torch.randn(8, 3, 5, 5)
    with statistics_later() as found:
        y = norm(x)
    assert torch.equal(y, plain(x))
    assert not norm.running_mean.any()
    for one, mean, variance in found:
        one.take(mean, variance)
    torch.testing.assert_close(norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm.running_var, plain.running_var)
    assert norm.running_var[3] == 1
    with statistics_later() as found:
        norm.eval()(x)
    assert found == []


def test_a_subnet_that_fails_ends_the_step_and_no_student_waits(
    threads: SideBySide, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = trainer()
    job.engine.threads = threads
    draw, forward = job.sampler.draw(), Supernet.forward

    def failing(self, images, arch):  # type: ignore[no-untyped-def]
        if arch == draw.archs[1]:
            raise TrainingError("no memory today")
        return forward(self, images, arch)

    monkeypatch.setattr(Supernet, "forward", failing)
    with pytest.raises(TrainingError, match="no memory today"):
        job.engine.gradients(0, next(job.loader.batches(0)), draw)
    monkeypatch.undo()
    job.engine.gradients(0, next(job.loader.batches(0)), draw)


@pytest.mark.parametrize(
    ("cores", "subnets", "parallel"),
    [(1, 3, None), (2, 1, 2), (2, 3, 4), (2, 4, 2), (3, 4, 5), (3, 6, 3), (9, 3, 4), (9, 15, 8)],
)
def test_all_of_a_step_unless_they_are_many_more_than_the_cores(
    cores: int, subnets: int, parallel: int | None
) -> None:
    torch.set_num_threads(cores)
    settings = config(subnets=subnets)
    job = trainer(settings)
    with subnet_threads(job, sampler(settings=settings)):
        found = job.engine.threads
        assert (found and found.parallel) == parallel
    assert job.engine.threads is None


def test_fewer_where_memory_is_short_and_none_for_dropout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.set_num_threads(4)
    job = trainer()
    dearest = dearest_draw(job, sampler())
    found = step_memory(job, dearest)
    assert found is not None
    needed = [found.total(parallel) for parallel in (1, 2, 3, 4)]
    assert needed == sorted(needed)
    assert needed[0] < needed[3]
    kept = StepMemory(held=0, weights=0, kept=(10**9,) * 4)
    monkeypatch.setattr(module, "step_memory", lambda job, draw: kept)
    for there, processes, parallel in ((3, 1, 2), (9, 1, 4), (9, 2, 3), (1, 1, None)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        monkeypatch.setattr(module, "computer_bytes", lambda there=there: there * 10**9)
        with subnet_threads(job, sampler()):
            threads = job.engine.threads
            assert (threads and threads.parallel) == parallel


def test_gradients_of_a_few_subnets_alone_wait_to_be_added() -> None:
    """How many sets there are at once, of 16 subnets on two threads."""
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    most = 0

    def ran(parameters, run):  # type: ignore[no-untyped-def]
        nonlocal most
        found = module_ran(parameters, run)
        alive.update(g for g in found.gradients[:1] if g is not None)
        most = max(most, len(alive))
        return found

    module_ran, job = steps._ran, trainer(config(subnets=15))
    with pytest.MonkeyPatch.context() as patch, side_by_side(2) as threads:
        patch.setattr(steps, "_ran", ran)
        job.engine.threads = threads
        job.engine.gradients(0, next(job.loader.batches(0)), job.sampler.draw())
    memory = StepMemory(held=0, weights=1, kept=(0,) * 16)
    assert 1 < most <= memory.total(2) - memory.total(1) + 1


@pytest.mark.parametrize("sampling", ["uniform", "sandwich"])
def test_any_architecture_may_be_the_dearest_of_other_samplings(sampling: str) -> None:
    job = trainer(config(sampling=sampling, hss=1))
    dearest = dearest_draw(job, job.sampler)
    assert set(dearest.archs) == {MICRO.largest}
    assert (set(dearest.students) == {MICRO.largest}) is (sampling == "sandwich")


def test_a_panel_is_judged_the_same(threads: SideBySide) -> None:
    job = trainer()
    size = TrainingSize(steps=10, images=8, subnets=2)
    panel = choose_panel(MICRO, MacsCost(MICRO), sampler().levels, 0)
    judge = PanelJudge(panel, DATA, size)
    assert judge(job.supernet, 3, threads) == judge(job.supernet, 3)


def test_the_memory_is_that_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = (tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes")
    monkeypatch.setattr("elasticvit.training.start.CONTAINER_LIMITS", limits)
    whole = computer_bytes()
    limits[0].write_text("max\n")
    assert computer_bytes() == whole > 10**8
    limits[1].write_text("50000000\n")
    assert computer_bytes() == 50_000_000
    limits[1].write_text(f"{2**63 - 4096}\n")
    assert computer_bytes() == whole
