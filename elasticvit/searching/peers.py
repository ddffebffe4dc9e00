"""Processes that torchrun started, one of which asks and the others answer.

Values go from one process to one other, so that where a process is gone it is known which.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from elasticvit.errors import ProcessError


@dataclass(frozen=True, kw_only=True)
class Peers:
    """This process among those that were joined, with torch's backend gloo.

    Attributes:
        rank: Index of this process, from 0.
        count: Number of processes, at least 2.
        device: Torch device that this process computes on, unless another is named.
    """

    rank: int
    count: int
    device: torch.device

    def send(self, value: Any, to: int) -> None:
        """Send a value, and wait until the other process takes it.

        Args:
            value: Anything that can be pickled.
            to: Rank of the other process.

        Raises:
            ProcessError: That process is gone.
        """
        with self._naming(to):
            dist.send_object_list([value], dst=to)

    def receive(self, source: int) -> Any:
        """The next value that another process sends.

        Args:
            source: Rank of the other process.

        Raises:
            ProcessError: That process is gone.
        """
        values: list[Any] = [None]
        with self._naming(source):
            dist.recv_object_list(values, src=source)
        return values[0]

    @contextmanager
    def parting(self) -> Iterator[None]:
        """Part from the others if the work inside fails, so that none of them waits for this
        process: what they send to it or expect from it fails, too."""
        try:
            yield
        except BaseException:
            dist.destroy_process_group()
            raise

    @contextmanager
    def _naming(self, peer: int) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # of torch.distributed
            raise ProcessError(
                f"rank {peer} of {self.count} is gone: that process failed or was stopped, and its "
                "own message says why; what was judged before is kept, so repeat this "
                f"({str(error).splitlines()[0]})"
            ) from error
