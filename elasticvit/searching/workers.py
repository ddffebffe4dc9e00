"""Several architectures at the same time, each in a thread of this process.

torch splits each layer of a network among its threads, which wait for each other at its end. For
small networks that is a little slower than two architectures side by side, and more than twice as
slow where another program takes one of the two cores (`benchmarks/judging_threads.py`). An
architecture that runs on one thread also rounds the same on every number of cores.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor, nn

from elasticvit.nn.judging import Batch, correct
from elasticvit.nn.torch_threads import torch_threads
from elasticvit.searching.evaluate import Stretch, SupernetEvaluator
from elasticvit.searching.judge import BoolArray

Item = TypeVar("Item")
Found = TypeVar("Found")

MOST = 8  # beyond, Python itself is in the way; further threads are torch's, for each architecture


class Workers:
    """Threads that judge architectures (`searching.evaluate.Spread`); see `working`.

    Args:
        pool: The threads.
        parallel: Their number.
    """

    def __init__(self, pool: ThreadPoolExecutor, parallel: int) -> None:
        self._pool, self.parallel = pool, parallel

    def map(
        self,
        function: Callable[[Item], Found],
        items: Iterable[Item],
        break_off: Callable[[], None] = lambda: None,
    ) -> Generator[Found, None, None]:
        """What a function gives of each item, in their order, of as many at the same time as there
        are workers. Where that is broken off, what has not begun does not begin, and what is under
        way is waited for.

        Args:
            function: What is called in the threads.
            items: What it is called with.
            break_off: Called before that wait.
        """
        running = [self._pool.submit(function, item) for item in items]
        try:
            for future in running:
                yield future.result()
        except BaseException:  # Ctrl-C above all
            break_off()
            raise
        finally:
            for future in running:
                future.cancel()
            wait(running)

    def __call__(
        self, evaluator: SupernetEvaluator, stretches: Sequence[Stretch]
    ) -> Iterator[tuple[Stretch, BoolArray]]:
        """What `evaluator.extend` gives of each stretch, the largest images first."""
        ordered = sorted(stretches, key=lambda stretch: -stretch.arch.resolution)
        try:
            with closing(self.map(evaluator.extend, ordered, evaluator.broken_off.set)) as found:
                yield from zip(ordered, found, strict=True)
        finally:
            evaluator.broken_off.clear()

    def correct(self, subnet: nn.Module, batches: Iterable[Batch]) -> Tensor:
        """What `nn.judging.correct` gives; as many batches at the same time as there are
        workers."""
        found = [torch.zeros(0, dtype=torch.bool)]
        left = iter(batches)
        while chunk := list(islice(left, self.parallel)):
            found += self.map(lambda batch: correct(subnet, [batch]), chunk)
        return torch.cat(found)


@contextmanager
def working(threads: int | None = None) -> Iterator[Workers]:
    """Workers, and one thread of torch for each architecture, or more where there are many.

    Args:
        threads: Number of CPU threads; None for torch's current number.
    """
    total = torch.get_num_threads() if threads is None else threads
    parallel = min(total, MOST)
    each = total // parallel
    with (
        torch_threads(each),
        ThreadPoolExecutor(
            parallel, "judge", initializer=torch.set_num_threads, initargs=(each,)
        ) as pool,
    ):
        yield Workers(pool, parallel)


@contextmanager
def workers_for(
    threads: int | None, torch_device: torch.device | str | None
) -> Iterator[Workers | None]:
    """The workers of a search: None on an accelerator, where one architecture after the other
    runs.

    Args:
        threads: Number of CPU threads; None for torch's current number.
        torch_device: As `SearchJob` takes it.
    """
    place = torch_device or ("cuda" if torch.cuda.is_available() else "cpu")
    if torch.device(place).type == "cpu":
        with working(threads) as workers:
            yield workers
    else:
        with torch_threads(threads):
            yield None
