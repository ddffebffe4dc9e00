"""Messages over pipes: what has arrived is not late."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from devices.host.framing import PipeClosed, PipeTimeout, read_message, write_message


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_an_answer_that_is_there_is_read_although_the_time_is_over(pipe: tuple[int, int]) -> None:
    read, write = pipe
    write_message(write, {"a": 1}, b"payload")
    assert read_message(read, timeout_s=-5.0) == ({"a": 1}, b"payload")


def test_what_is_not_there_in_time_or_never_comes_is_told(pipe: tuple[int, int]) -> None:
    read, write = pipe
    with pytest.raises(PipeTimeout):
        read_message(read, timeout_s=0.01)
    other_read, other_write = os.pipe()
    os.close(other_write)
    with pytest.raises(PipeClosed):
        read_message(other_read, timeout_s=1.0)
    os.close(other_read)
    assert write >= 0
