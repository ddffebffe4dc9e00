"""Precisions: the arithmetic that a model is deployed in, and that its latencies belong to.

A latency says nothing about the same model in another precision, so whatever holds latencies (a
series of a table, a predictor, a search) holds those of one precision.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from elasticvit.errors import NextStep, SettingError
from elasticvit.reading import shown

FP32 = "fp32"  # of whatever names none: earlier versions knew no other
FP16, INT8, INT8_FULL = "fp16", "int8", "int8-full"
PRECISIONS = (FP32, FP16, INT8, INT8_FULL)
Precision = Annotated[str, Meta(pattern=f"^({'|'.join(PRECISIONS)})$")]  # where a file is read


def check_precision(value: Any, *, optional: bool = False) -> None:
    """Check the setting `precision`.

    Args:
        optional: Whether None is allowed.

    Raises:
        SettingError: There is no such precision.
    """
    if value not in PRECISIONS and not (optional and value is None):
        raise SettingError(
            f"precision is {shown(value)}; it is one of {', '.join(PRECISIONS)}",
            settings=["precision"],
        )


def in_words(precision: str) -> str:
    """What a text adds to a device's name: ` in int8`, and nothing for fp32."""
    return "" if precision == FP32 else f" in {precision}"


def profile_step(
    device: str,
    precision: str,
    threads: int | None = None,
    cores: str | None = None,
    space: str | None = None,
) -> NextStep:
    """The profile that makes the latencies of a device in a precision, with threads, cores and
    space if they are named."""
    named: dict[str, str | int] = {} if precision == FP32 else {"precision": precision}
    named |= {} if threads is None else {"threads": threads}
    named |= {} if cores is None else {"cores": cores}
    named |= {} if space is None else {"space": space}
    return NextStep("profile", {"device": device, **named})
