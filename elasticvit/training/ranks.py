"""Training on several processes that torchrun started.

Every rank holds the whole supernet, draws the same subnets from the same seed and reads its
own share of each batch; gradients are averaged by hand, since which parameters a step uses
changes from step to step. Rank 0 alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from elasticvit.errors import TrainingError
from elasticvit.reading import shown


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Which of how many processes this is.

    Attributes:
        rank: Index of this process, from 0.
        count: Number of processes.
        device: Torch device that this process computes on.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def writes(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the ranks."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= self.count
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view(gradient.shape))
            start += gradient.numel()

    def average(self, values: Tensor) -> Tensor:
        """Mean over the ranks."""
        if self.count > 1:
            dist.all_reduce(values)
            values /= self.count
        return values

    def share(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.count == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def any(self, flag: bool) -> bool:
        """Whether the flag is raised on any rank."""
        if self.count == 1:
            return flag
        return bool(self.average(torch.tensor([float(flag)], device=self.device)) > 0)


def _variable(name: str, default: int) -> int:
    """A variable of the environment that torchrun sets; raises `TrainingError`."""
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise TrainingError(
            f"the environment variable {name} is {shown(text)}; it must be a whole number: start "
            "the processes with torchrun, or unset it to train with one"
        )
    return int(text)


@contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that torchrun started, or this process alone; on a GPU where there is one.

    Raises:
        TrainingError: The variables that torchrun sets are not as torchrun sets them.
    """
    cuda = torch.cuda.is_available()
    if _variable("WORLD_SIZE", 1) == 1:
        yield Ranks(device=torch.device("cuda" if cuda else "cpu"))
        return
    local = _variable("LOCAL_RANK", 0)
    _variable("RANK", 0)
    if cuda:
        torch.cuda.set_device(local)
    try:
        dist.init_process_group("nccl" if cuda else "gloo")
    except ValueError as error:
        raise TrainingError(
            f"the processes cannot be joined: {str(error).splitlines()[0]}; start them with "
            "torchrun, or unset RANK and WORLD_SIZE to train with one"
        ) from error
    try:
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        yield Ranks(rank=dist.get_rank(), count=dist.get_world_size(), device=device)
    finally:
        dist.destroy_process_group()
