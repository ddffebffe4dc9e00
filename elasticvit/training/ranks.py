"""Training on several processes that torchrun started.

Every rank holds the whole supernet, draws the same subnets from the same seed and reads its
own share of each batch; gradients are averaged by hand, since which parameters a step uses
changes from step to step, and running statistics with them. Rank 0 alone writes. Where one
process fails, all end: what is left of the others is ended by torchrun.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from elasticvit.errors import EvitError, TrainingError
from elasticvit.reading import shown

BUCKET = 8 * 2**20  # numbers that are sent together
GRACE_S = 5.0  # for torchrun to see which process failed first, and to end this one


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

    def average(self, tensors: Sequence[Tensor], weight: float) -> None:
        """Replace every tensor by its mean over the ranks.

        Args:
            tensors: Tensors of float32, of the same shapes in the same order on every rank.
            weight: What this rank's tensors count for, such as its number of images.

        Raises:
            TrainingError: Another process is gone.
        """
        if self.count == 1:
            return
        sent = []
        with self._together(), torch.no_grad():
            for bucket in _buckets(tensors):
                own = [tensor.new_tensor([weight]) for tensor in bucket[:1]]
                flat = torch.cat([*(t.reshape(-1) * weight for t in bucket), *own])
                sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
            for bucket, flat, work in sent:
                work.wait()
                parts = (flat[:-1] / flat[-1]).split([t.numel() for t in bucket])
                means = [part.view(t.shape) for part, t in zip(parts, bucket, strict=True)]
                torch._foreach_copy_(bucket, means)

    def share(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.count == 1:
            return value
        values = [value]
        with self._together():
            dist.broadcast_object_list(values, src=0)
        return values[0]

    def any(self, flag: bool) -> bool:
        """Whether the flag is raised on any rank."""
        if self.count == 1:
            return flag
        raised = torch.tensor(float(flag), device=self.device)
        self.average([raised], weight=1.0)
        return bool(raised > 0)

    def check_same(self, fact: bool, what: str) -> None:
        """Check that a fact is the same for all ranks as for rank 0.

        Args:
            fact: The fact, as this rank finds it.
            what: What a message says of the fact where it is true, such as `there is a file`.

        Raises:
            TrainingError: It is not.
        """
        first = self.share(fact)
        if first != fact:
            raise TrainingError(
                f"for rank 0 it is {first}, here it is {fact} that {what}: training processes on "
                "several machines need the same folders; put them on a file system that all share"
            )

    @contextmanager
    def _together(self) -> Iterator[None]:
        """What all ranks must do together.

        Raises:
            TrainingError: Another process is gone.
        """
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # of torch.distributed
            time.sleep(GRACE_S)
            raise TrainingError(
                f"the connection to another of the {self.count} training processes is lost: that "
                "process failed or was stopped, and its own message says why; the last checkpoint "
                f"is kept ({str(error).splitlines()[0]})"
            ) from error


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in groups that are sent together."""
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        bucket.append(tensor)
        size += tensor.numel()
        if size >= BUCKET:
            yield bucket
            bucket, size = [], 0
    if bucket:
        yield bucket


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
def _quiet_output() -> Iterator[None]:
    """Let what gloo prints go to standard error: standard output belongs to the results."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def joined(backend: str | None = None) -> Iterator[Ranks]:
    """The ranks that torchrun started, or this process alone; on a GPU where there is one.

    Args:
        backend: What torch.distributed sends with; by default `nccl` on GPUs, else `gloo`.

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
        with _quiet_output():
            dist.init_process_group(backend or ("nccl" if cuda else "gloo"))
    except ValueError as error:
        raise TrainingError(
            f"the processes cannot be joined: {str(error).splitlines()[0]}; start them with "
            "torchrun, or unset RANK and WORLD_SIZE to train with one"
        ) from error
    rank, count = dist.get_rank(), dist.get_world_size()
    try:
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        yield Ranks(rank=rank, count=count, device=device)
    except EvitError as error:
        error.args = (f"rank {rank} of {count}: {error}",)
        raise
    # only at a good end: NCCL waits for the others here, and what ends the connection while this
    # process has not yet failed makes another one fail first
    dist.destroy_process_group()
