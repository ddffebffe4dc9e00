"""Memory that torch frees on a CPU stays with the process while it trains.

The C library gives large blocks back to the system as soon as they are free, and the system clears
each page again when it is next asked for: on the GNU C library a training step of subnets of 200
million multiply-accumulates takes an eighth longer for that (`benchmarks/freed_memory.py`).
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

# parameters of mallopt(3)
TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -2, -3, -4, -8
KEPT: Mapping[int, int] = {
    TRIM_THRESHOLD: 2**31 - 1,
    MMAP_MAX: 0,
    TOP_PAD: 64 << 20,
    ARENA_MAX: 1,  # threads that come and go leave their arenas to the system, blocks and all
}
# what the library itself comes to after a while, should it be left alone
USUAL: Mapping[int, int] = {
    TRIM_THRESHOLD: 64 << 20,
    MMAP_THRESHOLD: 32 << 20,
    MMAP_MAX: 65536,
    TOP_PAD: 128 << 10,
}


@contextmanager
def freed_memory_kept(device: str) -> Iterator[None]:
    """Within the context freed memory stays with the process; afterwards the system has it.

    Threads that begin later share one arena, also after the context: the library has no way back
    from that. Other C libraries than GNU's, and training on an accelerator, are left as they are.

    Args:
        device: Type of the torch device that trains.
    """
    if device != "cpu" or platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    _set(library.mallopt, KEPT)
    try:
        yield
    finally:
        _set(library.mallopt, USUAL)
        library.malloc_trim(0)


def _set(mallopt: Callable[[int, int], int], values: Mapping[int, int]) -> None:
    for parameter, value in values.items():
        mallopt(parameter, value)
