"""What is said of a precision that the processor of this computer does not compute in."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from elasticvit.precisions import FP16

X86 = ("x86_64", "amd64", "i686", "i386")
NOT_COMPUTED_HERE = (
    "this computer has an x86 processor, on which models in fp16 are computed in fp32: the "
    "latencies of host are those of fp16 files here, and say nothing about a phone that computes "
    "in fp16"
)


def not_computed_here(precision: str, devices: Sequence[str]) -> bool:
    """Whether models would be timed on this computer in another precision than they are stored
    in."""
    return precision == FP16 and "host" in devices and platform.machine().lower() in X86
