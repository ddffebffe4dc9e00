"""A search on several processes that torchrun started: the first one searches, the others judge.

All call the flow with the same settings and return the same outcome; the first one alone reads and
writes the workspace and reports.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from elasticvit.errors import ProcessError

if TYPE_CHECKING:
    from elasticvit.searching.peers import Peers
    from elasticvit.searching.spread import Team

GRACE_S = 5.0  # for torchrun to see that rank 0 failed first, and to end this process


@contextmanager
def leading() -> Iterator[Team | None]:
    """The processes that the first one leads; None if it is alone. If the search fails, the others
    end.

    Raises:
        TrainingError: The variables that torchrun sets are not as torchrun sets them.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield None
        return
    from elasticvit.searching.spread import Team

    with _joined() as peers, peers.parting():
        yield Team(peers)


def serve_search(threads: int | None, torch_device: str | None) -> Any:
    """Judge what the first process asks for; returns the outcome of its search.

    Args:
        threads: Number of CPU threads of torch; None for torch's current number.
        torch_device: Torch device that the networks run on; None for this process's own GPU if
            there is one, else the CPU.

    Raises:
        TrainingError: The variables that torchrun sets are not as torchrun sets them.
        ProcessError: The first process is gone.
    """
    from elasticvit.nn.torch_threads import torch_threads
    from elasticvit.searching.spread import serve
    from elasticvit.training.data import open_data

    with _joined() as peers, peers.parting(), torch_threads(threads):
        try:
            return serve(peers, open_data, torch_device or peers.device)
        except ProcessError:
            time.sleep(GRACE_S)
            raise


@contextmanager
def _joined() -> Iterator[Peers]:
    from elasticvit.searching.peers import Peers
    from elasticvit.training.ranks import joined

    with joined("gloo") as ranks:
        yield Peers(rank=ranks.rank, count=ranks.count, device=ranks.device)
