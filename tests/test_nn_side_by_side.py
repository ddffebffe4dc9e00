"""Threads that run architectures at the same time."""

import threading
import time
from concurrent.futures import Future

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elasticvit.errors import CheckpointError
from elasticvit.nn.side_by_side import MOST, in_parts, side_by_side, side_by_side_on, torch_logits


@given(threads=st.integers(1, 64))
@settings(deadline=None, max_examples=20)
def test_threads_are_shared_out_and_given_back(threads: int) -> None:
    before = torch.get_num_threads()
    with side_by_side(threads) as found:
        assert found.parallel == min(threads, MOST)
        each = {torch.get_num_threads(), *found.map(lambda _: torch.get_num_threads(), [0, 1])}
        assert each == {threads // found.parallel}
    assert torch.get_num_threads() == before


def test_several_run_at_the_same_time() -> None:
    with side_by_side(3) as found:
        barrier = threading.Barrier(3, timeout=60)
        assert len(list(found.map(lambda _: barrier.wait(), range(3)))) == 3


def test_an_error_is_that_of_the_architecture_and_ends_the_others() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise CheckpointError("not finite")
        time.sleep(0.05)

    with side_by_side(2) as found:
        with pytest.raises(CheckpointError, match="not finite"):
            list(found.map(work, range(100)))
        so_far = len(begun)
        assert so_far < 20
        time.sleep(0.2)
        assert len(begun) == so_far


def test_what_waits_for_an_earlier_one_does_not_begin_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a student that waits for a sampled subnet, where a step is broken off."""
    begun: list[str] = []
    told: Future[int] = Future()
    free = threading.Event()
    cancel = Future.cancel

    def work(name: str) -> None:
        begun.append(name)
        if name == "long":
            free.wait(60)
        elif name == "sampled":
            told.set_result(1)
        elif name == "student":
            told.result(5)

    def slowly(future: Future[None]) -> bool:
        cancelled = cancel(future)
        if cancelled:  # the thread goes on while the others are cancelled
            free.set()
            time.sleep(0.05)
        return cancelled

    with side_by_side(1) as found:
        given = found.map(work, ["first", "long", "sampled", "student"])
        next(given)
        while "long" not in begun:
            time.sleep(0.001)
        monkeypatch.setattr(Future, "cancel", slowly)
        given.close()
        assert "student" not in begun


def test_no_more_than_are_asked_for_wait_to_be_given() -> None:
    begun: list[int] = []
    with side_by_side(2) as found:
        for number, _ in enumerate(found.map(begun.append, range(50), waiting=3), 1):
            assert len(begun) <= number + 3
    assert sorted(begun) == list(range(50))


def test_no_more_than_are_asked_for_and_torch_shares_out_the_rest() -> None:
    with side_by_side(6, parallel=2) as found:
        assert found.parallel == 2
        assert list(found.map(lambda _: torch.get_num_threads(), range(2))) == [3, 3]


def test_more_than_threads_where_that_is_asked_for() -> None:
    with side_by_side(2, parallel=5) as found:
        assert found.parallel == 5
        meeting = threading.Barrier(5, timeout=60)
        assert list(found.map(lambda _: torch.get_num_threads(), range(5))) == [1] * 5
        assert sorted(found.map(lambda _: meeting.wait(), range(5))) == [0, 1, 2, 3, 4]


def test_an_accelerator_has_none() -> None:
    with side_by_side_on("meta", 2) as found:
        assert found is None


@pytest.mark.parametrize("images", [1, 2, 7])
def test_parts_of_a_batch_come_together_in_its_order(images: int) -> None:
    batch = torch.arange(images, dtype=torch.float32).view(-1, 1)
    with side_by_side(3) as found:
        assert torch.equal(in_parts(found, lambda part: 2 * part, batch), 2 * batch)
    whole: list[int] = []
    in_parts(None, lambda part: whole.append(len(part)) or part, batch)  # type: ignore[func-returns-value]
    assert whole == [images]


def test_logits_are_those_of_the_whole_batch_and_can_be_trained_with() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 5)
    )
    images, before = torch.randn(5, 3, 8, 8), torch.get_num_threads()
    found = torch_logits(network.eval(), images)
    torch.testing.assert_close(found, network(images))
    assert not found.requires_grad
    assert torch.get_num_threads() == before
    network(images).sum().backward()
