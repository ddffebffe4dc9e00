"""The threads of this process that judge architectures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice

import torch
from torch import Tensor, nn

from elasticvit.nn.judging import Batch, correct
from elasticvit.nn.side_by_side import SideBySide, side_by_side, side_by_side_on
from elasticvit.searching.evaluate import Stretch, SupernetEvaluator
from elasticvit.searching.judge import BoolArray


class Workers:
    """Threads that judge architectures (`searching.evaluate.Spread`).

    Args:
        threads: The threads.
    """

    def __init__(self, threads: SideBySide) -> None:
        self._map, self.parallel = threads.map, threads.parallel
        self.batches = self.parallel

    def __call__(
        self, evaluator: SupernetEvaluator, stretches: Sequence[Stretch]
    ) -> Iterator[tuple[Stretch, BoolArray]]:
        """What `evaluator.extend` gives of each stretch, the largest images first."""
        ordered = sorted(stretches, key=lambda stretch: -stretch.arch.resolution)
        try:
            with closing(self._map(evaluator.extend, ordered, evaluator.broken_off.set)) as found:
                yield from zip(ordered, found, strict=True)
        finally:
            evaluator.broken_off.clear()

    def correct(self, subnet: nn.Module, batches: Iterable[Batch]) -> Tensor:
        """What `nn.judging.correct` gives; as many batches at the same time as there are
        workers."""
        found = [torch.zeros(0, dtype=torch.bool)]
        left = iter(batches)
        while chunk := list(islice(left, self.parallel)):
            found += self._map(lambda batch: correct(subnet, [batch]), chunk)
        return torch.cat(found)

    def at_once(self, run: Callable[[], object]) -> None:
        """Call a function in every thread at the same time."""
        list(self._map(lambda _: run(), range(self.parallel)))


@contextmanager
def working(threads: int | None = None) -> Iterator[Workers]:
    """Workers; arguments as of `side_by_side`."""
    with side_by_side(threads) as found:
        yield Workers(found)


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
    with side_by_side_on(place, threads) as found:
        yield None if found is None else Workers(found)
