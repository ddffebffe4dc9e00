"""Judging on several processes and machines, with the same result as on one.

Rank 0 searches; the others run the architectures that it sends them. They need the data set and
nothing else: rank 0 sends the supernet. Each architecture is run whole by one process, on the same
batches as by one process alone, so that who runs it changes nothing. An error that a person can
mend comes back and ends the search on rank 0; where a process is gone, rank 0 says which.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elasticvit.arch import ArchBatch
from elasticvit.block_options import BlockOptions
from elasticvit.cost import MacsCost
from elasticvit.errors import DataError, EvitError
from elasticvit.nn.judging import Batch, correct
from elasticvit.nn.supernet import Supernet
from elasticvit.searching.evaluate import Sizes, Stretch, SupernetEvaluator
from elasticvit.searching.judge import BoolArray
from elasticvit.searching.peers import Peers
from elasticvit.space import SearchSpace
from elasticvit.training.data import DataInfo, ImageData, Normalisation


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all processes judge with.

    Attributes:
        space, options, weights: The supernet; its tensors are on the CPU.
        data: The data set as rank 0 finds it.
        normalisation: Mean and standard deviation of each channel that the supernet asks for; None
            for those of the data set.
    """

    space: SearchSpace
    options: BlockOptions
    weights: Mapping[str, Tensor]
    data: DataInfo
    normalisation: Normalisation | None


@dataclass(frozen=True, kw_only=True)
class Work:
    """Architectures that a process is to run.

    Attributes:
        sizes: How many images its evaluator has.
        seed: Random seed of the choice of images.
        stretches: Which architectures, on which images.
    """

    sizes: Sizes
    seed: int
    stretches: Sequence[Stretch]


@dataclass(frozen=True)
class End:
    """There is nothing more to run.

    Attributes:
        outcome: What the search ends with.
    """

    outcome: Any


class Team:
    """The processes as rank 0 uses them (`searching.evaluate.Spread`).

    Args:
        peers: The processes; this one is rank 0.
    """

    def __init__(self, peers: Peers) -> None:
        self.peers, self.parallel = peers, peers.count
        self.batches = 1  # the others wait while a winner is tested

    def begin(self, supernet: Supernet, data: ImageData) -> None:
        """Give the others the supernet, and wait until they have opened the data set.

        Raises:
            EvitError: One of them cannot; its rank is named.
            ProcessError: One of them is gone.
        """
        setup = Setup(
            space=supernet.space,
            options=supernet.options,
            weights={name: value.cpu() for name, value in supernet.state_dict().items()},
            data=data.info,
            normalisation=data.given_normalisation,
        )
        for rank in range(1, self.parallel):
            self.peers.send(setup, rank)
        for rank in range(1, self.parallel):
            self._answer(rank)

    def __call__(
        self, evaluator: SupernetEvaluator, stretches: Sequence[Stretch]
    ) -> Iterator[tuple[Stretch, BoolArray]]:
        """What `evaluator.extend` gives of each stretch, in any order; this process runs its share.

        Raises:
            EvitError: One of the others cannot run its share; its rank is named.
            ProcessError: One of them is gone.
        """
        own, *others = shares(evaluator, stretches, self.parallel)
        for rank, share in enumerate(others, 1):
            if share:
                work = Work(sizes=evaluator.sizes, seed=evaluator.seed, stretches=share)
                self.peers.send(work, rank)
        for stretch in own:
            yield stretch, evaluator.extend(stretch)
        for rank, share in enumerate(others, 1):
            if share:
                yield from zip(share, self._answer(rank), strict=True)

    def correct(self, subnet: nn.Module, batches: Iterable[Batch]) -> Tensor:
        """What `nn.judging.correct` gives, by this process alone."""
        return correct(subnet, batches)

    def at_once(self, run: Callable[[], object]) -> None:
        """Call a function once: a process runs one architecture after the other."""
        run()

    def end(self, outcome: Any) -> None:
        """Let the others go, with what the search ends with."""
        for rank in range(1, self.parallel):
            self.peers.send(End(outcome), rank)

    def _answer(self, rank: int) -> Any:
        answer = self.peers.receive(rank)
        if isinstance(answer, EvitError):
            answer.args = (f"on rank {rank} of {self.parallel}: {answer}",)
            raise answer
        return answer


def serve(
    peers: Peers, open_data: Callable[[str], ImageData], torch_device: torch.device | str
) -> Any:
    """Run what rank 0 sends until the search ends; returns what it ends with.

    Args:
        peers: The processes; this one is not rank 0.
        open_data: Opens a data set by its spec.
        torch_device: Torch device to run on.

    Raises:
        ProcessError: Rank 0 is gone.
    """
    server = _Server(open_data, torch.device(torch_device))
    while True:
        message = peers.receive(0)
        if isinstance(message, End):
            return message.outcome
        answer: list[BoolArray] | EvitError | None = None
        try:
            if isinstance(message, Setup):
                server.begin(message)
            else:
                answer = server.run(message)
        except EvitError as error:
            answer = error
        peers.send(answer, 0)


class _Server:
    """What a process besides rank 0 judges with."""

    def __init__(self, open_data: Callable[[str], ImageData], torch_device: torch.device) -> None:
        self.open_data, self.torch_device = open_data, torch_device
        self.evaluators: dict[tuple[Sizes, int], SupernetEvaluator] = {}

    def begin(self, setup: Setup) -> None:
        """Take the supernet, and open the data set.

        Raises:
            DataError: It is unreadable, or another one than on rank 0.
        """
        self.data = self.open_data(setup.data.spec)
        if self.data.info != setup.data:
            raise DataError(
                f"data set {setup.data.spec} is here {_told(self.data.info)}, and on rank 0 "
                f"{_told(setup.data)}; all processes need the same one: copy it"
            )
        self.data = replace(self.data, given_normalisation=setup.normalisation)
        self.supernet = Supernet(setup.space, setup.options)
        self.supernet.load_state_dict(dict(setup.weights))

    def run(self, work: Work) -> list[BoolArray]:
        """What the images of each stretch are classified as: right or not."""
        key = (work.sizes, work.seed)
        if key not in self.evaluators:
            self.evaluators[key] = SupernetEvaluator(
                self.supernet,
                self.data,
                work.sizes,
                seed=work.seed,
                torch_device=self.torch_device,
            )
        return [self.evaluators[key].extend(stretch) for stretch in work.stretches]


def shares(
    evaluator: SupernetEvaluator, stretches: Sequence[Stretch], count: int
) -> list[list[Stretch]]:
    """Stretches dealt to processes so that all have about as much to do: the largest first, each
    to the one that has least. A process runs the ones of a resolution after one another.

    Args:
        evaluator: Judges them.
        stretches: The stretches, of different architectures.
        count: Number of processes.
    """
    dealt: list[list[Stretch]] = [[] for _ in range(count)]
    if not stretches:
        return dealt
    macs = MacsCost(evaluator.supernet.space).price(ArchBatch.of([s.arch for s in stretches]))
    recalibration = evaluator.sizes.recalibration_images
    images = np.array([s.images - s.first + recalibration for s in stretches])
    work = macs * images
    busy = [(0.0, rank) for rank in range(count)]
    for row in np.argsort(-work, kind="stable").tolist():
        load, rank = heapq.heappop(busy)
        dealt[rank].append(stretches[row])
        heapq.heappush(busy, (load + float(work[row]), rank))
    return [sorted(share, key=lambda stretch: stretch.arch.resolution) for share in dealt]


def _told(info: DataInfo) -> str:
    counts = (info.train_images, info.search_images, info.test_images)
    return f"one of {info.classes} classes and {' + '.join(map(str, counts))} images"
