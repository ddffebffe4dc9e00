"""What is said of a precision that the processor of this computer does not compute in."""

from __future__ import annotations

from collections.abc import Sequence

from elasticvit.names import HOST
from elasticvit.precisions import FP16


def arithmetic_warning(precision: str, devices: Sequence[str]) -> str | None:
    """That this computer is timed in another precision than the models are stored in; None if it is
    not so, or the computer is not among the devices."""
    from devices.host.facts import computes_in_fp16, cpu_model

    if precision != FP16 or HOST not in devices or computes_in_fp16():
        return None
    return (
        f"this computer ({cpu_model()}) computes models in fp16 in fp32: the latencies of host are "
        "those of fp16 files here, and say nothing about a phone that computes in fp16"
    )
