"""What is to be known of the figures of an exported file in 16 bits."""

from __future__ import annotations

from devices.host.facts import cpu_model, has_fp16_arithmetic
from elasticvit.precisions import FP16


def arithmetic_remark(precision: str) -> str | None:
    """That this computer only stores what phones compute in 16 bits; None if that is not so."""
    if precision != FP16 or has_fp16_arithmetic():
        return None
    return (
        f"fp16 is what the file stores: this computer ({cpu_model()}) has no 16-bit arithmetic and "
        "computes in fp32, so parity and accuracy, and a latency on host, are those of rounded "
        "weights; a CPU with ARMv8.2 computes in fp16"
    )
