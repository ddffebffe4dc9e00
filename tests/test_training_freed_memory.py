"""Memory that is freed stays with the process while it trains, and no longer."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

MEASURE = """
import resource, torch
from elasticvit.training.freed_memory import freed_memory_kept

def faults():
    torch.ones(20 << 20)  # 80 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for size in range(19, 14, -1):
        torch.ones(size << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

torch.set_num_threads(1)
usual, before = faults(), held()
with freed_memory_kept("{device}"):
    kept, within = faults(), held()
print(usual, kept, within - before, held() - before)
"""


def measured(device: str) -> list[int]:
    """Pages that the system cleared for five tensors before the context and within, and bytes that
    the process holds more of within and after it."""
    words = [sys.executable, "-c", MEASURE.replace("{device}", device)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return list(map(int, done.stdout.split()))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what the GNU C library does")
def test_freed_memory_is_cleared_once_within_and_given_back_after() -> None:
    usual, kept, within, left = measured("cpu")
    assert usual > 50_000
    assert kept < usual / 10
    assert within > 70 << 20
    assert left < 20 << 20


def test_an_accelerator_leaves_the_process_as_it_is() -> None:
    usual, kept, *_ = measured("cuda")
    assert kept > usual / 2
