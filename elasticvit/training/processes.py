"""How many processes share this computer."""

from __future__ import annotations

import os


def processes_here() -> int:
    """Number of processes that torchrun started on this computer, 1 without it."""
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(int(local) if local.isdecimal() else 1, 1)
