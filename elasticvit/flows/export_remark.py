"""What is to be known of the figures of an exported file in 16 bits."""

from __future__ import annotations

from devices.host.facts import computes_in_fp16, cpu_model
from elasticvit.precisions import FP16


def arithmetic_remark(precision: str) -> str | None:
    """That this computer only stores what phones compute in 16 bits; None if that is not so."""
    if precision != FP16 or computes_in_fp16():
        return None
    return (
        f"fp16 is what the file stores: on this computer ({cpu_model()}) it is computed in fp32, "
        "so that parity, accuracy and a latency on host are those of rounded weights; a CPU with "
        "ARMv8.2's 16-bit arithmetic computes in fp16"
    )
