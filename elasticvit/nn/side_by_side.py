"""Several architectures at the same time, each in a thread of this process.

torch splits each layer of a network among its threads, which wait for each other at its end. For
small networks that is slower than two architectures side by side, and several times as slow where
another program takes one of the two cores (`benchmarks/judging_threads.py`,
`benchmarks/training_threads.py`). An architecture that runs on one thread also rounds the same on
every number of cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor, nn

from elasticvit.nn.torch_threads import torch_threads

Item = TypeVar("Item")
Found = TypeVar("Found")

MOST = 8  # beyond, Python itself is in the way; further threads are torch's, for each architecture


class SideBySide:
    """Threads that run architectures; see `side_by_side`.

    Args:
        pool: The threads.
        parallel: Their number.
        total: Number of CPU threads, with torch's for each architecture.
    """

    def __init__(self, pool: ThreadPoolExecutor, parallel: int, total: int) -> None:
        self._pool, self.parallel, self.total = pool, parallel, total

    def map(
        self,
        function: Callable[[Item], Found],
        items: Iterable[Item],
        break_off: Callable[[], None] = lambda: None,
        waiting: int | None = None,
    ) -> Generator[Found, None, None]:
        """What a function gives of each item, in their order, of as many at the same time as there
        are threads. They begin in their order. Where that is broken off, what has not begun does
        not begin, and what is under way is waited for. Nothing that was given is held here.

        Args:
            function: What is called in the threads.
            items: What it is called with.
            break_off: Called before that wait.
            waiting: Most items that are under way, wait for a thread, or are done and not yet
                given; None: all of them.
        """
        left = iter(items)
        running: deque[Future[Found]] = deque()
        try:
            while True:
                for item in islice(left, None if waiting is None else waiting - len(running)):
                    running.append(self._pool.submit(function, item))
                if not running:
                    return
                wait([running[0]])  # which it stays among, should that be broken off
                yield running.popleft().result()
        except BaseException:  # Ctrl-C above all
            break_off()
            raise
        finally:
            # the last ones first: what waits for an earlier one never begins without it
            for future in reversed(running):
                future.cancel()
            wait(running)


@contextmanager
def side_by_side(threads: int | None = None, parallel: int | None = None) -> Iterator[SideBySide]:
    """Threads, and one thread of torch for each architecture, or more where there are many.

    Args:
        threads: Number of CPU threads; None for torch's current number.
        parallel: Number of architectures at the same time, which may be more than threads: the
            system then shares these out. None: as many as threads, up to `MOST`.
    """
    total = torch.get_num_threads() if threads is None else threads
    parallel = min(total, MOST) if parallel is None else parallel
    each = max(total // parallel, 1)
    with (
        torch_threads(each),
        ThreadPoolExecutor(
            parallel, "subnet", initializer=torch.set_num_threads, initargs=(each,)
        ) as pool,
    ):
        yield SideBySide(pool, parallel, total)


@contextmanager
def side_by_side_on(
    device: torch.device | str, threads: int | None = None
) -> Iterator[SideBySide | None]:
    """What `side_by_side` gives on a CPU; None on an accelerator, where one architecture after the
    other runs.

    Args:
        device: Torch device.
        threads: Number of CPU threads; None for torch's current number.
    """
    if torch.device(device).type == "cpu":
        with side_by_side(threads) as found:
            yield found
    else:
        with torch_threads(threads):
            yield None


def in_parts(threads: SideBySide | None, run: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """What a function gives of each image of a batch (B, ...), whose parts run at the same time.

    Args:
        threads: The threads; None: the batch runs whole.
        run: What is called with each part; its rows belong to the images.
        images: The batch.
    """
    if threads is None:
        return run(images)
    return torch.cat(list(threads.map(run, images.chunk(threads.parallel))))


def torch_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (B, classes) of a network on the CPU, in evaluation mode, for images (B, C, R, R)."""

    def run(part: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = network(part)
        return logits

    with side_by_side() as threads:
        return in_parts(threads, run, images)
