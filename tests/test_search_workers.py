"""Architectures side by side: the bits of one after the other, and an end without leftovers."""

import threading
import time
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from small_search import SMALL, digits, one_thread, trained

from elasticvit.arch import Arch
from elasticvit.nn import Subnet
from elasticvit.nn.judging import accuracy, correct
from elasticvit.searching import evaluate
from elasticvit.searching.evaluate import Sizes, Stretch, SupernetEvaluator
from elasticvit.searching.plan import time_evaluation
from elasticvit.searching.workers import Workers, workers_for, working

pytestmark = pytest.mark.usefixtures(one_thread.__name__)
ARCHS = SMALL.sample(9, np.random.default_rng(1)).unique()
SIZES = Sizes(recalibration_images=64, search_images=100, batch_size=32)


@pytest.fixture(params=[1, 2, 5])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    with working(request.param) as found:
        yield found


def test_every_image_is_judged_as_by_one_after_the_other(workers: Workers) -> None:
    alone = SupernetEvaluator(trained(), digits(), SIZES)
    together = SupernetEvaluator(trained(), digits(), SIZES, spread=workers)
    assert np.array_equal(alone(ARCHS).correct, together(ARCHS).correct)
    assert np.array_equal(alone(ARCHS, 40).correct, together(ARCHS, 40).correct)
    stretches = [Stretch(arch, 32, 96) for arch in ARCHS]
    found = dict(workers(together, stretches))
    assert set(found) == set(stretches)
    for stretch in stretches:
        assert np.array_equal(found[stretch], alone.extend(stretch))


def test_a_test_is_the_same_and_its_images_are_read_a_few_at_a_time(workers: Workers) -> None:
    subnet = Subnet.cut(trained(), ARCHS[0])
    batches = list(digits().loader("test", resolution=ARCHS[0].resolution, batch_size=32))
    read = 0

    def images() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        nonlocal read
        for batch in batches:
            read += 1
            yield batch

    assert torch.equal(workers.correct(subnet, images()), correct(subnet, batches))
    assert read == len(batches)
    evaluator = SupernetEvaluator(trained(), digits(), SIZES, spread=workers)
    assert evaluator.accuracy(subnet, batches) == accuracy(subnet, batches)


def test_what_is_broken_off_ends_at_the_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C does not wait for the thousands of images of a finalist."""
    run: list[int] = []
    both_begun = threading.Event()

    def slow(_: Subnet, batches: Iterable[object]) -> torch.Tensor:
        for _ in batches:
            run.append(1)
            if len(run) > 1:
                both_begun.set()
            time.sleep(0.02)
        return torch.zeros(len(run), dtype=torch.bool)

    monkeypatch.setattr(evaluate, "correct", slow)
    sizes = Sizes(recalibration_images=32, search_images=200, batch_size=2)
    with working(2) as workers:
        evaluator = SupernetEvaluator(trained(), digits(), sizes, spread=workers)
        work = workers(evaluator, [Stretch(ARCHS[0], 0, 2), Stretch(ARCHS[1], 0, 200)])
        assert next(work)[0].images == 2
        assert both_begun.wait(60)
        work.close()
    assert 1 < len(run) < 60
    assert not evaluator.broken_off.is_set()
    assert len(evaluator.extend(Stretch(ARCHS[0], 0, 6))) > 2


def test_an_accelerator_runs_one_after_the_other() -> None:
    with workers_for(2, "meta") as found:
        assert found is None
    with workers_for(2, "cpu") as found:
        assert found is not None
        assert found.parallel == 2


def test_an_evaluation_is_timed_beside_as_many_as_will_run_with_it(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier = threading.Barrier(workers.parallel, timeout=60)
    evaluator = SupernetEvaluator(trained(), digits(), SIZES, spread=workers)
    alone: list[bool] = []

    def run(_: Arch) -> None:
        if threading.current_thread() is threading.main_thread():
            alone.append(True)  # reads the images
        else:
            barrier.wait()  # for the others
            time.sleep(0.02)

    monkeypatch.setattr(evaluator, "run", run)
    assert 0.02 < time_evaluation(evaluator, ARCHS) < 10
    assert len(alone) == 3
